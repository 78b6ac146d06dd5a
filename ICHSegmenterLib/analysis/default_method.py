"""Which methods can run on this computer, and which one runs when nobody chose."""

from __future__ import annotations

from importlib.util import find_spec

from ICHSegmenterLib.cards.table import DEFAULT_METHODS, MODEL_CARDS, ModelCard, get_card
from ICHSegmenterLib.weights import store


def choose_method(requested: str = "auto") -> str:
    """The requested method, or for "auto" the first of `DEFAULT_METHODS` that can run: its weights are here, and torch.

    Nothing is downloaded without being asked for: `models download blast-ct` makes that the default, else it is the
    network that ships with the program, else, without torch, the classical method.

    Raises:
        ModelNotFoundError: No such method.
    """
    if requested != "auto":
        return get_card(requested).name
    return next((name for name in DEFAULT_METHODS if can_run(MODEL_CARDS[name])), DEFAULT_METHODS[-1])


def ready_methods() -> tuple[str, ...]:
    """The methods that can run here, in the order of the table; without torch the classical ones."""
    return tuple(card.name for card in MODEL_CARDS.values() if can_run(card))


def can_run(card: ModelCard) -> bool:
    """True if its weights are on this computer, and PyTorch if it has a network."""
    return store.state(card).is_ready and (not card.needs_weights or has_torch())


def has_torch() -> bool:
    """PyTorch is installed; it is not imported."""
    try:
        return find_spec("torch") is not None
    except (ImportError, ValueError):  # an import hook that forbids it, or a module without a specification
        return False
