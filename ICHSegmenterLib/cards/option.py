"""An option of a method: typed, with a default and one line of help, so that a wrong value is told before a run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal["bool", "int", "float", "choice"]
Value = bool | int | float | str

_TYPES: dict[str, type] = {"bool": bool, "int": int, "float": float, "choice": str}
_ARTICLES = {"bool": "a bool", "int": "an int", "float": "a float", "choice": "a choice"}


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: On the command line and in cards.
        kind: "bool", "int", "float" (takes whole numbers too) or "choice" (one of `choices`).
        help: One line.
        choices: Of a "choice".
        low, high: Of an "int" or "float", both included.

    Raises:
        ValueError: The default is none of its own values.
    """

    name: str
    kind: Kind
    default: Value
    help: str
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        self.checked(self.default, "the card")

    @property
    def values(self) -> str:
        """The allowed values, for people: "true or false", "1 to 10000", "stacked or slice-wise"."""
        if self.kind == "bool":
            return "true or false"
        return " or ".join(self.choices) if self.kind == "choice" else f"{self.low:g} to {self.high:g}"

    def with_default(self, value: Any, method: str = "the card") -> Option:
        """The same option with another default. Raises: see `checked`."""
        return replace(self, default=self.checked(value, method))

    def checked(self, value: Any, method: str) -> Value:
        """The value, as a float where it must be one.

        Raises:
            ValueError: It is of another type, no choice, or out of range; says what it may be.
        """
        kind = _TYPES[self.kind]
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind and self.kind != "choice":
            raise ValueError(
                f"option {self.name} of {method} is {_ARTICLES[self.kind]} like {self.default!r}, got {value!r}"
            )
        if self.kind == "choice" and value not in self.choices:
            raise ValueError(f"{method}: {self.name} must be one of {', '.join(self.choices)}, got {value!r}")
        if kind in (int, float) and not self.low <= value <= self.high:
            raise ValueError(
                f"option {self.name} of {method} must lie between {self.low:g} and {self.high:g}, got {value!r}"
            )
        checked: Value = value
        return checked
