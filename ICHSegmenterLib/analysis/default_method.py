"""Which method runs when nobody chose one."""

from __future__ import annotations

from importlib.util import find_spec

from ICHSegmenterLib.cards.table import DEFAULT_METHODS, MODEL_CARDS, get_card
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
    cards = (MODEL_CARDS[name] for name in DEFAULT_METHODS)
    ready = (card.name for card in cards if store.state(card).is_ready and (has_torch() or not card.needs_weights))
    return next(ready, DEFAULT_METHODS[-1])


def has_torch() -> bool:
    """PyTorch is installed; it is not imported."""
    try:
        return find_spec("torch") is not None
    except (ImportError, ValueError):  # an import hook that forbids it, or a module without a specification
        return False
