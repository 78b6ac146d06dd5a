"""Parse arguments, run a verb, turn typed errors into one line and an exit code."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Sequence

from ICHSegmenterLib import __version__
from ICHSegmenterLib.cli.parser import EXIT_WRONG_USE, CommandParser
from ICHSegmenterLib.errors import CancelledError, ICHSegmenterError
from ICHSegmenterLib.results import RESEARCH_NOTICE

EXIT_DONE, EXIT_FAILED = 0, 1
VERBS = {
    "segment": "segment",
    "detect": "segment",
    "check": "check",
    "batch": "batch",
    "index": "index",
    "receive": "receive",
    "evaluate": "research.evaluate",
    "calibrate": "research.calibrate",
    "compare": "compare",
    "follow-up": "follow_up",
    "features": "features",
    "prepare": "research.prepare",
    "synthesize": "research.synthesize",
    "train": "research.train",
    "reproduce": "research.reproduce",
    "rsna": "research.rsna",
    "models": "models",
    "doctor": "doctor",
    "completion": "completion",
}
"""Verb to its module below `cli.verbs`. Only the module of the verb that runs is loaded: all take half a second."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 1 failed, 2 wrong use."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser(words)
    try:
        parsed = parser.parse_args(words)
    except SystemExit as stop:  # argparse has printed help or what is wrong
        return int(stop.code or 0)
    levels = _set_up_logging(verbose=parsed.verbose)
    try:
        code = int(parsed.run(parsed))
        sys.stdout.flush()  # here, where it may fail
        return code
    except (CancelledError, KeyboardInterrupt):
        print("cancelled; nothing half-done was left behind", file=sys.stderr)
        return EXIT_FAILED
    except ICHSegmenterError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_WRONG_USE if error.is_wrong_use else EXIT_FAILED
    except ValueError as error:
        if parsed.verbose:
            logging.getLogger(__name__).exception("wrong use")
        print(f"error: {error}", file=sys.stderr)
        return EXIT_WRONG_USE
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain once more at exit
        return EXIT_FAILED
    except OSError as error:
        logging.getLogger(__name__).info("the system said no", exc_info=True)
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}. Check the path, the rights and the disk.", file=sys.stderr)
        return EXIT_FAILED
    except MemoryError:
        logging.getLogger(__name__).info("out of memory", exc_info=True)
        print("error: This computer ran out of memory. Close other programs, or crop the volume.", file=sys.stderr)
        return EXIT_FAILED
    finally:
        for library, level in levels.items():  # a Python program that calls `main` hears them again
            logging.getLogger(library).setLevel(level)


def _set_up_logging(*, verbose: bool) -> dict[str, int]:
    """One line each on standard error; what libraries mutter about headers only if asked for.

    Returns:
        The level that each library had that is silenced now.
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s: %(message)s")
    if verbose:
        return {}
    levels = {library: logging.getLogger(library).level for library in ("pydicom", "nibabel.global")}
    for library in levels:
        logging.getLogger(library).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module=library.partition(".")[0])
    return levels


def _parser(words: Sequence[str] = ()) -> CommandParser:
    """The parser of a command line; of all verbs unless its first word is one."""
    parser = CommandParser(
        prog="ichsegmenter",
        conflict_handler="resolve",  # --verbose is shown here, and is known to each verb
        description="Find and outline intracranial hemorrhage on head CT. " + RESEARCH_NOTICE,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--verbose", action="store_true", help="also log what is being done")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    verb = next((word for word in words if not word.startswith("-")), "")
    for module in [VERBS[verb]] if verb in VERBS else dict.fromkeys(VERBS.values()):
        importlib.import_module(f"ICHSegmenterLib.cli.verbs.{module}").add_parsers(verbs)
    return parser
