"""Weight files of one's own: title and license are theirs, never those of the published weights of the method."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.table import MODEL_CARDS
from ICHSegmenterLib.cards.trust import NO_TRUST
from ICHSegmenterLib.weights.digests import file_sha256

UNKNOWN_LICENSE = "unknown, given by you"
MAX_LINE = 120
"""Characters of a title or license."""
MAX_HEADER_BYTES = 100_000_000
"""Longest header of a safetensors file, by its specification."""
_LENGTH_BYTES = 8
_METADATA = "__metadata__"
_TITLE_KEYS, _LICENSE_KEYS = ("title", "modelspec.title", "name"), ("license", "modelspec.license")


@dataclass(frozen=True)
class OwnFacts:
    """Facts that the user states of a weight file; what is empty is read from the file.

    Attributes:
        method: The method that it belongs to; not needed where a card beside it says so.
        title: In lists and results.
        license: SPDX identifier or one sentence.

    Raises:
        ValueError: Title or license is no line of plain text.
    """

    method: str = ""
    title: str = ""
    license: str = ""

    def __post_init__(self) -> None:
        for key in ("title", "license"):
            text = getattr(self, key)
            if text and text != plain_line(text):
                raise ValueError(
                    f"{key} must be one line of at most {MAX_LINE} characters, without < and >, got {text!r}"
                )


NOTHING_STATED = OwnFacts()


def card_with(card: ModelCard, paths: Sequence[Path], stated: OwnFacts = NOTHING_STATED) -> ModelCard:
    """The card of a method that runs with these files: its own, unless one of them is not published.

    A method that people added has title and license of its own already, which go with any file named for it.

    Args:
        card: Of the method.
        paths: Files that exist.
        stated: By the user.
    """
    if card.name not in MODEL_CARDS:
        return replace(card, title=stated.title or card.title, license=stated.license or card.license)
    own = [path for path in paths if not is_published(path, card)]
    if not own or not card.needs_weights:
        return card
    embedded = embedded_facts(own[0])
    title = stated.title or embedded.title or own[0].stem
    if not stated.title and len(paths) > 1:
        title = f"{title} and {len(paths) - 1} more"
    return own_card(card, title, stated.license or embedded.license)


def own_card(card: ModelCard, title: str, license_text: str = "") -> ModelCard:
    """The card of a method with weights that its authors did not publish: nothing is known of how good they are.

    Args:
        card: Of the method.
        title: Of the weights.
        license_text: Of the weights; unknown unless stated.
    """
    return replace(
        card,
        title=f"{title} (own weights for {card.name})",
        license=license_text or UNKNOWN_LICENSE,
        trust=NO_TRUST,
        calibration=None,
        release="",
        weights=(),
        limits=f"Weights of your own for {card.name}: nothing is known of how good they are. Research only.",
    )


def is_published(path: Path, card: ModelCard) -> bool:
    """The file is one of those that the authors of the method published; read only if it has the size of one."""
    size = path.stat().st_size
    return size in {file.size for file in card.weights} and file_sha256(path) in {file.sha256 for file in card.weights}


def embedded_facts(path: Path) -> OwnFacts:
    """Title and license in the header of a safetensors file; nothing of another file, or of a damaged header."""
    if path.suffix != ".safetensors":
        return NOTHING_STATED
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
            header = json.loads(stream.read(length)) if length <= MAX_HEADER_BYTES else {}
    except (OSError, ValueError, RecursionError):
        return NOTHING_STATED
    metadata = header.get(_METADATA) if isinstance(header, dict) else None
    if not isinstance(metadata, dict):
        return NOTHING_STATED
    return OwnFacts(title=_first(metadata, _TITLE_KEYS), license=_first(metadata, _LICENSE_KEYS))


def _first(metadata: dict[str, object], keys: Sequence[str]) -> str:
    """The first text under one of the keys, as a line that a card may hold."""
    texts = (metadata.get(key) for key in keys)
    return next((line for text in texts if isinstance(text, str) and (line := plain_line(text))), "")


def plain_line(text: str) -> str:
    """A text without what no card may hold (control characters, < and >), cut to `MAX_LINE`."""
    return "".join(one for one in text if one.isprintable() and one not in "<>").strip()[:MAX_LINE].strip()
