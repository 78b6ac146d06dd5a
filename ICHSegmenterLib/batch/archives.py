"""Zip files as inputs: unpacked for the time of a run, under the same paths and times each time, so that it resumes."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ICHSegmenterLib.errors import ICHSegmenterError, OutputError, VolumeError

ARCHIVE_SUFFIX = ".zip"
MAX_RATIO = 100
"""Of unpacked to packed bytes: scans pack to a half or a tenth, what packs better is made to fill the disk."""
FREE_BYTES = 1 << 30
"""Stay free on the disk."""
DIGITS = 12


@contextmanager
def unpacked(inputs: Sequence[Path], folder: Path) -> Iterator[list[Path]]:
    """The inputs, with a folder instead of each zip file; these are removed when the block ends.

    Args:
        inputs: Of a batch.
        folder: For the unpacked files, readable by their owner only.

    Raises:
        VolumeError: A zip file is damaged, locked by a password, or too large when unpacked.
        OutputError: There is no room for it.
    """
    made: list[Path] = []
    try:
        paths = []
        for path in inputs:
            if path.suffix.lower() == ARCHIVE_SUFFIX and path.is_file():
                target = folder / f"{path.stem}-{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:DIGITS]}"
                made.append(target)
                _unpack(path, target)
                path = target
            paths.append(path)
        yield paths
    finally:
        for target in made:
            shutil.rmtree(target, ignore_errors=True)


def _unpack(path: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)  # of a run that was killed
    try:
        target.mkdir(mode=0o700, parents=True)
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _check_size(path, sum(member.file_size for member in members), target)
            for member in members:
                written = Path(archive.extract(member, target))  # never outside: zipfile drops .. and drives
                seconds = time.mktime((*member.date_time, 0, 0, -1))
                os.utime(written, (seconds, seconds))
    except ICHSegmenterError:
        raise
    except OSError as error:
        if error.errno is None:
            raise _damaged(path) from error
        raise OutputError(
            f"{path.name} cannot be unpacked to {target} ({error.strerror}). Make room there, or unpack it yourself."
        ) from error
    except Exception as error:  # a damaged archive can fail in any way
        raise _damaged(path) from error


def _check_size(path: Path, size: int, target: Path) -> None:
    if size > MAX_RATIO * path.stat().st_size:
        raise VolumeError(
            f"{path.name}: unpacked it would be {size / path.stat().st_size:.0f} times as large; it is made to do "
            "harm, or no archive of scans. Unpack it yourself."
        )
    free = shutil.disk_usage(target).free - FREE_BYTES
    if size > free:
        raise OutputError(
            f"{path.name}: unpacked it needs {size / 1e9:.1f} GB, and {max(free, 0) / 1e9:.1f} GB are free in "
            f"{target}. Make room there, or unpack it yourself."
        )


def _damaged(path: Path) -> VolumeError:
    return VolumeError(f"{path.name}: the zip file is damaged, or locked by a password. Copy it again, or unpack it.")
