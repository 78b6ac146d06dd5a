"""Exams whose files are still being copied: waited for, and noticed when they change under the analysis."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ICHSegmenterLib.batch.discovery import exams_in, listing_digest
from ICHSegmenterLib.batch.exam import Exam
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.input_files import InputDigest, digest_of

SETTLE_S = 2.0
"""Files that did not change between two looks so far apart are taken for complete."""
MAX_LOOKS = 30


class InputChangedError(VolumeError):
    """Files of an exam came, went or changed while it was analyzed."""


def settled(exam: Exam, wait: Callable[[float], object] = time.sleep) -> tuple[Exam, InputDigest]:
    """An exam with the files that it has now, and their digest; waits while they change.

    Args:
        exam: As it was found.
        wait: Waits for so many seconds.

    Raises:
        InputChangedError: They change for longer than is waited.
        OSError: They have gone.
    """
    for look in range(MAX_LOOKS):
        exam = _relisted(exam)
        files = exam.input_files()
        before = digest_of(files)
        youngest_s = time.time() - max((path.stat().st_mtime for path in files), default=0.0)
        if not 0 <= youngest_s < SETTLE_S:
            return exam, before
        wait(SETTLE_S - youngest_s if look == 0 else SETTLE_S)
        if _relisted(exam) is exam and digest_of(files) == before:
            return exam, before
    raise InputChangedError(
        f"The files of this exam were still being written after {MAX_LOOKS * SETTLE_S:.0f} s. Run the batch again when "
        "the copy is complete."
    )


def check_unchanged(exam: Exam, before: InputDigest) -> None:
    """Refuse a result whose input changed while it was made; the content of `before` does not count.

    Raises:
        InputChangedError: It did.
    """
    try:
        is_unchanged = _relisted(exam) is exam and digest_of(exam.input_files()).times == before.times
    except OSError:
        is_unchanged = False
    if not is_unchanged:
        raise InputChangedError(
            "The files of this exam changed while it was analyzed; the result was thrown away. Run the batch again "
            "when the copy is complete."
        )


def _relisted(exam: Exam) -> Exam:
    """The same exam if no file came to its folder or left it, else with the files that its series has now."""
    if not exam.listing or listing_digest(exam.path) == exam.listing:
        return exam
    now = next((other for other in exams_in(exam.path, all_series=True) if other.series_uid == exam.series_uid), None)
    if now is None:
        raise VolumeError("The series is no longer in its folder; it was moved or removed. Run the batch again.")
    return replace(exam, files=now.files, listing=now.listing)
