"""The parser of the command line: short errors that name what may have been meant, and help that follows the method."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ICHSegmenterLib.cards.table import ModelCard, get_card
from ICHSegmenterLib.errors import ModelNotFoundError, did_you_mean

EXIT_WRONG_USE = 2
HELP_WORDS = ("-h", "--help")
METHOD_WORD, VERBOSE_WORD = "--method", "--verbose"


class CommandParser(argparse.ArgumentParser):
    """argparse with one line of error in place of the usage.

    `--help` beside `--method NAME` also lists the options of that method. Without any word a parser that has verbs
    shows its help. `--verbose` may stand before and behind the verb.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.add_argument(VERBOSE_WORD, action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As of argparse, which also calls it for the verbs; words that are left over are refused here, by the verb."""
        words: Sequence[str] = sys.argv[1:] if args is None else args
        if not words and self._subparsers is not None:
            self.print_help()
            raise SystemExit(EXIT_WRONG_USE)
        if METHOD_WORD in self._option_string_actions and not set(HELP_WORDS).isdisjoint(words):
            self._print_help_of_method(words)
            raise SystemExit(0)
        parsed, unknown = super().parse_known_args(words, namespace)
        if unknown:
            self.error(f"unknown: {' '.join(unknown)}." + did_you_mean(unknown[0], self._long_options()))
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """One line of what is wrong, one of where help is, exit code 2."""
        print(f"error: {message}\nSee `{self.prog} --help`.", file=sys.stderr)
        raise SystemExit(EXIT_WRONG_USE)

    def _print_help_of_method(self, words: Sequence[str]) -> None:
        search = argparse.ArgumentParser(add_help=False)
        search.add_argument(METHOD_WORD, nargs="?")
        name = search.parse_known_args(list(words))[0].method
        if name is None or name == self.get_default("method"):
            self.print_help()
            return
        try:
            card = get_card(name)
        except ModelNotFoundError as error:
            self.error(str(error))
        print(f"{self.format_help()}\n{options_help(card)}")

    def _long_options(self) -> list[str]:
        return [word for word in self._option_string_actions if word.startswith("--")]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """A value outside `choices` is answered with the choices, and with the closest."""
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        raise argparse.ArgumentError(
            action, f"{value!r} is none of {', '.join(known)}." + did_you_mean(str(value), known)
        )


def options_help(card: ModelCard) -> str:
    """The options of a method for `--option NAME=VALUE`: default, values and meaning of each."""
    if not card.options:
        return f"{card.name} has no options."
    title = f"options of {card.name}, by --option NAME=VALUE (here with their defaults):"
    lines = [
        f"  {option.name}={as_typed(option.default)}\n      {option.help} ({option.values})" for option in card.options
    ]
    return "\n".join([title, *lines])


def as_typed(value: object) -> str:
    """The value of an option as the command line takes it: true, 3, 0.5, or bare text."""
    return value if isinstance(value, str) else json.dumps(value)
