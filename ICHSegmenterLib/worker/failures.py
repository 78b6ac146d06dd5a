"""Exceptions as failures: a kind, a sentence that says what to do, and details for the log."""

from __future__ import annotations

import traceback

from ICHSegmenterLib.errors import (
    DependencyError,
    Failure,
    ICHSegmenterError,
    OutOfGpuMemoryError,
    OutOfMemoryError,
    WorkerError,
)
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.runtime.lost_device import is_device_lost

DETAIL_LINES = 30


def explain(error: BaseException) -> Failure:
    """The failure that an exception means."""
    details = "".join(traceback.format_exception(type(error), error, error.__traceback__)).strip()
    details = "\n".join(details.splitlines()[-DETAIL_LINES:])
    text = str(error).strip() or type(error).__name__
    if isinstance(error, ICHSegmenterError):
        return Failure(error.kind, text, "" if error.kind == "cancelled" else details, notice=error.notice)
    first = text.splitlines()[0]
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("ICHSegmenterLib"):
        kind, notice = DependencyError.kind, ErrorNotice(ErrorCode.PACKAGE_MISSING, {"package": error.name})
    elif type(error).__name__ == "OutOfMemoryError":
        kind, notice = OutOfGpuMemoryError.kind, ErrorNotice(ErrorCode.NO_GPU_MEMORY)
    elif isinstance(error, MemoryError):
        kind, notice = OutOfMemoryError.kind, ErrorNotice(ErrorCode.NO_MEMORY)
    elif is_device_lost(error):
        kind, notice = WorkerError.kind, ErrorNotice(ErrorCode.GPU_STOPPED, {"reason": first})
    else:
        mistake = {"error": f"{type(error).__name__}: {first}"}
        kind, notice = ICHSegmenterError.kind, ErrorNotice(ErrorCode.MISTAKE, mistake)
    return Failure(kind, notice.text, details, is_fatal=notice.code is ErrorCode.GPU_STOPPED, notice=notice)
