"""The page of the verbs: what `ichsegmenter VERB --help` says, for every verb and every action of a verb."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Iterator

WIDTH = "100"
INTRODUCTION = """# Every verb and option

What `ichsegmenter VERB --help` prints. [Command line](command-line.md) tells what they are for.
"""


def page() -> str:
    """The page in Markdown: one section a verb."""
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH  # argparse breaks lines by it
    try:
        return INTRODUCTION + "".join(_section(name, parser) for name, parser in verbs(command_line(), ""))
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns


def command_line() -> argparse.ArgumentParser:
    """The parser of the program; the package `cli` shows its function of the same name in place of the module."""
    parser: argparse.ArgumentParser = importlib.import_module("ICHSegmenterLib.cli.main")._parser()
    return parser


def verbs(parser: argparse.ArgumentParser, prefix: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The parsers of the verbs and of their actions, with their names as typed."""
    for action in parser._actions:  # argparse offers no other way to its sub-parsers
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield f"{prefix}{name}", below
                yield from verbs(below, f"{prefix}{name} ")


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    return f"\n## {name}\n\n```text\n{parser.format_help().rstrip()}\n```\n"
