"""The methods that can run on this computer, and the default where nobody named one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ICHSegmenterLib.cards.table import DEFAULT_METHODS, MODEL_CARDS, method_cards
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.sidecar import carded_file


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


def ready_methods() -> tuple[str, ...]:
    """The methods whose weights and Python packages are here, in the order of the table."""
    return tuple(card.name for card in method_cards().values() if store.is_ready(card))
