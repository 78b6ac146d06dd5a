"""The reading of an exam from files by the worker, which knows the place of every slice and survives damaged files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ICHSegmenterLib.errors import Failure
from ICHSegmenterLib.protocol import VOXEL_FILE, Message, MessageType, read_geometry, read_source
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import VolumeSource
from ICHSegmenterSlicer.client.worker_client import WorkerClient

Series = Mapping[str, Any]
"""One of several series: the fields of the library's `SeriesSummary`."""


@dataclass(frozen=True)
class ExamOnDisk:
    """An exam that the worker has read.

    Attributes:
        voxels: File with HU (slices, rows, columns).
        geometry: The acquired grid, in LPS.
        source: Its series.
        instanceUids: Of its DICOM slices, in array order; empty otherwise.
    """

    voxels: Path
    geometry: VolumeGeometry
    source: VolumeSource
    instanceUids: tuple[str, ...]


def submitRead(
    client: WorkerClient,
    path: Path,
    folder: Path,
    *,
    seriesUid: str | None,
    done: Callable[[ExamOnDisk], None],
    choose: Callable[[Sequence[Series]], None],
    failed: Callable[[Failure], None],
) -> str:
    """Ask the worker to read an exam; returns the id of the request.

    Args:
        client: Starts the worker if none runs; no analysis is begun.
        path: A DICOM folder or file, or an image file.
        folder: Gets the voxels.
        seriesUid: One of several series.
        done: Called with the exam.
        choose: Called with the series, if there are several.
        failed: Called if there is no answer.
    """

    def receive(answer: Message) -> None:
        if "series" in answer:
            choose(answer["series"])
            return
        geometry, source = read_geometry(answer["geometry"]), read_source(answer["source"])
        done(ExamOnDisk(folder / VOXEL_FILE, geometry, source, tuple(answer["instance_uids"])))

    request = {"type": MessageType.READ, "job": str(folder), "path": str(path), "series_uid": seriesUid}
    return client.submit(request, done=receive, failed=failed)
