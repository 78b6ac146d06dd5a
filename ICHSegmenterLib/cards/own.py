"""Methods that people add: each JSON card in the weights folder, or shipped, whose name the program does not know."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.folders import bundled_folder, weights_folder
from ICHSegmenterLib.cards.json.reader import card_from, read_json
from ICHSegmenterLib.cards.json.writer import what_runs
from ICHSegmenterLib.errors import CardError

logger = logging.getLogger(__name__)

CARD_SUFFIX = ".json"
MAX_CARDS = 1000
"""Largest number read from a folder; more are left alone."""


@dataclass(frozen=True)
class CardFile:
    """A card and the file that it was read from."""

    path: Path
    card: ModelCard


def card_files(folder: Path, known: Mapping[str, ModelCard]) -> Iterator[CardFile]:
    """The cards of a folder, sorted by file name; a faulty one is logged and passed over.

    Args:
        folder: May be absent.
        known: The program's own cards.
    """
    for path in sorted(filter(Path.is_file, folder.glob(f"*{CARD_SUFFIX}")))[:MAX_CARDS]:
        card = _card_of(path, known)
        if card is not None:
            yield CardFile(path, card)


def own_cards(known: Mapping[str, ModelCard]) -> dict[str, ModelCard]:
    """Name to card of the methods that the program does not know; files of one name that fit make an ensemble."""
    own: dict[str, ModelCard] = {}
    for folder in (weights_folder(), bundled_folder()):
        for file in card_files(folder, known):
            name = file.card.name
            if name in known:
                continue
            first = own.setdefault(name, file.card)
            if first is file.card:
                continue
            if what_runs(first) == what_runs(file.card):
                own[name] = replace(first, weights=tuple(dict.fromkeys((*first.weights, *file.card.weights))))
            else:
                log_once(
                    f"{file.path.name}: another card of the method {name} shows its network something else; it is left "
                    "alone. Give it another name."
                )
    return own


def log_once(sentence: str) -> None:
    """Warn, but only the first time: cards are read again at every look at the list of methods."""
    if sentence not in _logged:
        _logged.add(sentence)
        logger.warning("%s", sentence)


_logged: set[str] = set()
_seen: dict[tuple[Path, int, int], ModelCard | None] = {}
"""Content of files when they were last read, by path, time of change in ns and bytes, so that a fault is told once."""


def _card_of(path: Path, known: Mapping[str, ModelCard]) -> ModelCard | None:
    """The card of a file, None if it is none or faulty."""
    try:
        status = path.stat()
        key = (path, status.st_mtime_ns, status.st_size)
        if key not in _seen:
            content = read_json(path)
            _seen[key] = None if content is None else card_from(content, path.name, known)
        return _seen[key]
    except OSError:  # gone meanwhile
        return None
    except CardError as error:
        log_once(str(error))
        _seen[key] = None
        return None
