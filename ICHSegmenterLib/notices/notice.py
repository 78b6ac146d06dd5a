"""What people are told, as a code with parameters and one sentence in English; the panel translates by code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, TypeVar

Words = Mapping[str, Callable[[Any], str]]
"""Name of a parameter that is no number and no text to what says it."""

N = TypeVar("N", bound="Notice")


@dataclass(frozen=True)
class Notice:
    """One thing that people are told; each kind of notice has its codes.

    Attributes:
        code: What it is; an instance of `codes`.
        parameters: Those that its sentence in `sentences` has: numbers, texts, and plain lists and objects of these.
    """

    code: Enum
    parameters: Mapping[str, Any] = field(default_factory=dict)

    codes: ClassVar[type[Enum]]
    sentences: ClassVar[Mapping[Any, str]]
    words: ClassVar[Words] = {}

    def __str__(self) -> str:
        return self.text

    @property
    def text(self) -> str:
        """One or two sentences in English, with what to do."""
        return self.said(self.sentences[self.code], self.words)

    def said(self, sentence: str, words: Words) -> str:
        """A sentence of any language with the parameters in it.

        Args:
            sentence: With the names of parameters.
            words: Of the language.
        """
        return sentence.format(
            **{name: words[name](value) if name in words else value for name, value in self.parameters.items()}
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"code": self.code.value, "parameters": dict(self.parameters), "text": self.text}

    @classmethod
    def from_json(cls: type[N], data: Any) -> N:
        """The notice that `to_json` wrote.

        Raises:
            ValueError: This version does not know the code, or it is no notice.
        """
        try:
            notice = cls(cls.codes(data["code"]), dict(data["parameters"]))
            _ = notice.text
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"{data!r} is no {cls.__name__}") from error
        return notice


def read_notice(plain: Any, kinds: Iterable[type[Notice]]) -> Notice | None:
    """The notice of one of the kinds; None for no notice, or if this version does not know it."""
    for kind in kinds:
        try:
            return kind.from_json(plain)
        except ValueError:
            continue
    return None
