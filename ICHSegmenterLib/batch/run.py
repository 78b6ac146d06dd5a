"""Many exams in one go: each in its own folder, resumable, one failure never stops the others."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from ICHSegmenterLib.batch.attempts import Attempts
from ICHSegmenterLib.batch.discovery import find_exams
from ICHSegmenterLib.batch.done import DoneBefore, done_before, is_current
from ICHSegmenterLib.batch.exam import Exam, ExamOutcome
from ICHSegmenterLib.batch.messages import without_file_names
from ICHSegmenterLib.batch.names import named_exams, write_map
from ICHSegmenterLib.batch.owner import owned
from ICHSegmenterLib.batch.settled import InputChangedError, check_unchanged, settled
from ICHSegmenterLib.batch.summary import SUMMARY_FILE, Summary, numbers_of
from ICHSegmenterLib.errors import CancelledError, ICHSegmenterError, ResultError, VolumeError
from ICHSegmenterLib.files import remove_leftovers
from ICHSegmenterLib.outputs.table import check_outputs
from ICHSegmenterLib.outputs.write import write_outputs
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.input_files import InputDigest, content_digest
from ICHSegmenterLib.volume.io import read_mask
from ICHSegmenterLib.volume.reader.process import ReaderKilledError, ReaderProcess
from ICHSegmenterLib.volume.volume import Volume

__all__ = ["SUMMARY_FILE", "Exam", "ExamOutcome", "find_exams", "run_batch"]

logger = logging.getLogger(__name__)

MAX_TRIES = 3
"""For an exam whose files change while it is analyzed."""

Analyze = Callable[..., AnalysisResult]
"""Volume, and `brain_mask` where an exam brings one, to result."""


def run_batch(
    exams: Sequence[Exam],
    output: Path,
    analyze: Analyze,
    *,
    request: AnalysisRequest,
    overwrite: bool = False,
    announce: Callable[[int, int, int, str], None] = lambda done, total, failed, name: None,
    map_file: Path | None = None,
) -> list[ExamOutcome]:
    """Analyze exams one after the other; `results.csv` has a row as soon as an exam is done.

    Args:
        exams: From `find_exams`.
        output: One folder an exam is made in it, under a name that says nothing of the exam; see `batch.names`.
        analyze: Volume to result by this request; its network stays loaded between exams.
        request: Exams done before by an equal one are skipped, unless their input changed or an output that it asks for
            is missing.
        overwrite: Do them again instead.
        announce: Called with (done, total, failed, exam name) before each exam, and with an empty name at the end.
        map_file: Where to write which name belongs to which exam; nowhere if None.

    Raises:
        CancelledError: Stopped; finished exams stay, and the next call goes on behind them.
        OutputError: The output folder cannot be written, belongs to another batch that runs, or holds results of
            another request.
    """
    outcomes: list[ExamOutcome] = []
    failed = 0
    with owned(output):
        done = DoneBefore() if overwrite else done_before(output, request)
        remove_leftovers(output)
        attempts = Attempts(output, forget=overwrite)
        with Summary(output / SUMMARY_FILE, request) as summary, ReaderProcess() as reader, closing(attempts):
            exams = sorted(named_exams(exams, output), key=lambda exam: attempts.unfinished(exam.name))
            if map_file is not None:
                write_map(exams, map_file, output)
            batch = ExamRun(output, analyze, request, reader, attempts)
            for number, exam in enumerate(exams):
                announce(number, len(exams), failed, exam.name)
                outcome = outcome_from_before(exam, done) or batch.outcome_of(exam)
                summary.add(outcome)
                failed += outcome.status == "failed"
                attempts.end(exam.name)  # also of what was published just before a kill
                outcomes.append(replace(outcome, numbers={}))
        announce(len(exams), len(exams), failed, "")
    return outcomes


def outcome_from_before(exam: Exam, done: DoneBefore) -> ExamOutcome | None:
    """The outcome of an exam that is not to be analyzed, None for the others."""
    if exam.name in done.newer:
        error = ResultError("The result was written by a newer version. Update ICHSegmenter, or give --overwrite.")
        return ExamOutcome(exam, "failed", error=error.kind, message=str(error))
    before = done.exams.get(exam.name)
    if before is None:
        return None
    if not is_current(exam, before):
        logger.warning("%s: its files changed since it was analyzed; it is analyzed again", exam.name)
        return None
    return ExamOutcome(exam, "skipped", before.numbers)


@dataclass(frozen=True)
class ExamRun:
    """State that all exams of a run share."""

    output: Path
    analyze: Analyze
    request: AnalysisRequest
    reader: ReaderProcess
    attempts: Attempts

    def outcome_of(self, exam: Exam) -> ExamOutcome:
        """The outcome of one exam, whatever happens in it, except that the run is stopped."""
        try:
            return ExamOutcome(exam, "done", numbers_of(self._result_of(exam).to_json()))
        except CancelledError:
            raise
        except ICHSegmenterError as error:
            kind, message = error.kind, str(error)
        except OSError as error:  # its text would show the path, which often holds the patient's name
            name = Path(error.filename).name if isinstance(error.filename, str) else "a file"
            kind = "failed"
            message = (
                f"{name}: {error.strerror or type(error).__name__}. Check the disk and the rights, then run again."
            )
        except Exception as error:  # one broken exam must not stop a night's batch
            logger.error("%s: unexpected failure\n%s", exam.name, "".join(traceback.format_tb(error.__traceback__)))
            kind, message = "failed", f"Unexpected {type(error).__name__}: {error}"
        message = without_file_names(message, exam)
        logger.info("%s: %s", exam.name, message)
        return ExamOutcome(exam, "failed", error=kind, message=message)

    def _result_of(self, exam: Exam, tries: int = MAX_TRIES) -> AnalysisResult:
        """The result of one exam, written; begun again if its files change meanwhile.

        Raises:
            InputChangedError: They change every time.
        """
        if exam.problem:
            raise VolumeError(exam.problem)
        exam, before = settled(exam)
        self.attempts.begin(exam.name, before)
        try:
            volume = self._read(exam, before)
            content = content_digest(exam.input_files())
            check_outputs(self.request.outputs, volume, exam.path)
            mask = exam.brain_mask
            brain = {} if mask is None else {"brain_mask": read_mask(mask, volume.geometry)}
            result = self.analyze(volume, **brain)
            check_unchanged(exam, before)
            origin = replace(result.provenance, input=replace(before, content=content).to_json())
            result = replace(result, provenance=origin)
            folder = self.output / exam.name
            write_outputs(result, volume, folder, outputs=self.request.outputs, source=exam.path)
            return result
        except InputChangedError:
            if tries == 1:
                raise
        finally:
            self.attempts.end(exam.name)
        return self._result_of(exam, tries - 1)

    def _read(self, exam: Exam, digest: InputDigest) -> Volume:
        try:
            return self.reader.volume(exam.path, series_uid=exam.series_uid, files=exam.files)
        except ReaderKilledError as error:
            self.attempts.killed(exam.name, digest, without_file_names(str(error), exam))
            raise
