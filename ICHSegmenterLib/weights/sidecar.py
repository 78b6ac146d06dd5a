"""Weight files that carry their own card: NAME.safetensors with NAME.json beside it, converted or trained here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ICHSegmenterLib.cards.published_files import WeightsFile
from ICHSegmenterLib.cards.table import MODEL_CARDS, card_facts
from ICHSegmenterLib.errors import WeightsCorruptError, WeightsError
from ICHSegmenterLib.weights.cache import in_megabytes
from ICHSegmenterLib.weights.digests import hash_file

WEIGHTS_SUFFIX, CARD_SUFFIX = ".safetensors", ".json"


@dataclass(frozen=True)
class CarriedFile:
    """A weight file and the method that its card names."""

    method: str
    file: WeightsFile


def carried_file(path: Path) -> CarriedFile | None:
    """What the card beside a weight file says, read only; None without a card."""
    card = _read(path.with_suffix(CARD_SUFFIX)) if path.suffix == WEIGHTS_SUFFIX else None
    if card is None:
        return None
    note = f"Made from {card['source']['file']}" if isinstance(card.get("source"), dict) else "Trained"
    file = WeightsFile(path.name, (), card["sha256"], card["size"], str(card.get("license", "")), note)
    return CarriedFile(card["name"], file)


def check_carried(path: Path) -> CarriedFile | None:
    """What the card beside a weight file says, after checking that it belongs to the file and to a method of ours.

    Raises:
        WeightsCorruptError: The file is not the one that the card describes.
        WeightsError: The card names an unknown method, or one that shows its network something else.
    """
    found = carried_file(path)
    if found is None:
        return None
    if path.stat().st_size != found.file.size or hash_file(path) != found.file.sha256:
        raise WeightsCorruptError(
            f"{path.name} is not the file that {path.with_suffix(CARD_SUFFIX).name} describes "
            f"({in_megabytes(path.stat().st_size)} of {in_megabytes(found.file.size)}). Copy or convert it again."
        )
    check_input(path)
    return found


def check_input(path: Path) -> None:
    """Check that the card beside a weight file names a method of ours that shows its network what it was trained on.

    Raises:
        WeightsError: It does not.
    """
    card = _read(path.with_suffix(CARD_SUFFIX)) or {}
    name = card.get("name", "")
    method = MODEL_CARDS.get(name)
    if method is None:
        raise WeightsError(
            f"{path.name}: its card names the method {name!r}, which this version does not have; available: "
            f"{', '.join(MODEL_CARDS)}."
        )
    shown, wanted = card.get("preprocessing"), json.loads(json.dumps(card_facts(method)["preprocessing"]))
    if shown is not None and shown != wanted:
        raise WeightsError(
            f"{path.name}: was trained on other input than {name} shows (its card says {shown}, the method "
            f"{wanted}). Train it with the method's own preprocessing."
        )


def carried_files(method: str, folder: Path) -> list[WeightsFile]:
    """The files of a folder whose cards name this method, by name; their content is not read."""
    found = [carried_file(path) for path in sorted(folder.glob(f"*{WEIGHTS_SUFFIX}"))]
    return [one.file for one in found if one is not None and one.method == method]


def _read(path: Path) -> dict[str, Any] | None:
    """A card with at least method, size and digest; None if there is none."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    types = {"name": str, "sha256": str, "size": int}
    is_card = isinstance(card, dict) and all(isinstance(card.get(key), kind) for key, kind in types.items())
    return card if is_card else None
