"""Many exams in one go: each in its own folder, resumable, one failure never stops the others."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ICHSegmenterLib.analysis.differences import differences
from ICHSegmenterLib.errors import CancelledError, ICHSegmenterError, OutputError, VolumeError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.outputs.result_json import DONE_FILE
from ICHSegmenterLib.outputs.table import check_outputs, select
from ICHSegmenterLib.outputs.write import write_outputs
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.dicom.scan import scans_in
from ICHSegmenterLib.volume.exam_name import VOLUME_SUFFIXES, exam_name
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

logger = logging.getLogger(__name__)

SUMMARY_FILE = "results.csv"
SUMMARY_COLUMNS = (
    "exam",
    "status",
    "positive",
    "any",
    "blood_ml",
    "positive_slices",
    "slices",
    "key_slice",
    "seconds",
    "method",
    "detector",
    "error",
    "message",
)

Analyze = Callable[[Volume], AnalysisResult]


@dataclass(frozen=True)
class Exam:
    """One exam of a batch.

    Attributes:
        name: Folder name of its results. DICOM exams are named after their SeriesInstanceUID's digest, because
            folders and files of DICOM exports often carry the patient's name; other files after their own name.
        path: Folder or file to read.
        series_uid: Which series of a DICOM folder.
    """

    name: str
    path: Path
    series_uid: str | None = None


@dataclass(frozen=True)
class ExamOutcome:
    """Outcome of one exam. status is "done", "failed" or "skipped" (it was done before)."""

    exam: Exam
    status: str
    result: dict[str, object]
    error: str = ""
    message: str = ""


def find_exams(inputs: Sequence[Path]) -> list[Exam]:
    """Every head CT below these folders and files: DICOM series, NIfTI, NRRD, MetaImage; sorted by name.

    Folders with results of an earlier run are passed over: a labelmap is no exam. Exams of one name are told apart by
    a digest of their path, which stays when exams are added: a number would shift, and a resumed batch would take the
    results of one exam for those of another.

    Raises:
        VolumeError: Nothing to analyze.
    """
    exams: dict[tuple[Path, str | None], Exam] = {}
    for path in inputs:
        if not path.exists():
            raise VolumeError(f"{path} does not exist. Check the input path.")
        for exam in _exams_below(path):
            exams.setdefault((exam.path.resolve(), exam.series_uid), exam)
    if not exams:
        raise VolumeError(
            "No head CT was found. Name folders with DICOM series, or files ending in " + ", ".join(VOLUME_SUFFIXES)
        )
    count = Counter(exam.name for exam in exams.values())
    named = (_with_path_digest(exam) if count[exam.name] > 1 else exam for exam in exams.values())
    return sorted(named, key=lambda exam: exam.name)


def run_batch(
    exams: Sequence[Exam],
    output: Path,
    analyze: Analyze,
    *,
    request: AnalysisRequest,
    overwrite: bool = False,
    announce: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> list[ExamOutcome]:
    """Analyze exams one after the other; `results.csv` is written anew after each.

    Args:
        exams: From `find_exams`.
        output: One folder an exam is made in it.
        analyze: Volume to result by this request; its network stays loaded between exams.
        request: Exams done before by an equal one are skipped if they have its outputs, which are written.
        overwrite: Do them again instead.
        announce: Called with (done, total, exam name) before each exam.

    Raises:
        CancelledError: Stopped; finished exams stay, and the next call goes on behind them.
        OutputError: The output folder cannot be written, or holds results of another request.
    """
    outcomes: list[ExamOutcome] = []
    done = {} if overwrite else _done_before(output, request)
    for number, exam in enumerate(exams):
        announce(number, len(exams), exam.name)
        folder = output / exam.name
        outcomes.append(
            ExamOutcome(exam, "skipped", done[exam.name])
            if exam.name in done
            else _analyze_exam(exam, folder, analyze, request.outputs)
        )
        _write_summary(outcomes, output, request)
    announce(len(exams), len(exams), "")
    return outcomes


def _with_path_digest(exam: Exam) -> Exam:
    digest = hashlib.sha256(str(exam.path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return replace(exam, name=f"{exam.name}-{digest}")


def _exams_below(path: Path) -> Iterator[Exam]:
    if path.is_file():
        yield Exam(exam_name("", path), path)
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        here = Path(folder)
        if DONE_FILE in names and ("slices.csv" in names or _is_result(here / DONE_FILE)):
            continue
        volumes = sorted(name for name in names if name.lower().endswith(VOLUME_SUFFIXES))
        yield from (Exam(exam_name("", here / name), here / name) for name in volumes)
        if len(volumes) < len(names):
            yield from _dicom_exams(here)


def _is_result(path: Path) -> bool:
    """True for a `result.json` of this program, False for another program's."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(plain, dict) and {"provenance", "verdict"} <= set(plain)


