"""An exam from files to the job folder, by the reader process: a damaged file ends that one, not the worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ICHSegmenterLib.errors import OutputError, VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.protocol import VOXEL_FILE, Phase, geometry_fields, source_fields
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.volume.dicom.series import SeveralSeriesError
from ICHSegmenterLib.volume.reader.process import ReaderProcess
from ICHSegmenterLib.volume.volume import Volume

CHUNK_BYTES = 32_000_000
INT16 = np.iinfo(np.int16)


def read_exam(path: Path, job: Path, context: RunContext, *, series_uid: str | None = None) -> dict[str, Any]:
    """The fields of an answer: `geometry`, `source` and `instance_uids` of the exam, or `series` to choose from.

    Args:
        path: As for `read_volume`.
        job: Folder that gets the voxels, int16 if they are whole numbers, else float32.
        context: Reports one phase; asked whether to stop.
        series_uid: SeriesInstanceUID of one of several series.

    Raises:
        CancelledError: It was cancelled.
        VolumeError, DependencyError: The exam cannot be read.
        OutputError: The voxels cannot be written.
    """
    context.report(0, 1, Phase.READING)
    with ReaderProcess(cancelled=context.cancelled) as reader:
        try:
            volume = reader.volume(path, series_uid=series_uid)
        except SeveralSeriesError as error:
            return {"series": [asdict(summary) for summary in error.series]}
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise VolumeError(
                f"{path.name}: {reason}. Check the path, the disk and the rights.", Cause.OUT_OF_REACH
            ) from error
        _write(volume, job / VOXEL_FILE, context)
    return {
        "geometry": geometry_fields(volume.geometry),
        "source": source_fields(volume.source),
        "instance_uids": list(volume.source.instance_uids),
    }


def _write(volume: Volume, path: Path, context: RunContext) -> None:
    """Write the voxels in pieces."""
    dtype = np.int16 if all(_is_int16(volume, part) for part in _parts(volume)) else np.float32
    try:
        target = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=volume.hu.shape)
        for part in _parts(volume):
            context.check()
            target[part] = volume.hu[part]
    except OSError as error:
        raise OutputError(
            f"The exam cannot be written to {path.parent} ({error.strerror or error}). Is the disk full?", Cause.DISK
        ) from error


def _is_int16(volume: Volume, part: slice) -> bool:
    hu = volume.hu[part]
    return bool((hu == np.rint(hu)).all() and hu.min() >= INT16.min and hu.max() <= INT16.max)


def _parts(volume: Volume) -> Iterator[slice]:
    step = max(1, int(CHUNK_BYTES / volume.hu[0].nbytes))
    return (slice(start, start + step) for start in range(0, len(volume.hu), step))
