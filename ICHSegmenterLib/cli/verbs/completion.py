"""`completion`: the script that lets a shell complete verbs, options, methods and files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ICHSegmenterLib.cards.pairs import detectors
from ICHSegmenterLib.cards.table import method_cards
from ICHSegmenterLib.errors import DependencyError

SHELLS = ("bash", "zsh", "fish", "tcsh")
FOLDER_METAVARS = ("DIR", "CACHE")


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("completion", help="print a script that completes the command in a shell")
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The verb."""
    from ICHSegmenterLib.cli.main import _parser  # which knows this verb

    try:
        import shtab
    except ModuleNotFoundError as error:
        raise DependencyError(
            "Completion needs the Python package shtab, which is not installed: pip install 'ichsegmenter[completion]'"
        ) from error
    parser = _parser()
    for action in _actions(parser):
        if action.type is Path:
            action.complete = shtab.DIRECTORY if action.metavar in FOLDER_METAVARS else shtab.FILE  # type: ignore[attr-defined]
        elif action.dest in ("method", "methods"):
            action.choices = list(method_cards())
        elif action.dest == "detector":
            action.choices = [card.name for card in detectors()]
    print(shtab.complete(parser, arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of every verb."""
    for action in parser._actions:  # argparse offers no other way to its sub-parsers
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)
