"""The weight files on this computer: find those of a method, import, verify, remove."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.json.writer import what_runs
from ICHSegmenterLib.cards.own import CARD_SUFFIX, card_files
from ICHSegmenterLib.cards.published_files import WeightsFile
from ICHSegmenterLib.cards.table import MODEL_CARDS, get_card, method_cards, weights_by_sha256
from ICHSegmenterLib.errors import OutputError, WeightsError, WeightsMissingError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.weights.cache import bundled_folder, weights_folder
from ICHSegmenterLib.weights.checks import COMMAND, content_of, explicit_file, intact, missing_text
from ICHSegmenterLib.weights.digests import file_sha256, hash_file, remember
from ICHSegmenterLib.weights.importing import PART_SUFFIX, import_file, published_names, weights_of_card
from ICHSegmenterLib.weights.own_file import NOTHING_STATED, OwnFacts, card_with
from ICHSegmenterLib.weights.sidecar import (
    WEIGHTS_SUFFIX,
    all_carded_files,
    carded_file,
    carded_files,
    checked,
)


class FileCondition(Enum):
    """Condition of a file, as `verify` reports it."""

    INTACT = "intact"
    CORRUPT = "corrupt"
    UNFINISHED = "unfinished download"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class WeightsState:
    """State of a method's weight files; cheap, so judged by presence and size only.

    Attributes:
        method: Name of the card.
        present, missing: Its published files, in the order of the card.
        imported: Converted or trained files with a card of their own; used if no published file is here.
        bundled: Files with a card of their own that ship with the program; used if nothing else is here.
        wanted: The files that `download` would fetch: the first `default_models` of the card that are missing.
        is_ready: The method can run.
    """

    method: str
    present: tuple[WeightsFile, ...]
    missing: tuple[WeightsFile, ...]
    wanted: tuple[WeightsFile, ...]
    is_ready: bool
    imported: tuple[WeightsFile, ...] = ()
    bundled: tuple[WeightsFile, ...] = ()

    @property
    def is_bundled(self) -> bool:
        """The method runs with what ships with the program."""
        return bool(self.bundled) and not (self.present or self.imported)

    @property
    def download_bytes(self) -> int:
        """Size of `wanted`."""
        return sum(file.size for file in self.wanted)


def state(card: ModelCard) -> WeightsState:
    """The weight files of a method on this computer."""
    present = tuple(file for file in card.weights if locate(file) is not None)
    missing = tuple(file for file in card.weights if file not in present)
    to_download = tuple(file for file in card.weights[: card.default_models] if file in missing and file.urls)
    imported, bundled = (
        tuple(one.file for one in carded_files(card.name, folder) if one.file not in present)
        for folder in (weights_folder(), bundled_folder())
    )
    is_ready = bool(present or imported or bundled) or not card.needs_weights
    return WeightsState(card.name, present, missing, to_download, is_ready, imported, bundled)


def is_ready(card: ModelCard) -> bool:
    """True if weights and Python packages of a method are here."""
    return state(card).is_ready and not card.missing_packages


def card_of(method: str, weights: Sequence[Path | str] = ()) -> ModelCard:
    """The card that runs: the one beside the weight files that would be used, else the method's own.

    Named files that are not published and have no card run with the method's card under their own title and license.

    Args:
        method: A method, or a name that only the card beside the weights knows.
        weights: As for `find`.

    Raises:
        ModelNotFoundError: No such method.
        CardError: A card beside the weights cannot be used.
        WeightsCorruptError: A file is not the one that its card describes.
        ValueError: A file belongs to another method by its card, or two files show their networks something else.
    """
    paths = [path for path in (Path(path).expanduser() for path in weights) if path.is_file()]
    carded = [checked(carded) for path in paths if (carded := carded_file(path)) is not None]
    if not carded:
        card = get_card(method)
        return _calibrated_for(card_with(card, paths), paths) if weights else _installed_card(card)
    for file in carded:
        if file.card.name != method:
            raise ValueError(
                f"{file.path.name} belongs to the method {file.card.name!r} by its card {file.card_path.name}, not to "
                f"{method!r}; choose --method {file.card.name}"
            )
    cards = [one.card for one in carded]
    if len(carded) < len(paths):  # the others have none
        cards.append(get_card(method))
    for card in cards[1:]:
        first, other = what_runs(cards[0]), what_runs(card)
        if first != other:
            keys = ", ".join(key for key, value in first.items() if value != other[key])
            raise ValueError(
                f"the cards of {', '.join(path.name for path in paths)} differ in {keys}, so these files make no "
                "ensemble; name only files that belong together"
            )
    return _calibrated_for(cards[0], paths)


def _calibrated_for(card: ModelCard, paths: Sequence[Path]) -> ModelCard:
    """The card; without its calibration if that is of other weights."""
    if card.calibration is None or not card.calibration.weights:
        return card
    return card if card.calibration.holds_for(map(file_sha256, paths)) else replace(card, calibration=None)


def _installed_card(card: ModelCard) -> ModelCard:
    """The card of the files that `find` takes."""
    if not card.needs_weights:
        return card
    if present := [file for file in card.weights if locate(file) is not None]:
        digests = [file.sha256 for file in present[: card.default_models]]
        fits = card.calibration is None or card.calibration.holds_for(digests)
        return card if fits else replace(card, calibration=None)
    if card.name in MODEL_CARDS:
        for folder in (weights_folder(), bundled_folder()):
            if carded := carded_files(card.name, folder):
                return _calibrated_for(carded[0].card, [one.path for one in carded[: card.default_models]])
    return card


def find(card: ModelCard, explicit_paths: Sequence[Path | str] = ()) -> tuple[Path, ...]:
    """The weight files to load for a method, checked; none for a classical method.

    Explicit files win and may be any file. Otherwise the first `default_models` files of the card that are here,
    fewer (at least one) if not all of them are; without any, the imported files whose own cards name the method;
    without these, the bundled ones. `card_of` gives the card that they run with.

    Raises:
        WeightsMissingError: An explicit file does not exist, or none of the card is here.
        WeightsCorruptError: A file is not what its name or its card says.
    """
    if explicit_paths:
        return tuple(explicit_file(Path(path)) for path in explicit_paths)
    if not card.needs_weights:
        return ()
    present = [(file, path) for file in card.weights if (path := locate(file)) is not None]
    if present:
        return tuple(intact(file, path) for file, path in present[: card.default_models])
    for folder in (weights_folder(), bundled_folder()):
        if files := carded_files(card.name, folder)[: card.default_models]:
            return tuple(intact(one.file, one.path) for one in files)
    raise WeightsMissingError(missing_text(card), Cause.WEIGHTS_MISSING)


def locate(file: WeightsFile) -> Path | None:
    """Path of a published file, by name; its content is not read."""
    for folder in (weights_folder(), bundled_folder()):
        if (folder / file.name).is_file():
            return folder / file.name
    return None


def import_files(paths: Iterable[Path | str], stated: OwnFacts = NOTHING_STATED) -> list[WeightsFile]:
    """Copy weight files into the weights folder; a folder gives all it knows.

    Published files are known by their digest, whatever they are called here; converted and trained ones by the card
    beside them; others by the stated method.

    Args:
        paths: Files and folders.
        stated: Method, title and license of files of one's own.

    Raises:
        WeightsMissingError: A path does not exist, or a folder holds no known file.
        WeightsError: A file is none of these or has a faulty card (the others are imported all the same, and named).
        OutputError: The weights folder cannot be written.
    """
    published = weights_by_sha256()
    imported: list[WeightsFile] = []
    unknown: list[str] = []
    refused: list[WeightsError] = []
    for path in (weights_of_card(Path(path).expanduser()) for path in paths):
        before = len(imported) + len(refused)
        if not path.exists():
            raise WeightsMissingError(
                f"{path} does not exist. Choose the downloaded weight file itself.", Cause.OUT_OF_REACH
            )
        for file in sorted(filter(Path.is_file, path.iterdir())) if path.is_dir() else [path]:
            try:
                imported += filter(None, [import_file(file, published, stated)])
            except WeightsError as error:
                refused.append(error)
        if len(imported) + len(refused) == before:
            unknown.append(f"{path} (a folder without any known file)" if path.is_dir() else _unknown(path))
    if unknown:
        refused.append(WeightsError(_unknown_text(unknown), Cause.NOT_IMPORTED))
    if len(refused) == 1 and not imported:
        raise refused[0]
    if refused:
        names = f" Imported: {', '.join(file.name for file in imported)}." if imported else ""
        raise WeightsError(" ".join(map(str, refused)) + names, Cause.NOT_IMPORTED)
    return imported


def _unknown(path: Path) -> str:
    return f"{path.name} ({content_of(path)})"


def _unknown_text(unknown: Sequence[str]) -> str:
    return (
        f"{'; '.join(unknown)}: none of the published weight files. Was the download broken off, or is it another "
        "version? Other files need no import: choose them with --weights FILE. To keep one, say which method it is of: "
        f"`{COMMAND} import FILE --method NAME`."
    )


def verify(progress: Callable[[int, int, str], None] | None = None) -> list[tuple[Path, FileCondition]]:
    """Read every file of the weights folder and of the bundled models again, and judge it.

    Args:
        progress: Called with (bytes done, bytes, message) before each file.
    """
    known = {file.name: file for file in weights_by_sha256().values()}
    paths = [
        path
        for folder in (weights_folder(), bundled_folder())
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.is_file() and (path.name in known or path.name.endswith((".pt", ".pth", WEIGHTS_SUFFIX, PART_SUFFIX)))
    ]
    sizes = [path.stat().st_size for path in paths]
    conditions = []
    for number, path in enumerate(paths):
        if progress is not None:
            progress(sum(sizes[:number]), sum(sizes), "Reading weight files")
        conditions.append((path, _condition(path, known.get(path.name))))
    return conditions


def remove(names: Iterable[str]) -> list[Path]:
    """Delete files of the weights folder, by file name or by method; bundled files stay. Returns what was deleted.

    Raises:
        WeightsMissingError: Nothing of that name is here.
        OutputError: A file cannot be deleted.
    """
    removed: list[Path] = []
    for name in names:
        files = [Path(name).name]
        if name in method_cards():
            files = [file.name for file in method_cards()[name].weights]
            if name not in MODEL_CARDS:  # a foreign card may name what belongs to others
                files = [file for file in files if file not in published_names()]
                files += [
                    file.path.name for file in card_files(weights_folder(), MODEL_CARDS) if file.card.name == name
                ]
            files += [one.file.name for one in carded_files(name, weights_folder())]
        parts = dict.fromkeys(path for file in files for path in _with_parts(weights_folder() / file))
        present = [path for path in parts if path.is_file()]
        if not present:
            raise WeightsMissingError(
                f"Nothing to remove for {name!r} in {weights_folder()}; see `{COMMAND} list`."
                + (" What ships with the program stays." if _is_bundled(name) else ""),
                Cause.OUT_OF_REACH,
            )
        for path in present:
            try:
                path.unlink()
            except OSError as error:
                raise OutputError(
                    f"{path} cannot be removed ({error.strerror}). Is it open in Slicer?", Cause.DISK
                ) from error
            removed.append(path)
    return removed


def _with_parts(path: Path) -> list[Path]:
    """A weight file, its card, and what unfinished downloads and imports left of it."""
    card = [path.with_suffix(CARD_SUFFIX)]
    return [path, *card, *path.parent.glob(f"{glob.escape(path.name)}*{PART_SUFFIX}")]


def _is_bundled(name: str) -> bool:
    """A method or a file of the bundled models."""
    return bool(carded_files(name, bundled_folder())) or (bundled_folder() / Path(name).name).is_file()


def _condition(path: Path, file: WeightsFile | None) -> FileCondition:
    if path.name.endswith(PART_SUFFIX):
        return FileCondition.UNFINISHED
    digest = hash_file(path)
    remember(path, digest)
    if file is None:
        file = next((one.file for one in all_carded_files(path.parent) if one.path == path), None)
    if file is None:
        return FileCondition.UNKNOWN
    return FileCondition.INTACT if digest == file.sha256 else FileCondition.CORRUPT
