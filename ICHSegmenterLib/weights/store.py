"""The weight files on this computer: find those of a method, import, verify, remove."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from ICHSegmenterLib.cards.published_files import WeightsFile
from ICHSegmenterLib.cards.table import MODEL_CARDS, ModelCard, weights_by_sha256
from ICHSegmenterLib.errors import OutputError, WeightsCorruptError, WeightsError, WeightsMissingError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.weights.cache import bundled_folder, in_megabytes, weights_folder, writable_weights_folder
from ICHSegmenterLib.weights.digests import file_sha256, hash_file, remember
from ICHSegmenterLib.weights.sidecar import (
    CARD_SUFFIX,
    WEIGHTS_SUFFIX,
    carried_file,
    carried_files,
    check_carried,
    check_input,
)

PART_SUFFIX = ".part"
"""Ends the name of a file that is not complete yet."""

COMMAND = "ichsegmenter models"
_GIT_LFS_POINTER = b"version https://git-lfs"


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
    imported, bundled = (tuple(carried_files(card.name, folder)) for folder in (weights_folder(), bundled_folder()))
    is_ready = bool(present or imported or bundled) or not card.needs_weights
    return WeightsState(card.name, present, missing, wanted, is_ready, imported, bundled)


def find(card: ModelCard, explicit_paths: Sequence[Path | str] = ()) -> tuple[Path, ...]:
    """The weight files to load for a method, checked; none for a classical method.

    Explicit files win and may be any file. Otherwise the first `default_models` files of the card that are here,
    fewer (at least one) if not all of them are; without any, the imported files whose own cards name the method;
    without these, the bundled ones.

    Raises:
        WeightsMissingError: An explicit file does not exist, or none of the card is here.
        WeightsCorruptError: A file is not what its name or its card says.
        WeightsError: A file was trained on other input than the method shows.
    """
    if explicit_paths:
        return tuple(_explicit_file(Path(path)) for path in explicit_paths)
    if not card.needs_weights:
        return ()
    found = [(file, path) for file in card.weights if (path := locate(file)) is not None]
    if found:
        return tuple(_intact(file, path) for file, path in found[: card.default_models])
    for folder in (weights_folder(), bundled_folder()):
        if files := carried_files(card.name, folder)[: card.default_models]:
            return tuple(_intact_and_fitting(file, folder / file.name) for file in files)
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
    for path in (Path(path).expanduser() for path in paths):
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
            unknown.append(f"{path.name} ({_content(path)})")
    if unknown:
        raise WeightsError(
            f"{'; '.join(unknown)}: none of the published weight files. Was the download broken off, or is it another "
            f"version? Other files need no import: choose them with --weights FILE, or run `{COMMAND} convert FILE "
            "--method NAME` and import what it writes."
            + (f" Imported: {', '.join(file.name for file in imported)}." if imported else "")
        )
    return imported


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
        if name in MODEL_CARDS:
            files = [file.name for file in (*MODEL_CARDS[name].weights, *carried_files(name, weights_folder()))]
        present = [path for file in files for path in _with_parts(weights_folder() / file) if path.is_file()]
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


def missing_text(card: ModelCard) -> str:
    """What is missing, how large it is, its licence, and how to get it."""
    files = card.weights[: card.default_models]
    if not files:
        return (
            f"{card.name} has no published weights to download. Choose the authors' or your own file with --weights "
            f"FILE, or run `{COMMAND} convert FILE --method {card.name}` once and import what it writes."
        )
    text = f"{card.name} needs {_names(files)}, which is not on this computer ({_sizes(files)}, {files[0].license}). "
    if files[0].urls:
        text += f"Press Download in the panel or run `{COMMAND} download {card.name}`. "
    text += f"If you have it: Import from file… in the panel or `{COMMAND} import FILE`, under any file name."
    return text + (f" Note: {files[0].note}" if files[0].note else "")


def _with_parts(path: Path) -> list[Path]:
    """A weight file, its card, and what unfinished downloads and imports left of it."""
    card = [path.with_suffix(CARD_SUFFIX)] if path.suffix == WEIGHTS_SUFFIX else []
    return [path, *card, *path.parent.glob(f"{glob.escape(path.name)}*{PART_SUFFIX}")]


def _names(files: Sequence[WeightsFile]) -> str:
    return files[0].name if len(files) == 1 else f"{files[0].name} to {files[-1].name} (at least one)"


def _sizes(files: Sequence[WeightsFile]) -> str:
    return in_megabytes(sum(file.size for file in files))


def _explicit_file(path: Path) -> Path:
    """A file that the user named: it must exist and not be an obvious non-file."""
    path = path.expanduser()
    if not path.is_file():
        raise WeightsMissingError(f"{path} does not exist. Choose the weight file itself, for example model.pt.")
    if path.stat().st_size == 0 or _is_lfs_pointer(path):
        raise WeightsCorruptError(f"{path}: {_content(path)}, not weights. Get the real file and choose it again.")
    return path


def _intact(file: WeightsFile, path: Path) -> Path:
    if path.stat().st_size == file.size and file_sha256(path) == file.sha256:
        return path
    remedy = f"Run `{COMMAND} remove {file.name}`, then download or import it again."
    if path.parent == bundled_folder():
        remedy = "It ships with the program: install ICHSegmenter again, or import your own file for the method."
    raise WeightsCorruptError(
        f"{path} was altered or is incomplete ({in_megabytes(path.stat().st_size)} of {in_megabytes(file.size)}). "
        + remedy
    )


def _intact_and_fitting(file: WeightsFile, path: Path) -> Path:
    """A file with a card of its own, checked."""
    check_input(path)
    return _intact(file, path)


def _is_bundled(name: str) -> bool:
    """A method or a file of the bundled models."""
    return bool(carried_files(name, bundled_folder())) or (bundled_folder() / Path(name).name).is_file()


def _import_file(path: Path) -> WeightsFile | None:
    """The published or carried file that this is a copy of, now in the weights folder; None if it is none."""
    sizes = {file.size for file in weights_by_sha256().values()}
    file = weights_by_sha256().get(file_sha256(path)) if path.stat().st_size in sizes else None
    if file is not None:
        return _copy(path, file)
    carried = check_carried(path)
    if carried is None:
        return None
    file = replace(carried.file, name=_free_name(carried.file))
    card = (weights_folder() / file.name).with_suffix(CARD_SUFFIX)
    copied = _copy(path, file)
    with replacing(card) as draft:
        shutil.copyfile(path.with_suffix(CARD_SUFFIX), draft)
    return copied


def _free_name(file: WeightsFile) -> str:
    """Its own name, or with its digest where another imported file has that name."""
    other = carried_file(weights_folder() / file.name)
    if other is None or other.file.sha256 == file.sha256:
        return file.name
    return f"{Path(file.name).stem}-{file.sha256[:8]}{WEIGHTS_SUFFIX}"


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
    _intact(file, target)
    return file


def _condition(path: Path, file: WeightsFile | None) -> FileCondition:
    if path.name.endswith(PART_SUFFIX):
        return FileCondition.UNFINISHED
    digest = hash_file(path)
    remember(path, digest)
    carried = carried_file(path)
    file = carried.file if file is None and carried is not None else file
    if file is None:
        return FileCondition.UNKNOWN
    return FileCondition.INTACT if digest == file.sha256 else FileCondition.CORRUPT


def _content(path: Path) -> str:
    """What a file that is no known weights seems to be."""
    if path.stat().st_size == 0:
        return "an empty file"
    if _is_lfs_pointer(path):
        return "a Git LFS pointer, a text file that only names the weights"
    return f"{in_megabytes(path.stat().st_size)}, SHA-256 {file_sha256(path)[:12]}…"


def _is_lfs_pointer(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_GIT_LFS_POINTER)) == _GIT_LFS_POINTER
