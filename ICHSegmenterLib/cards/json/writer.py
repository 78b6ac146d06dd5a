"""A card as JSON, as it lies beside a weight file."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.json.preprocessing import preprocessing_facts
from ICHSegmenterLib.cards.json.trust import trust_facts

FORMAT_VERSION = 2
"""Version of the JSON. 1: written by ICHSegmenter 0.1, without this number."""


def card_facts(card: ModelCard) -> dict[str, Any]:
    """A card as plain data; its weight files are left out, because whoever writes it names the one beside it."""
    facts: dict[str, Any] = {"format_version": FORMAT_VERSION}
    facts |= {one.name: getattr(card, one.name) for one in fields(card) if one.name != "weights"}
    facts["labels"] = [label.key for label in card.labels]
    facts["network_config"], facts["wiring"] = dict(card.network_config), dict(card.wiring)
    facts["options"] = card.option_values
    facts["requirements"] = [one.module for one in card.requirements]
    facts["preprocessing"] = preprocessing_facts(card.preprocessing)
    if card.calibration is None:
        del facts["calibration"]
    else:
        facts["calibration"] = card.calibration.to_json()
    facts["trust"] = trust_facts(card.trust)
    return facts


def what_runs(card: ModelCard) -> dict[str, Any]:
    """The part of a card that files of one ensemble must share: network, input, labels and rule."""
    facts = card_facts(card)
    shared = ("predictor", "wiring", "network", "network_config", "preprocessing", "labels", "labelmap_rule")
    switches = ("knows_subtypes", "harmonize", "align_slices", "refine_edges")
    runs = {key: facts[key] for key in (*shared, *switches)}
    runs["network_config"].pop("variant", None)  # each file of a U-Net may be of either
    return runs
