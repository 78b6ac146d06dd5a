"""How far to trust a method: whom it learned from, how often it is wrong, what it does not see, each with its source.

The figures belong to weights, not to a network: they stand in the card that runs. Own weights have none until their
card states them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

NOT_STATED = "not stated"
NOT_PUBLISHED = "no published figure is known"
MAX_COUNTED_EXAMS = 200
"""A rate over more exams is written in percent alone."""


@dataclass(frozen=True)
class TrainingData:
    """Exams that weights were trained on.

    Attributes:
        population: Who they are of; empty if it is not stated.
        exams: Number of exams, None if it is not stated.
        source: Where that is written.
        terms: Terms of use of these data that bind whoever uses the weights; empty if there are none.

    Raises:
        ValueError: A negative number.
    """

    population: str = ""
    exams: int | None = None
    source: str = ""
    terms: str = ""

    def __post_init__(self) -> None:
        _check_exams(self.exams, least=0)

    @property
    def sentence(self) -> str:
        """One line for people."""
        if not self.population:
            return NOT_STATED
        count = "" if self.exams is None else f"{self.exams} exams: "
        return count + self.population + _in_brackets(self.source)


@dataclass(frozen=True)
class Rate:
    """A share of exams of one population, counted once.

    Attributes:
        value: 0 to 1.
        exams: Number of exams it is a share of, None if it is not stated.
        population: Which exams.
        source: Paper and table, or the page with the command.

    Raises:
        ValueError: A share outside 0 to 1, fewer than one exam, or no population or source.
    """

    value: float
    exams: int | None
    population: str
    source: str

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise ValueError(f"value must lie between 0 and 1, got {self.value}")
        _check_exams(self.exams, least=1)
        for key in ("population", "source"):
            if not getattr(self, key):
                raise ValueError(f"{key} must be given: a figure without it says nothing")

    @property
    def share(self) -> str:
        """The value for people, before the population: "4 of 5", "0.79 of 281", or "0.97 of" an unknown number."""
        if self.exams is None:
            return f"{self.value:.2f} of"
        if self.exams > MAX_COUNTED_EXAMS:
            return f"{self.value:.2f} of {self.exams}"
        return f"{round(self.value * self.exams)} of {self.exams}"


@dataclass(frozen=True)
class FalseAlarms(Rate):
    """Share of exams without hemorrhage that are called positive."""

    @property
    def sentence(self) -> str:
        """One line for people."""
        return f"{self.share} {self.population}{_in_brackets(self.source)}"


@dataclass(frozen=True)
class Sensitivity(Rate):
    """Share of exams with hemorrhage that are called positive.

    Attributes:
        from_ml: Least volume of blood in these exams, mL; None if any counts.
    """

    from_ml: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.from_ml is not None and not 0.0 <= self.from_ml <= 1000.0:
            raise ValueError(f"from_ml must lie between 0 and 1000 mL, got {self.from_ml}")

    @property
    def sentence(self) -> str:
        """One line for people."""
        least = "" if self.from_ml is None else f", from {self.from_ml:g} mL of blood"
        return f"{self.share} {self.population}{least}{_in_brackets(self.source)}"


@dataclass(frozen=True)
class Trust:
    """What a reader should know before believing a method.

    Attributes:
        trained_on: The exams it learned from.
        false_alarms: In exams without hemorrhage, the population most like patients first; empty if not published.
        sensitivity: In exams with hemorrhage, likewise.
        not_seen: What it does not see, or sees badly, each in a few words that follow "does not see".
    """

    trained_on: TrainingData = field(default_factory=TrainingData)
    false_alarms: tuple[FalseAlarms, ...] = ()
    sensitivity: tuple[Sensitivity, ...] = ()
    not_seen: tuple[str, ...] = ()

    @property
    def terms(self) -> str:
        """Terms of the training data that must be accepted before a download; empty if there are none."""
        return self.trained_on.terms

    def lines(self) -> Iterator[tuple[str, str]]:
        """(heading, text) for people, in the order in which a reader asks."""
        yield "Trained on", self.trained_on.sentence
        if self.terms:
            yield "Terms of the training data", self.terms
        yield "False alarms", _listed(self.false_alarms)
        yield "Sensitivity", _listed(self.sensitivity)
        yield "Does not see", "; ".join(self.not_seen) or NOT_STATED

    @property
    def summary(self) -> str:
        """False alarms and sensitivity in the population most like patients, in one line for lists."""
        alarms = self.false_alarms[0].share if self.false_alarms else NOT_PUBLISHED
        found = self.sensitivity[0].share if self.sensitivity else NOT_PUBLISHED
        alarms += f" {self.false_alarms[0].population}" if self.false_alarms else ""
        found += f" {self.sensitivity[0].population}" if self.sensitivity else ""
        return f"false alarms: {alarms}; sensitivity: {found}"


def _listed(rates: Sequence[FalseAlarms] | Sequence[Sensitivity]) -> str:
    return "; ".join(rate.sentence for rate in rates) or NOT_PUBLISHED


def _in_brackets(source: str) -> str:
    return f" ({source})" if source else ""


def _check_exams(exams: int | None, *, least: int) -> None:
    if exams is not None and (type(exams) is not int or exams < least):
        raise ValueError(f"exams must be a whole number from {least}, got {exams!r}")


NO_TRUST = Trust()
"""Of weights whose card says nothing."""
