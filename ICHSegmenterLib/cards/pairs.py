"""Pairs of methods that work together: one detects and knows subtypes, one outlines and leaves the subtype open."""

from __future__ import annotations

from ICHSegmenterLib.cards.table import ModelCard, method_cards
from ICHSegmenterLib.labels import SUBTYPES_OF


def can_be_named(card: ModelCard) -> bool:
    """True if it has a segment whose subtype is open, so that a detector may name it."""
    return any(label.key in SUBTYPES_OF for label in card.labels)


def detectors() -> tuple[ModelCard, ...]:
    """The methods that can name the segments of another one."""
    return tuple(card for card in method_cards().values() if card.knows_subtypes)


def segmenters() -> tuple[ModelCard, ...]:
    """The methods whose segments leave a subtype open."""
    return tuple(card for card in method_cards().values() if can_be_named(card))


def check_pair(segmenter: ModelCard, detector: ModelCard) -> None:
    """Refuse two methods that cannot work together.

    Raises:
        ValueError: They cannot; says which ones can.
    """
    if not detector.knows_subtypes:
        names = ", ".join(card.name for card in detectors())
        raise ValueError(f"{detector.name} tells no subtypes of hemorrhage, so it cannot name segments; choose {names}")
    if not can_be_named(segmenter):
        names = ", ".join(card.name for card in segmenters())
        raise ValueError(f"{segmenter.name} has no segment that a detector could name; choose {names}")
