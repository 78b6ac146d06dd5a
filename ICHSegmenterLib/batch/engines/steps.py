"""The steps of one exam, which every engine takes: read, analyzed by the engine, published."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ICHSegmenterLib.batch.attempts import Attempts
from ICHSegmenterLib.batch.done import DoneBefore, is_current
from ICHSegmenterLib.batch.exam import Exam, ExamOutcome
from ICHSegmenterLib.batch.messages import without_file_names
from ICHSegmenterLib.batch.reading.checking_reader import CheckingReader
from ICHSegmenterLib.batch.settled import check_unchanged, settled
from ICHSegmenterLib.batch.tables.rows import numbers_of
from ICHSegmenterLib.errors import ICHSegmenterError, OutOfMemoryError, ResultError, VolumeError
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.outputs.table import check_outputs
from ICHSegmenterLib.outputs.write import write_outputs
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.input_files import InputDigest, content_digest
from ICHSegmenterLib.volume.io import read_mask
from ICHSegmenterLib.volume.reader.process import ReaderKilledError, ReaderProcess
from ICHSegmenterLib.volume.volume import Volume

logger = logging.getLogger(__name__)


def _silent(name: str) -> None:
    """Announce nothing."""


@dataclass(frozen=True, eq=False)
class ReadExam:
    """An exam that is ready to be analyzed.

    Attributes:
        exam: With the files that it has now.
        digest: Of these files, with their content.
        volume: Its voxels are mapped into memory.
        known: `brain_mask`, where the exam brings one; else `checked`, where its reader found out.
    """

    exam: Exam
    digest: InputDigest
    volume: Volume
    known: Mapping[str, Any]


@dataclass(frozen=True)
class ExamSteps:
    """State that all exams of a run share.

    Attributes:
        output: Folder of the results.
        request: What is asked of each exam.
        attempts: The record of exams that kill.
        done: Exams that an earlier run finished.
        begun: Called with the name of an exam before its analysis, or when it needs none.
    """

    output: Path
    request: AnalysisRequest
    attempts: Attempts
    done: DoneBefore = field(default_factory=DoneBefore)
    begun: Callable[[str], None] = _silent

    def before(self, exam: Exam) -> ExamOutcome | None:
        """The outcome of an exam that is not to be analyzed, None for the others."""
        if exam.name in self.done.newer:
            error = ResultError("The result was written by a newer version. Update ICHSegmenter, or give --overwrite.")
            return ExamOutcome(exam, "failed", error=error.kind, message=str(error))
        before = self.done.exams.get(exam.name)
        if before is None:
            return None
        if not is_current(exam, before):
            logger.warning("%s: its files changed since it was analyzed; it is analyzed again", exam.name)
            return None
        return ExamOutcome(exam, "skipped", before.numbers)

    def read(self, exam: Exam, reader: ReaderProcess, wait: Callable[[float], object] = time.sleep) -> ReadExam:
        """The exam, read when its files have come to rest.

        Args:
            exam: Not done before.
            reader: Reads it.
            wait: Waits for so many seconds.

        Raises:
            ReaderKilledError: The exam ended the reader; recorded.
            PassedError: It killed before.
            ICHSegmenterError, OSError: It cannot be read, or an output cannot be made of it.
        """
        if exam.problem:
            raise VolumeError(exam.problem)
        exam, digest = settled(exam, wait)
        self.attempts.check(exam.name, digest)
        try:
            volume = reader.volume(exam.path, series_uid=exam.series_uid, files=exam.files)
        except ReaderKilledError as error:
            self.attempts.killed(exam.name, digest, without_file_names(str(error), exam))
            raise
        content = content_digest(exam.input_files())
        check_outputs(self.request.outputs, volume, exam.path)
        return ReadExam(exam, replace(digest, content=content), volume, _known(exam, volume, reader))

    def publish(self, read: ReadExam, result: AnalysisResult) -> ExamOutcome:
        """Put the results of an exam into their folder, whole.

        Raises:
            InputChangedError: Its files changed since they were read; nothing is written.
            OutputError: They cannot be written.
        """
        exam = read.exam
        check_unchanged(exam, read.digest)
        result = replace(result, provenance=replace(result.provenance, input=read.digest.to_json()))
        write_outputs(result, read.volume, self.output / exam.name, outputs=self.request.outputs, source=exam.path)
        return ExamOutcome(exam, "done", numbers_of(result.to_json()))


def _known(exam: Exam, volume: Volume, reader: ReaderProcess) -> dict[str, Any]:
    """What the analysis need not find out: its arguments."""
    if exam.brain_mask is not None:
        return {"brain_mask": read_mask(exam.brain_mask, volume.geometry)}
    checked = reader.checked(volume) if isinstance(reader, CheckingReader) else None
    return {} if checked is None else {"checked": checked}


def failed_outcome(exam: Exam, error: Exception) -> ExamOutcome:
    """The outcome of an exam that an exception ended, with a message that names no file."""
    if isinstance(error, ICHSegmenterError):
        kind, message = error.kind, str(error)
    elif isinstance(error, MemoryError):
        kind, message = OutOfMemoryError.kind, ErrorNotice(ErrorCode.NO_MEMORY).text
    elif isinstance(error, OSError):  # its text would show the path, which often holds the patient's name
        name = Path(error.filename).name if isinstance(error.filename, str) else "a file"
        kind = "failed"
        message = f"{name}: {error.strerror or type(error).__name__}. Check the disk and the rights, then run again."
    else:
        logger.error("%s: unexpected failure\n%s", exam.name, "".join(traceback.format_tb(error.__traceback__)))
        kind, message = "failed", f"Unexpected {type(error).__name__}: {error}"
    message = without_file_names(message, exam)
    logger.info("%s: %s", exam.name, message)
    return ExamOutcome(exam, "failed", error=kind, message=message)
