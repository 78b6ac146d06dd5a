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
from ICHSegmenterLib.runtime.lost_device import is_device_lost

DETAIL_LINES = 30


def explain(error: BaseException) -> Failure:
    """The failure that an exception means."""
    details = "".join(traceback.format_exception(type(error), error, error.__traceback__)).strip()
    details = "\n".join(details.splitlines()[-DETAIL_LINES:])
    text = str(error).strip() or type(error).__name__
    if isinstance(error, ICHSegmenterError):
        return Failure(error.kind, text, "" if error.kind == "cancelled" else details)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("ICHSegmenterLib"):
        advice = "In Slicer let the extension 'PyTorch' install PyTorch; elsewhere: pip install 'ichsegmenter[torch]'."
        return Failure(DependencyError.kind, f"The Python package {error.name!r} is missing. {advice}", details)
    if type(error).__name__ == "OutOfMemoryError":
        advice = "Close other programs that use the graphics card, or choose the device cpu."
        return Failure(OutOfGpuMemoryError.kind, f"The graphics card has too little memory. {advice}", details)
    if isinstance(error, MemoryError):
        advice = "Close other programs or volumes and run again."
        return Failure(OutOfMemoryError.kind, f"This computer has too little memory. {advice}", details)
    if is_device_lost(error):
        first = text.splitlines()[0]
        advice = "Run again: a new worker is started. If it happens again, choose the device cpu."
        return Failure(WorkerError.kind, f"The graphics card stopped ({first}). {advice}", details, is_fatal=True)
    first = text.splitlines()[0]
    advice = "This is a mistake in the program: please report it with the log."
    return Failure(ICHSegmenterError.kind, f"{type(error).__name__}: {first}. {advice}", details)
