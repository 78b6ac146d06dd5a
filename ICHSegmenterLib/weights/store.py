"""The weight files on this computer: find those of a method, import, verify, remove."""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.json.reader import read_json
from ICHSegmenterLib.cards.json.writer import what_runs
from ICHSegmenterLib.cards.own import CARD_SUFFIX
from ICHSegmenterLib.cards.published_files import WeightsFile
from ICHSegmenterLib.cards.table import MODEL_CARDS, get_card, method_cards, read_card, weights_by_sha256
from ICHSegmenterLib.errors import CardError, OutputError, WeightsError, WeightsMissingError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.weights.cache import bundled_folder, weights_folder, writable_weights_folder
from ICHSegmenterLib.weights.checks import COMMAND, content_of, explicit_file, intact, missing_text
from ICHSegmenterLib.weights.digests import file_sha256, hash_file, remember
from ICHSegmenterLib.weights.sidecar import (
    WEIGHTS_SUFFIX,
    WEIGHTS_SUFFIXES,
    CardedFile,
    all_carded_files,
    carded_file,
    carded_files,
    checked,
)

PART_SUFFIX = ".part"
"""Ends the name of a file that is not complete yet."""


class FileCondition(Enum):
    """What `verify` finds."""

    INTACT = "intact"
    CORRUPT = "corrupt"
    UNFINISHED = "unfinished download"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class WeightsState:
    """Which files of a method are here; cheap, so judged by presence and size only.

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
    """Which weight files of a method are on this computer."""
    present = tuple(file for file in card.weights if locate(file) is not None)
    missing = tuple(file for file in card.weights if file not in present)
    wanted = tuple(file for file in card.weights[: card.default_models] if file in missing)
    imported, bundled = (
        tuple(one.file for one in carded_files(card.name, folder) if one.file not in present)
        for folder in (weights_folder(), bundled_folder())
    )
    is_ready = bool(present or imported or bundled) or not card.needs_weights
    return WeightsState(card.name, present, missing, wanted, is_ready, imported, bundled)


def is_ready(card: ModelCard) -> bool:
    """True if weights and Python packages of a method are here."""
    return state(card).is_ready and not card.missing_packages


def card_of(method: str, weights: Sequence[Path | str] = ()) -> ModelCard:
    """The card that runs: the one beside the weight files that would be used, else the method's own.

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
    carded = [checked(one) for path in paths if (one := carded_file(path)) is not None]
    if not carded:
        card = get_card(method)
        return card if weights else _installed_card(card)
    for one in carded:
        if one.card.name != method:
            raise ValueError(
                f"{one.path.name} belongs to the method {one.card.name!r} by its card {one.card_path.name}, not to "
                f"{method!r}; choose --method {one.card.name}"
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
    return cards[0]


def _installed_card(card: ModelCard) -> ModelCard:
    """The card of the files that `find` takes."""
    if card.name in MODEL_CARDS and card.needs_weights and not any(map(locate, card.weights)):
        for folder in (weights_folder(), bundled_folder()):
            if carded := carded_files(card.name, folder):
                return carded[0].card
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
    found = [(file, path) for file in card.weights if (path := locate(file)) is not None]
    if found:
        return tuple(intact(file, path) for file, path in found[: card.default_models])
    for folder in (weights_folder(), bundled_folder()):
        if files := carded_files(card.name, folder)[: card.default_models]:
            return tuple(intact(one.file, one.path) for one in files)
    raise WeightsMissingError(missing_text(card))


def locate(file: WeightsFile) -> Path | None:
    """Where a published file lies, by name; its content is not read."""
    for folder in (weights_folder(), bundled_folder()):
        if (folder / file.name).is_file():
            return folder / file.name
    return None


def import_files(paths: Iterable[Path | str]) -> list[WeightsFile]:
    """Copy weight files into the weights folder; a folder gives all it knows.

    Published files are known by their digest, whatever they are called here; converted and trained ones by the card
    beside them.

    Raises:
        WeightsMissingError: A path does not exist, or a folder holds no known file.
        WeightsError: A file is none of these (the others are imported all the same).
        OutputError: The weights folder cannot be written.
    """
    imported: list[WeightsFile] = []
    unknown: list[str] = []
    for path in (_weights_of_card(Path(path).expanduser()) for path in paths):
        if path.is_dir():
            inside = [file for child in sorted(path.iterdir()) if child.is_file() and (file := _import_file(child))]
            imported += inside
            if not inside:
                unknown.append(f"{path} (a folder without any known file)")
        elif not path.is_file():
            raise WeightsMissingError(f"{path} does not exist. Choose the downloaded weight file itself.")
        elif file := _import_file(path):
            imported.append(file)
        else:
            unknown.append(f"{path.name} ({content_of(path)})")
    if unknown:
        raise WeightsError(
            f"{'; '.join(unknown)}: none of the published weight files. Was the download broken off, or is it another "
            f"version? Other files need no import: choose them with --weights FILE, or run `{COMMAND} convert FILE "
            "--method NAME` and import what it writes."
            + (f" Imported: {', '.join(file.name for file in imported)}." if imported else "")
        )
    return imported


def verify() -> list[tuple[Path, FileCondition]]:
    """Read every file of the weights folder and of the bundled models again, and judge it."""
    known = {file.name: file for file in weights_by_sha256().values()}
    return [
        (path, _condition(path, known.get(path.name)))
        for folder in (weights_folder(), bundled_folder())
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.is_file() and (path.name in known or path.name.endswith((".pt", ".pth", WEIGHTS_SUFFIX, PART_SUFFIX)))
    ]


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
                files = [f"{name}{CARD_SUFFIX}", *(file for file in files if file not in _published_names())]
            files += [one.file.name for one in carded_files(name, weights_folder())]
        parts = dict.fromkeys(path for file in files for path in _with_parts(weights_folder() / file))
        present = [path for path in parts if path.is_file()]
        if not present:
            raise WeightsMissingError(
                f"Nothing to remove for {name!r} in {weights_folder()}; see `{COMMAND} list`."
                + (" What ships with the program stays." if _is_bundled(name) else "")
            )
        for path in present:
            try:
                path.unlink()
            except OSError as error:
                raise OutputError(f"{path} cannot be removed ({error.strerror}). Is it open in Slicer?") from error
            removed.append(path)
    return removed


def _with_parts(path: Path) -> list[Path]:
    """A weight file, its card, and what unfinished downloads and imports left of it."""
    card = [path.with_suffix(CARD_SUFFIX)]
    return [path, *card, *path.parent.glob(f"{glob.escape(path.name)}*{PART_SUFFIX}")]


def _is_bundled(name: str) -> bool:
    """A method or a file of the bundled models."""
    return bool(carded_files(name, bundled_folder())) or (bundled_folder() / Path(name).name).is_file()


def _import_file(path: Path) -> WeightsFile | None:
    """The published file that this is a copy of, or the file with its card, now in the weights folder, else None."""
    sizes = {file.size for file in weights_by_sha256().values()}
    file = weights_by_sha256().get(file_sha256(path)) if path.stat().st_size in sizes else None
    if file is not None:
        return _copy(path, file)
    if path.suffix == CARD_SUFFIX:
        return _import_card(path)
    carded = carded_file(path)
    if carded is None:
        return None
    file = replace(checked(carded).file, name=_free_name(carded))
    copied = _copy(path, file)
    facts = {**(read_json(carded.card_path) or {}), "weights": file.name, "sha256": file.sha256, "size": file.size}
    with replacing((weights_folder() / file.name).with_suffix(CARD_SUFFIX)) as draft:
        draft.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return copied


def _weights_of_card(path: Path) -> Path:
    """The weight file beside a card, which is what is meant; a card without one, and any other file, as it is."""
    if path.suffix != CARD_SUFFIX:
        return path
    return next(filter(Path.is_file, map(path.with_suffix, WEIGHTS_SUFFIXES)), path)


def _import_card(path: Path) -> WeightsFile | None:
    """A card without a weight file beside it, now in the weights folder under its method's name; None if it is none.

    Raises:
        CardError: It cannot be used, or the program has a method of this name.
    """
    card = read_card(path) if _weights_of_card(path) == path else None
    if card is None:
        return None
    if card.name in MODEL_CARDS:
        raise CardError(f"{path.name}: {card.name} is a method of the program; give the card another name.")
    writable_weights_folder(path.stat().st_size)
    target = weights_folder() / f"{card.name}{CARD_SUFFIX}"
    if path.resolve() != target.resolve():
        with replacing(target) as draft:
            shutil.copyfile(path, draft)
    return WeightsFile(target.name, (), hash_file(target), target.stat().st_size, card.license)


def _free_name(carded: CardedFile) -> str:
    """Its own name, or with its digest where another imported or a published file has that name."""
    path, digest = carded.path, carded.file.sha256
    target = weights_folder() / path.name
    is_free = not target.is_file() or file_sha256(target) == digest
    if is_free and target.name not in _published_names():
        return target.name
    return f"{path.stem}-{digest[:8]}{path.suffix}"


def _published_names() -> set[str]:
    """File names that belong to the program's own methods."""
    return {file.name for card in MODEL_CARDS.values() for file in card.weights}


def _copy(path: Path, file: WeightsFile) -> WeightsFile:
    """Copy into the weights folder, whole or not at all."""
    target = weights_folder() / file.name
    if target.is_file() and hash_file(target) == file.sha256:
        return file
    draft = writable_weights_folder(file.size) / f"{file.name}.{os.getpid()}{PART_SUFFIX}"
    try:
        shutil.copyfile(path, draft)
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise OutputError(f"{path.name} could not be copied to {target} ({error.strerror or error}).") from error
    remember(target, hash_file(target))
    intact(file, target)
    return file


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
