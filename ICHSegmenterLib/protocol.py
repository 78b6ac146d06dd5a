"""Messages between Slicer and the worker process: their types, phases, the exam, and the version of it all.

Both sides import this module. Messages are JSON objects, one a line; see `worker` for the fields of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ICHSegmenterLib.errors import VolumeError, WorkerError
from ICHSegmenterLib.notices import notice
from ICHSegmenterLib.notices.cause_notice import Cause, CauseNotice
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.notices.notice import Notice
from ICHSegmenterLib.preprocessing.checks.findings import InputFinding
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.reader.reader_warning import ReaderWarning
from ICHSegmenterLib.volume.volume import VolumeSource

PROTOCOL_VERSION = 6
"""6: failures and notices of a run are codes with parameters. 5: warnings of readers are, and segments are measured
again on request. 4: the worker reads exams from files. 3: results hold an assessment by pieces of blood, requests an
operating point and a minimum volume. 2: a request stands in its own field, and progress names its phase. 1: both lay
open in the message."""

VOXEL_FILE = "hu.npy"
"""Float or integer HU (slices, rows, columns) in the job folder; the worker writes it when it reads an exam."""

LABELMAP_FILE = "segments.npy"
"""uint8 (slices, rows, columns) in the job folder of a report: the segments as they are now."""

Message = Mapping[str, Any]


class MessageType(str, Enum):
    """The "type" of a message: requests to the worker first, then its answers."""

    ANALYZE = "analyze"
    COMPARE = "compare"
    CHECK = "check"
    READ = "read"
    FOLLOW_UP = "follow_up"
    MEASURE = "measure"
    WARM = "warm"
    DESCRIBE = "describe"
    DOWNLOAD = "download"
    IMPORT = "import"
    REMOVE = "remove"
    VERIFY = "verify"
    TEST = "test"
    DIAGNOSE = "diagnose"
    REPORT = "report"
    FREE = "free"
    CANCEL = "cancel"
    PING = "ping"
    SHUTDOWN = "shutdown"

    HELLO = "hello"
    PROGRESS = "progress"
    RESULT = "result"
    DONE = "done"
    PONG = "pong"
    ERROR = "error"


class Phase(str, Enum):
    """Phase of a run. The value travels; each side has its own texts for people.

    A method without a network has no `LOADING`.
    """

    READING = "reading"
    LOADING = "loading"
    FINDING_BRAIN = "finding_brain"
    RESAMPLING = "resampling"
    PREDICTING = "predicting"
    MEASURING = "measuring"
    REGISTERING = "registering"
    ACTIVATION = "activation"
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    SYNTHESIZING = "synthesizing"


@dataclass(frozen=True)
class Stage:
    """A phase, and of which method if several take part.

    Attributes:
        phase: What is being done.
        method: Name of the method while several are compared, or whose weights are downloaded; else empty.
    """

    phase: Phase
    method: str = ""


def check_version(hello: Message) -> None:
    """Refuse a worker of another version.

    Args:
        hello: Its first message.

    Raises:
        WorkerError: It speaks another protocol.
    """
    version = hello.get("protocol")
    if version != PROTOCOL_VERSION:
        raise WorkerError(ErrorNotice(ErrorCode.TWO_VERSIONS, {"theirs": version, "ours": PROTOCOL_VERSION}))


def progress_message(request_id: str, done: int, total: int, stage: Stage) -> Message:
    """How far a request is."""
    return {
        "type": MessageType.PROGRESS.value,
        "id": request_id,
        "done": done,
        "total": total,
        "phase": stage.phase.value,
        "method": stage.method,
    }


def read_progress(message: Message) -> tuple[int, int, Stage]:
    """(done, total, stage) of a progress message.

    Raises:
        ValueError: It has a phase that this version does not know, or no numbers.
    """
    return int(message["done"]), int(message["total"]), Stage(Phase(message["phase"]), message.get("method", ""))


def exam_message(job: Path, geometry: VolumeGeometry, source: VolumeSource) -> dict[str, Any]:
    """The fields of a request that describe the exam; its voxels lie in `job` as `VOXEL_FILE`."""
    return {"job": str(job), "geometry": geometry_fields(geometry), "source": source_fields(source)}


def geometry_fields(geometry: VolumeGeometry) -> dict[str, Any]:
    """A grid, as `read_geometry` reads it."""
    return {
        "shape": list(geometry.shape),
        "column_step": geometry.column_step.tolist(),
        "row_step": geometry.row_step.tolist(),
        "slice_origins": geometry.slice_origins.tolist(),
    }


def source_fields(source: VolumeSource) -> dict[str, Any]:
    """A source, as `read_source` reads it; without the UIDs of its slices."""
    return {
        "format": source.format,
        "series_uid": source.series_uid,
        "series_number": source.series_number,
        "kernel": source.kernel,
        "warnings": [warning.to_json() for warning in source.reader_warnings],
        "has_contrast_agent": source.has_contrast_agent,
    }


def read_geometry(fields: Any) -> VolumeGeometry:
    """The grid of an exam, exactly: JSON keeps every bit of a float.

    Raises:
        ValueError: Fields are absent.
        VolumeError: There is no such grid.
    """
    if not isinstance(fields, Mapping):
        raise ValueError(f"'geometry' must be an object, got {fields!r}")
    try:
        slices, rows, columns = (int(size) for size in fields["shape"])
        return VolumeGeometry(
            (slices, rows, columns), fields["column_step"], fields["row_step"], fields["slice_origins"]
        )
    except KeyError as error:
        raise ValueError(f"'geometry' lacks {error}") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise VolumeError(f"The geometry of the volume is impossible: {error}.", Cause.DATA_MISMATCH) from error


def read_source(fields: Any) -> VolumeSource:
    """The source of an exam.

    Raises:
        ValueError: It is no object, its warnings are none, or its series has no whole number.
    """
    if not isinstance(fields, Mapping):
        raise ValueError(f"'source' must be an object, got {fields!r}")
    return VolumeSource(
        format=str(fields.get("format") or "Slicer"),
        series_uid=str(fields.get("series_uid") or ""),
        series_number=int(read_number(fields, "series_number") or 0),
        kernel=str(fields.get("kernel") or ""),
        reader_warnings=_read_warnings(fields.get("warnings") or []),
        has_contrast_agent=bool(fields.get("has_contrast_agent", False)),
    )


def read_notice(plain: Any) -> Notice | None:
    """The code and the parameters of a failure; None without, or if this version does not know them."""
    return notice.read_notice(plain, (ErrorNotice, CauseNotice, InputFinding))


def _read_warnings(plain: Any) -> tuple[ReaderWarning, ...]:
    if not isinstance(plain, list) or not all(isinstance(one, Mapping | str) for one in plain):
        raise ValueError(f"'warnings' must be a list of warnings, got {plain!r}")
    return tuple(map(ReaderWarning.from_json, plain))


def read_text(message: Message, field: str, default: str | None = None) -> str:
    """A field that must be a text with at least one character.

    Raises:
        ValueError: It is not.
    """
    value = message.get(field, default)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{field!r} must be a text, got {value!r}")
    return value


def read_texts(message: Message, field: str) -> list[str]:
    """A field that must be a list of texts; absent means empty.

    Raises:
        ValueError: It is not.
    """
    value = message.get(field) or []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{field!r} must be a list of texts, got {value!r}")
    return value


def read_number(message: Message, field: str) -> float | None:
    """A field that must be a number; absent means None.

    Raises:
        ValueError: It is not.
    """
    value = message.get(field)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"{field!r} must be a number, got {value!r}")
    return None if value is None else float(value)


def read_object(message: Message, field: str) -> Message:
    """A field that must be a JSON object; absent means empty.

    Raises:
        ValueError: It is not.
    """
    value = message.get(field) or {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{field!r} must be an object, got {value!r}")
    return value
