"""One exam of a batch, the files that it is read from, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ICHSegmenterLib.volume.input_files import with_companions


@dataclass(frozen=True)
class Exam:
    """One exam of a batch.

    Attributes:
        name: Folder name of its results; see `batch.names`.
        path: Folder or file to read.
        series_uid: Which series of a DICOM folder.
        files: Names of the files of that series in the folder.
        listing: Digest of the names in the folder when it was searched; another one means that files came or went.
        problem: Why the folder cannot be read; it is not tried again in this run, since all that lies below it would
            be read too.
        brain_mask: File of a brain mask to use instead of our own; another one makes the result out of date.
    """

    name: str
    path: Path
    series_uid: str | None = None
    files: tuple[str, ...] = ()
    listing: str = ""
    problem: str = ""
    brain_mask: Path | None = None

    def input_files(self) -> tuple[Path, ...]:
        """The files that are read for this exam; of a folder that could not be searched, all its files."""
        return self._scan_files() if self.brain_mask is None else (*self._scan_files(), self.brain_mask)

    def _scan_files(self) -> tuple[Path, ...]:
        if self.files:
            return tuple(self.path / name for name in self.files)
        if self.path.is_dir():
            return tuple(path for path in sorted(self.path.iterdir()) if path.is_file())
        return with_companions(self.path)


@dataclass(frozen=True)
class ExamOutcome:
    """Outcome of one exam.

    Attributes:
        exam: With the name of its results.
        status: "done", "failed" or "skipped" (it was done before).
        numbers: Columns of the summary that come from the result; empty if it failed.
        error, message: Kind of the failure, and what to do.
    """

    exam: Exam
    status: str
    numbers: Mapping[str, object] = field(default_factory=dict)
    error: str = ""
    message: str = ""
