"""Cards and options of ICHSegmenter 0.1, brought to today's words; their numbers keep their meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.json.writer import FORMAT_VERSION, card_facts

SLICE_METHODS_OF_0_1 = {"compact-unet": "compact-unet-slices"}
"""Methods that saw slices one by one, by the predictor unet, and see slabs today; what their weights are called now."""


def upgraded_options(options: Mapping[str, Any], wiring: Mapping[str, Any]) -> dict[str, Any]:
    """Options under today's names, without what is wiring.

    Ignoring n pixels is the same as asking for n + 1.
    """
    upgraded = {key: value for key, value in options.items() if key not in wiring}
    if "skull_guard" in upgraded:
        upgraded["suppress_bone"] = upgraded.pop("skull_guard")
    ignored = upgraded.pop("ignored_pixels", None)
    if type(ignored) is int:
        upgraded["min_pixels"] = ignored + 1
    return upgraded


def upgraded(content: Mapping[str, Any], base: ModelCard) -> dict[str, Any]:
    """The content of a card of version 1 as version 2.

    Args:
        content: Names the method, and what of it a training or conversion changed.
        base: Today's card of that method, which has what 0.1 did not write.
    """
    of_others = {"trust": {}, "release": ""}  # figures of the method's weights are not those of these
    facts = {**card_facts(base), **of_others, **content, "format_version": FORMAT_VERSION}
    for key in ("predictor", "wiring", "requirements"):
        facts[key] = card_facts(base)[key]
    if base.name in SLICE_METHODS_OF_0_1:
        facts |= {"name": SLICE_METHODS_OF_0_1[base.name], "predictor": "unet"}
    config = facts.pop("predictor_config", None)
    if isinstance(config, Mapping):
        facts["wiring"] = {key: config.get(key, value) for key, value in base.wiring.items()}
        facts["options"] = upgraded_options(config, base.wiring)
    if facts["labelmap_rule"] == "together":
        facts["labelmap_rule"] = "sum"
    preprocessing = facts["preprocessing"]
    if isinstance(preprocessing, Mapping) and "spread" in preprocessing:
        facts["preprocessing"] = {"normalize" if key == "spread" else key: one for key, one in preprocessing.items()}
    return facts
