"""Which method runs when nobody chose one."""

from __future__ import annotations

from importlib.util import find_spec

from ICHSegmenterLib.model_cards import DEFAULT_METHOD, DEFAULT_OFFLINE_METHOD, get_card
from ICHSegmenterLib.weights import store


def choose_method(wish: str = "auto") -> str:
    """The wish itself, or for "auto" the default method if its weights and torch are here, else the classical one.

    Nothing is downloaded without being asked for; `models download blast-ct` makes it the default.

    Raises:
        ModelNotFoundError: No such method.
    """
    if wish != "auto":
        return get_card(wish).name
    is_ready = store.state(get_card(DEFAULT_METHOD)).is_ready and find_spec("torch") is not None
    return DEFAULT_METHOD if is_ready else DEFAULT_OFFLINE_METHOD
