"""Weight files with a card of their own: NAME.json beside NAME.safetensors, which says what runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.json.writer import what_runs
from ICHSegmenterLib.cards.own import CARD_SUFFIX, card_files, log_once
from ICHSegmenterLib.cards.published_files import WeightsFile
from ICHSegmenterLib.cards.table import MODEL_CARDS, read_card
from ICHSegmenterLib.errors import CardError, WeightsCorruptError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.weights.cache import in_megabytes
from ICHSegmenterLib.weights.digests import file_sha256

WEIGHTS_SUFFIX = ".safetensors"
"""Ending of the files that this program writes; any weight file may have a card."""
WEIGHTS_SUFFIXES = (WEIGHTS_SUFFIX, ".pt", ".pth", ".ckpt", ".npz", ".pdparams")


@dataclass(frozen=True)
class CardedFile:
    """A weight file and its card.

    Attributes:
        file: Its name is that on this disk, whatever the card calls it.
        is_described: The card holds digest and size of the file.
    """

    path: Path
    card: ModelCard
    file: WeightsFile
    is_described: bool = True

    @property
    def card_path(self) -> Path:
        """Path of the JSON."""
        return self.path.with_suffix(CARD_SUFFIX)


def carded_file(path: Path) -> CardedFile | None:
    """A weight file with the card beside it, of which only the card is read; None without a card.

    Raises:
        CardError: The card cannot be used, or the JSON beside a safetensors file is no card.
    """
    card_path = path.with_suffix(CARD_SUFFIX)
    if path.suffix == CARD_SUFFIX or not card_path.is_file():
        return None
    card = read_card(card_path)
    if card is None:
        if path.suffix != WEIGHTS_SUFFIX:
            return None
        raise CardError(
            f"{card_path.name} lies beside {path.name} but is no model card: it lacks format_version. Complete it, or "
            "move it away to use the file with the method's own card.",
            Cause.CARD,
        )
    if not card.needs_weights:
        raise CardError(f"{card_path.name}: the method {card.name} has no network and takes no weights.", Cause.CARD)
    return _joined(path, card)


def checked(carded: CardedFile) -> CardedFile:
    """The same after checking that the file is the one that its card describes, if it describes one.

    Raises:
        WeightsCorruptError: It is another one.
    """
    path, file = carded.path, carded.file
    if carded.is_described and (path.stat().st_size != file.size or file_sha256(path) != file.sha256):
        raise WeightsCorruptError(
            f"{path.name} is not the file that {carded.card_path.name} describes "
            f"({in_megabytes(path.stat().st_size)} of {in_megabytes(file.size)}). Copy or convert it again.",
            Cause.WEIGHTS_DAMAGED,
        )
    return carded


def carded_files(method: str, folder: Path) -> list[CardedFile]:
    """The files of a folder whose cards name this method, by name; those that show a network the same as the first.

    The files' content is not read; faulty cards, and cards that differ from the first, are logged and passed over.
    """
    files = [carded for carded in all_carded_files(folder) if carded.card.name == method]
    fitting = [carded for carded in files if what_runs(carded.card) == what_runs(files[0].card)]
    for carded in files:
        if carded not in fitting:
            log_once(
                f"{carded.path.name} is left alone: its card shows the network something else than that of "
                f"{files[0].path.name}. Choose it with --weights, or remove one of them."
            )
    return fitting


def all_carded_files(folder: Path) -> Iterator[CardedFile]:
    """Every weight file of a folder that has a card which can be used, by name."""
    for file in card_files(folder, MODEL_CARDS):
        path = next(filter(Path.is_file, map(file.path.with_suffix, WEIGHTS_SUFFIXES)), None)
        if path is not None and file.card.needs_weights:
            yield _joined(path, file.card)


def _joined(path: Path, card: ModelCard) -> CardedFile:
    """A file and the card beside it."""
    if card.weights:
        named = next((file for file in card.weights if file.name == path.name), card.weights[0])
        return CardedFile(path, card, WeightsFile(path.name, (), named.sha256, named.size, named.license, named.note))
    size = path.stat().st_size
    return CardedFile(path, card, WeightsFile(path.name, (), file_sha256(path), size, card.license), is_described=False)
