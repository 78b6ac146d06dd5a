"""Files and folders that are written all or nothing, and whose damaged content is a typed error when read."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from ICHSegmenterLib.errors import ICHSegmenterError, OutputError
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice

SCRATCH_PREFIX = ".ichsegmenter-"
"""Begins the name of a folder that is being written, or whose removal was interrupted."""


DRAFT_PREFIX = ".writing-"
"""Begins the name of a file that is being written."""

_FOLDERS = re.compile(r"(?<![\w.~-])(?:[A-Za-z]:)?(?:[\\/]+[^\s\\/:;,'\"()<>|]+)*[\\/]+(?=[^\s\\/])")
"""The folders of an absolute path, up to the name of the file."""

Options = ParamSpec("Options")
Content = TypeVar("Content")


def typed_reader(
    error_class: type[ICHSegmenterError],
) -> Callable[[Callable[Concatenate[Path, Options], Content]], Callable[Concatenate[Path, Options], Content]]:
    """A reader of a path whose every failure is of one class: a damaged file can fail in any way."""

    def decorate(
        read: Callable[Concatenate[Path, Options], Content],
    ) -> Callable[Concatenate[Path, Options], Content]:
        @wraps(read)
        def typed(path: Path, /, *arguments: Options.args, **options: Options.kwargs) -> Content:
            try:
                return read(path, *arguments, **options)
            except (ICHSegmenterError, MemoryError):
                raise
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise error_class(f"{path.name} cannot be read ({reason}). Check the file and its disk.") from error
            except Exception as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
                raise error_class(
                    f"{path.name}: its content makes no sense ({reason}); it is damaged, or another kind of file. Make "
                    "or copy it again."
                ) from error

        return typed

    return decorate


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary path in the same folder, renamed to `path` when the block ends well, removed when it fails.

    The folder is made if absent; the temporary name keeps the suffixes, by which writers choose formats. The content
    is on the disk before it has its name, so that a power cut leaves no empty file under it.

    Raises:
        OutputError: The folder cannot be written, or the disk is full.
    """
    path = Path(path)
    suffixes = "".join(path.suffixes)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=DRAFT_PREFIX, suffix=suffixes)
        os.close(handle)
        temporary = Path(name)
        temporary.chmod(0o644)
        yield temporary
        flush_file(temporary)
        temporary.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(ErrorNotice(ErrorCode.CANNOT_WRITE, {"name": path.name, "reason": reason})) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path, *, own_files: Collection[str], done_file: str) -> Iterator[Path]:
    """A hidden folder beside `folder` to write in, which takes its place as a whole when the block ends well.

    A folder of before is moved away first. If it also holds files of other people, or cannot be moved, files are
    replaced in it instead: the done-file is removed first and comes last, so that old numbers never vouch for new
    files.

    Args:
        folder: Made if absent.
        own_files: Names of files that earlier runs may have left, and that do not stay.
        done_file: Name of the file that says that the folder is whole.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=folder.parent))
    try:
        yield scratch
        for path in scratch.rglob("*"):
            if path.is_file():
                flush_file(path)
        scratch.chmod(0o755)
        if not _exchange(scratch, folder, {*own_files, done_file}):
            _replace_files(scratch, folder, own_files, done_file)
        flush_folder(folder.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def without_paths(text: str) -> str:
    """A text for others, with the names of files but not of their folders, which may hold that of a person."""
    for folder in filter(None, {str(Path.home()), os.environ.get("USERPROFILE", "")}):
        text = text.replace(folder, "") if len(Path(folder).parts) > 1 else text
    return _FOLDERS.sub("…/", text)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left in a folder; only for the process that owns it."""
    for draft in folder.glob(DRAFT_PREFIX + "*"):
        draft.unlink(missing_ok=True)
    for path in folder.glob(SCRATCH_PREFIX + "*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def flush_file(path: Path) -> None:
    """Have the content of a file on the disk before going on."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Have the names in a folder on the disk; Windows and some shares do not know it and keep them by themselves."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _exchange(scratch: Path, folder: Path, own_files: Collection[str]) -> bool:
    """Put the written folder into place; False, with nothing changed, if the old one has to stay."""
    if not folder.exists():
        scratch.replace(folder)
        return True
    if folder.is_symlink() or any(path.name not in own_files for path in folder.iterdir()):
        return False
    away = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=folder.parent))
    try:
        folder.rename(away / "old")
    except OSError:  # a disk of its own, or open in another program
        away.rmdir()
        return False
    scratch.replace(folder)
    shutil.rmtree(away, ignore_errors=True)
    return True


def _replace_files(scratch: Path, folder: Path, own_files: Collection[str], done_file: str) -> None:
    names = sorted((path.name for path in scratch.iterdir()), key=lambda name: name == done_file)
    for stale in (done_file, *(name for name in own_files if name not in names)):
        (folder / stale).unlink(missing_ok=True)
    flush_folder(folder)
    for name in names:
        (scratch / name).replace(folder / name)
    flush_folder(folder)
