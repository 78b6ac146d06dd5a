"""The methods that can run on this computer, the default where nobody named one, and the offer of a better default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ICHSegmenterLib.cards.table import DEFAULT_METHODS, MODEL_CARDS, ModelCard, method_cards
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.cache import in_megabytes
from ICHSegmenterLib.weights.checks import COMMAND
from ICHSegmenterLib.weights.sidecar import carded_file

RECOMMENDED = DEFAULT_METHODS[0]
"""Trained on patients, and has the fewest false alarms on real heads: the default once its weights are here."""


@dataclass(frozen=True)
class WeightsOffer:
    """Weights that would make a better default; nothing is fetched before the user says so.

    Attributes:
        method, title: Whose weights.
        instead_of: Name of the default without them.
        files: Number of files to download.
        size: Bytes.
        license: Of the weights.
        trained_on: Whom they were trained on.
        alarms: False alarms of this method and of the other, and in which population; empty where no card states them.
    """

    method: str
    title: str
    instead_of: str
    files: int
    size: int
    license: str
    trained_on: str
    alarms: tuple[str, ...]

    @property
    def command(self) -> str:
        """The command that fetches them."""
        return f"{COMMAND} download {self.method}"

    @property
    def reason(self) -> str:
        """The false alarms of both methods, empty if they are not known."""
        if not self.alarms:
            return ""
        own, others, population = self.alarms
        return f"False alarms in {population}: {own} by {self.method}, {others} by {self.instead_of}."

    @property
    def sentence(self) -> str:
        """One line for people, without how to accept."""
        count = f"{self.files} file{'s' * (self.files > 1)}"
        size = in_megabytes(self.size)
        return f"{self.method}: trained on {self.trained_on}, {count}, {size}, {self.license}. {self.reason}".rstrip()


def choose_method(requested: str = "auto", weights: Sequence[Path] = ()) -> str:
    """The requested method; for "auto" that of the card beside the weights, or the first default that can run.

    Nothing is downloaded without being asked for: `models download blast-ct` makes that the default, else it is the
    network that ships with the program, else, without torch, the classical method.

    Raises:
        ModelNotFoundError: No such method.
        WeightsError: The card beside the weights cannot be used.
    """
    if requested != "auto":
        return store.card_of(requested, weights).name
    for path in weights:
        if path.is_file() and (carded := carded_file(path)) is not None:
            return carded.card.name
    return next((name for name in DEFAULT_METHODS if store.is_ready(MODEL_CARDS[name])), DEFAULT_METHODS[-1])


def first_run_offer() -> WeightsOffer | None:
    """Weights to offer where the default is not the recommended method for want of them.

    None where they are here, or where a Python package that they need is missing too.
    """
    card = MODEL_CARDS[RECOMMENDED]
    state = store.state(card)
    if state.is_ready or card.missing_packages or not state.wanted:
        return None
    instead_of = choose_method()
    return WeightsOffer(
        method=card.name,
        title=card.title,
        instead_of=instead_of,
        files=len(state.wanted),
        size=state.download_bytes,
        license=card.license,
        trained_on=card.trust.trained_on.population,
        alarms=_compared(card, store.card_of(instead_of)),
    )


def _compared(card: ModelCard, other: ModelCard) -> tuple[str, ...]:
    """The false alarms of two methods in the first population that both cards know; empty without one."""
    for alarms in card.trust.false_alarms:
        for others in other.trust.false_alarms:
            if alarms.population == others.population:
                return alarms.share, others.share, alarms.population
    return ()


def ready_methods() -> tuple[str, ...]:
    """The methods whose weights and Python packages are here, in the order of the table."""
    return tuple(card.name for card in method_cards().values() if store.is_ready(card))
