"""One case under one method, and the tables that lists of them make."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import Failure
from ICHSegmenterLib.evaluation.detection_metrics import ScoredItems
from ICHSegmenterLib.evaluation.predictions import SUBTYPE_KEYS
from ICHSegmenterLib.evaluation.segmentation_metrics import SegmentationScores
from ICHSegmenterLib.files import replacing

CASE_COLUMNS = (
    "method",
    "case",
    "patient",
    "fold",
    "slices",
    "truth",
    "value",
    "threshold",
    "positive",
    "bleeding_slices",
    "slice_threshold",
    "positive_slices",
    "map_threshold",
    "dice",
    "iou",
    "hd95_mm",
    "truth_ml",
    "predicted_ml",
    "volume_error_ml",
    "lesions",
    "lesions_found",
    "false_lesions",
    "false_ml",
    "seconds",
)


@dataclass(frozen=True)
class CutOffs:
    """The thresholds that apply to a case: the method's own, or those searched on the other folds."""

    exam: float
    slice: float
    map: float | None = None
    fold: str = ""


@dataclass(frozen=True, eq=False)
class CaseRecord:
    """The scored prediction of one method for one case.

    Attributes:
        case, patient, method: Names.
        slice_truth: bool (slices,); slice_values: of "any", in the same order.
        subtype_truth, subtype_values: (slices, 5) of EDH, IPH, IVH, SAH, SDH; None unless both are known.
        exam_value: Value of "any".
        value_name: "probability" or "score".
        cuts: The thresholds that applied.
        segmentation: None without a true mask, or of a detection-only method.
        sweep: Dice at each of `MAP_GRID`, empty unless searched.
        seconds: Duration of the analysis.
    """

    case: str
    patient: str
    method: str
    slice_truth: NDArray[np.bool_]
    slice_values: NDArray[np.float64]
    exam_value: float
    value_name: str
    cuts: CutOffs
    segmentation: SegmentationScores | None = None
    sweep: tuple[float, ...] = ()
    seconds: float = 0.0
    subtype_truth: NDArray[np.bool_] | None = None
    subtype_values: NDArray[np.float64] | None = None

    @property
    def bleeds(self) -> bool:
        """The truth of the exam: any slice bleeds."""
        return bool(self.slice_truth.any())

    @property
    def is_positive(self) -> bool:
        """The exam is called positive."""
        return self.exam_value >= self.cuts.exam

    @property
    def positive_slices(self) -> NDArray[np.bool_]:
        """(slices,) called positive."""
        return np.asarray(self.slice_values >= self.cuts.slice)


def scored_exams(records: Sequence[CaseRecord]) -> ScoredItems:
    """Exams as items."""
    return ScoredItems(
        np.array([one.bleeds for one in records], dtype=bool),
        np.array([one.exam_value for one in records], dtype=np.float64),
        np.array([one.is_positive for one in records], dtype=bool),
        tuple(one.patient for one in records),
    )


def scored_slices(records: Sequence[CaseRecord]) -> ScoredItems:
    """Slices of all exams as items."""
    if not records:
        return scored_exams(records)
    return ScoredItems(
        np.concatenate([one.slice_truth for one in records]),
        np.concatenate([one.slice_values for one in records]),
        np.concatenate([one.positive_slices for one in records]),
        tuple(one.patient for one in records for _ in one.slice_truth),
    )


def scored_subtypes(records: Sequence[CaseRecord]) -> dict[str, ScoredItems]:
    """Slices as items for each subtype, of the exams for which truth and method tell subtypes apart."""
    known = [
        (record, record.subtype_truth, record.subtype_values)
        for record in records
        if record.subtype_truth is not None and record.subtype_values is not None
    ]
    if not known:
        return {}
    truth = np.concatenate([of_case for _, of_case, _ in known])
    values = np.concatenate([of_case for _, _, of_case in known])
    cuts = np.concatenate([np.full(len(of_case), record.cuts.slice) for record, of_case, _ in known])
    patients = tuple(record.patient for record, of_case, _ in known for _ in of_case)
    return {
        key: ScoredItems(truth[:, place], values[:, place], values[:, place] >= cuts, patients)
        for place, key in enumerate(SUBTYPE_KEYS)
    }


def write_tables(records: Sequence[CaseRecord], failures: Sequence[Failure], output: Path) -> None:
    """Write `cases.csv`, `slices.csv`, `lesions.csv` and `failures.csv`."""
    _write(output / "cases.csv", CASE_COLUMNS, (_case_row(record) for record in records))
    slices = (
        (record.method, record.case, index, int(truth), f"{value:.6f}", int(value >= record.cuts.slice))
        for record in records
        for index, (truth, value) in enumerate(zip(record.slice_truth, record.slice_values, strict=True))
    )
    _write(output / "slices.csv", ("method", "case", "slice_index", "truth", "value", "positive"), slices)
    lesions = (
        (
            record.method,
            record.case,
            f"{lesion.volume_ml:.4f}",
            f"{lesion.outlined_share:.4f}",
            f"{lesion.dice:.4f}",
            int(lesion.is_found),
        )
        for record in records
        if record.segmentation is not None
        for lesion in record.segmentation.lesions
    )
    _write(output / "lesions.csv", ("method", "case", "volume_ml", "outlined_share", "dice", "found"), lesions)
    failure_rows = ((record.method, record.case, record.kind, record.message) for record in failures)
    _write(output / "failures.csv", ("method", "case", "error", "message"), failure_rows)


def _case_row(record: CaseRecord) -> list[Any]:
    scores = record.segmentation
    row: list[Any] = [
        record.method,
        record.case,
        record.patient,
        record.cuts.fold,
        len(record.slice_truth),
        int(record.bleeds),
        f"{record.exam_value:.6f}",
        f"{record.cuts.exam:.6f}",
        int(record.is_positive),
        int(record.slice_truth.sum()),
        f"{record.cuts.slice:.6f}",
        int(record.positive_slices.sum()),
        _number(record.cuts.map),
    ]
    if scores is None:
        row += [""] * 10
    else:
        row += [
            _number(scores.dice),
            _number(scores.iou),
            _number(scores.hd95_mm),
            _number(scores.truth_ml),
            _number(scores.predicted_ml),
            _number(scores.volume_error_ml),
            len(scores.lesions),
            sum(lesion.is_found for lesion in scores.lesions),
            scores.false_lesions,
            _number(scores.false_ml),
        ]
    return [*row, f"{record.seconds:.3f}"]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