def _dicom_exams(folder: Path) -> Iterator[Exam]:
    """One exam for each head CT series; a folder that cannot be read is an exam too, so that its failure is told."""
    try:
        yield from (Exam(exam_name(series.uid, folder), folder, series.uid) for series in scans_in(folder))
    except VolumeError:
        yield Exam("unreadable-" + hashlib.sha256(str(folder).encode()).hexdigest()[:12], folder)


def _analyze_exam(exam: Exam, folder: Path, analyze: Analyze, outputs: Sequence[str]) -> ExamOutcome:
    try:
        volume = read_volume(exam.path, series_uid=exam.series_uid)
        check_outputs(outputs, volume, exam.path)
        result = analyze(volume)
        write_outputs(result, volume, folder, outputs=outputs, source=exam.path)
        return ExamOutcome(exam, "done", result.to_json())
    except CancelledError:
        raise
    except ICHSegmenterError as error:
        logger.info("%s: %s", exam.name, error)
        return ExamOutcome(exam, "failed", {}, error.kind, str(error))
    except OSError as error:  # its text would show the path, which often holds the patient's name
        name = Path(error.filename).name if isinstance(error.filename, str) else "a file"
        message = f"{name}: {error.strerror or type(error).__name__}. Check the disk and the rights, then run again."
        logger.info("%s: %s", exam.name, message)
        return ExamOutcome(exam, "failed", {}, "failed", message)
    except Exception as error:  # one broken exam must not stop a night's batch
        logger.exception("%s: unexpected failure", exam.name)
        return ExamOutcome(exam, "failed", {}, "failed", f"Unexpected {type(error).__name__}: {error}")


def _done_before(output: Path, request: AnalysisRequest) -> dict[str, dict[str, object]]:
    """Exam to its result, for all that an earlier run finished here with the outputs that are asked for now.

    Raises:
        OutputError: One came about by another request: two kinds of numbers in one folder would be taken for one.
    """
    done: dict[str, dict[str, object]] = {}
    others: dict[str, list[str]] = {}
    outputs = select(request.outputs)
    for path in sorted(output.glob(f"*/{DONE_FILE}")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # it is not there whole
            result = json.loads(path.read_text(encoding="utf-8"))
            if changes := differences(request, result):
                others[path.parent.name] = changes
            elif set(outputs) <= set(result.get("outputs", outputs)):  # earlier versions recorded none
                done[path.parent.name] = result
    if others:
        name, changes = next(iter(others.items()))
        more = f" and {len(others) - 1} more exams" if len(others) > 1 else ""
        raise OutputError(
            f"{output} holds results of another run: {name}{more} of {'; '.join(changes)}. Name another --output "
            "folder, or replace them by --overwrite."
        )
    return done


def _write_summary(outcomes: Sequence[ExamOutcome], output: Path, request: AnalysisRequest) -> None:
    with replacing(output / SUMMARY_FILE) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, SUMMARY_COLUMNS)
        writer.writeheader()
        for outcome in outcomes:
            writer.writerow(
                {
                    "exam": outcome.exam.name,
                    "status": outcome.status,
                    "method": request.method,
                    "detector": request.detector,
                    "error": outcome.error,
                    "message": outcome.message,
                    **_numbers(outcome.result),
                }
            )


def _numbers(result: dict[str, object]) -> dict[str, object]:
    if not result:
        return {}
    slices, provenance = result["slices"], result["provenance"]
    probabilities, key = result["probabilities"], result["key_slice"]
    if not (isinstance(slices, list) and isinstance(provenance, dict) and isinstance(probabilities, dict)):
        return {}
    return {
        "positive": int(bool(result["positive"])),
        "any": probabilities["any"],
        "blood_ml": result["blood_ml"],
        "positive_slices": sum(bool(one["positive"]) for one in slices),
        "slices": len(slices),
        "key_slice": next(one["number"] for one in slices if one["index"] == key),
        "seconds": round(sum(provenance["seconds"].values()), 2),
    }
