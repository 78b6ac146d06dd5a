"""All methods in one table: those of the program, and those that people added by a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from ICHSegmenterLib.cards.calibration import published_calibration
from ICHSegmenterLib.cards.card import NO_CONFIG, LabelmapRule, ModelCard, with_options
from ICHSegmenterLib.cards.json.reader import card_from, read_json
from ICHSegmenterLib.cards.json.writer import card_facts
from ICHSegmenterLib.cards.methods import bundled, smart_net, swin, unet
from ICHSegmenterLib.cards.methods.blast_ct import BLAST_CT
from ICHSegmenterLib.cards.methods.hu_threshold import HU_THRESHOLD
from ICHSegmenterLib.cards.methods.rsna_sequence import RSNA_SEQUENCE
from ICHSegmenterLib.cards.own import own_cards
from ICHSegmenterLib.cards.published_files import WeightsFile
from ICHSegmenterLib.errors import ModelNotFoundError, did_you_mean
from ICHSegmenterLib.notices.cause_notice import Cause

__all__ = [
    "DEFAULT_METHODS",
    "MODEL_CARDS",
    "NO_CONFIG",
    "LabelmapRule",
    "ModelCard",
    "card_facts",
    "get_card",
    "method_cards",
    "read_card",
    "title_of",
    "weights_by_sha256",
    "with_options",
]

MODEL_CARDS: Mapping[str, ModelCard] = MappingProxyType(
    {
        card.name: replace(card, calibration=published_calibration(card.name))
        for card in (
            BLAST_CT,
            *swin.CARDS,
            unet.UNET,
            bundled.COMPACT_UNET,
            bundled.COMPACT_HGI,
            RSNA_SEQUENCE,
            *smart_net.CARDS,
            unet.SWIN_UNETR,
            HU_THRESHOLD,
        )
    }
)
"""The methods of the program."""

DEFAULT_METHODS = ("blast-ct", "compact-unet", "hu-threshold")
"""Best first: what runs, if nobody named a method, is the first that is ready. The last needs no weights, no torch."""


def method_cards() -> Mapping[str, ModelCard]:
    """Every method by name, the program's first, then those of cards in the weights folder."""
    return {**MODEL_CARDS, **own_cards(MODEL_CARDS)}


def get_card(name: str) -> ModelCard:
    """The card of a method.

    Raises:
        ModelNotFoundError: No such method.
    """
    if name in MODEL_CARDS:
        return MODEL_CARDS[name]
    cards = method_cards()
    if name not in cards:
        raise ModelNotFoundError(
            f"Unknown method {name!r}; available: {', '.join(sorted(cards))}." + did_you_mean(name, cards),
            Cause.UNKNOWN_METHOD,
        )
    return cards[name]


def title_of(name: str) -> str:
    """The title of a method; of one that only a card beside weights knows, its name."""
    cards = method_cards()
    return cards[name].title if name in cards else name


def read_card(path: Path) -> ModelCard | None:
    """The card in a JSON file; None if the file is no card.

    Raises:
        CardError: It is a card, but cannot be used; names file and key.
    """
    content = read_json(path)
    return None if content is None else card_from(content, path.name, MODEL_CARDS)


def weights_by_sha256() -> Mapping[str, WeightsFile]:
    """Every published weight file by its digest."""
    return {file.sha256: file for card in method_cards().values() for file in card.weights}
