"""The pictures of an evaluation: what is drawn by `report.evaluation_plots`, and from which records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.evaluation.dataset import read_exam
from ICHSegmenterLib.evaluation.detection_metrics import calibration, roc
from ICHSegmenterLib.evaluation.predictions import Method, predict
from ICHSegmenterLib.evaluation.records import CaseRecord, scored_exams, scored_slices
from ICHSegmenterLib.evaluation.segmentation_metrics import bland_altman
from ICHSegmenterLib.evaluation.summary import scored
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.report import evaluation_plots as plots

WORST_CASES = 4

Records = Mapping[str, Sequence[CaseRecord]]


def draw_pictures(
    records: Records, summary: Mapping[str, Any], methods: Sequence[Method], cases: Sequence[Case], output: Path
) -> dict[str, Path]:
    """Draw everything there is data for; returns caption to file."""
    pictures: dict[str, Path] = {}
    levels = {"exam": scored_exams, "slice": scored_slices}
    present = {name: of_method for name, of_method in records.items() if of_method}
    curves = {}
    for level, items_of in levels.items():
        labeled = {_label(summary, name, level): roc(items_of(of_method)) for name, of_method in present.items()}
        curves[level] = {name: curve for name, curve in labeled.items() if len(curve[0])}
    if any(curves.values()):
        pictures["ROC curves"] = plots.draw_roc(curves, output / "roc.png")
    reliability: dict[str, dict[str, plots.Bins]] = {}
    for level, items_of in levels.items():
        of_level = {name: calibration(items_of(of_method)) for name, of_method in present.items()}
        reliability[level] = {name: (item.mean_values, item.observed, item.counts) for name, item in of_level.items()}
    pictures["Calibration"] = plots.draw_calibration(reliability, output / "calibration.png")
    agreement, by_volume = {}, {}
    for name, of_method in present.items():
        with_masks = scored(of_method)
        if with_masks:
            true_ml = [it.truth_ml for _, it in with_masks]
            predicted_ml = [it.predicted_ml for _, it in with_masks]
            limits = bland_altman(predicted_ml, true_ml)
            agreement[name] = plots.Agreement(true_ml, predicted_ml, limits.bias_ml, limits.low_ml, limits.high_ml)
            by_volume[name] = [(it.truth_ml, it.dice or 0.0) for _, it in with_masks if it.truth_ml > 0]
    if agreement:
        pictures["Volumes, after Bland and Altman"] = plots.draw_bland_altman(agreement, output / "bland_altman.png")
    if any(by_volume.values()):
        pictures["Dice by volume of blood"] = plots.draw_dice_by_volume(by_volume, output / "dice_by_volume.png")
    by_name = {case.name: case for case in cases}
    for method in methods:
        panels = [_panel(method, by_name[record.case], record) for record in worst(records[method.name])]
        if panels:
            caption = f"Worst cases of {method.name}: the slice with most wrong voxels"
            pictures[caption] = plots.draw_worst(panels, output / f"worst_{method.name}.png")
    return pictures


def worst(records: Sequence[CaseRecord], count: int = WORST_CASES) -> list[CaseRecord]:
    """The cases to look at first: lowest Dice, blood outlined where there is none; else values farthest from truth."""

    def badness(record: CaseRecord) -> float:
        wrong_value = abs(float(record.bleeds) - record.exam_value)
        scores = record.segmentation
        if scores is None:
            return wrong_value
        if scores.truth_ml > 0:
            return 1.0 - (scores.dice or 0.0)
        return scores.predicted_ml / (scores.predicted_ml + 1.0)  # 1 mL of false blood is as bad as a Dice of 0.5

    return sorted(records, key=badness, reverse=True)[:count]


def _panel(method: Method, case: Case, record: CaseRecord) -> plots.Panel:
    """The slice with most wrong voxels, in axial display."""
    exam = read_exam(case)
    prediction = predict(method, case, exam.volume, exam.brain_mask)
    mask = prediction.outline(method, record.cuts.map)
    view = AxialView.of(exam.volume.geometry)
    hu = view.apply(exam.volume.hu)
    nothing = np.zeros(hu.shape, dtype=bool)
    truth = nothing if exam.mask is None else view.apply(exam.mask)
    outlined = nothing if mask is None else view.apply(mask)
    index = _most_wrong(truth, outlined, view, record)
    row_mm, column_mm = view.geometry(exam.volume.geometry).pixel_spacing_mm
    parts = [case.name, f"value {record.exam_value:.2f}, truth {'blood' if record.bleeds else 'none'}"]
    scores = record.segmentation
    if scores is not None:
        dice = "" if scores.truth_ml == 0 or scores.dice is None else f"Dice {scores.dice:.2f}, "
        parts.append(f"{dice}{scores.predicted_ml:.1f} of {scores.truth_ml:.1f} mL")
    return plots.Panel("\n".join(parts), hu[index], truth[index], outlined[index], row_mm / column_mm)


def _most_wrong(truth: NDArray[np.bool_], outlined: NDArray[np.bool_], view: AxialView, record: CaseRecord) -> int:
    """Position in axial order; without wrong voxels the slice whose value is farthest from its truth."""
    wrong = (truth ^ outlined).sum(axis=(1, 2))
    if wrong.any():
        return int(wrong.argmax())
    farthest = int(np.abs(record.slice_truth - record.slice_values).argmax())
    return view.acquired_index(farthest, len(wrong)) if view.keeps_slices else farthest


def _label(summary: Mapping[str, Any], name: str, level: str) -> str:
    value = summary["methods"][name]["detection"][level]["auc"]["value"]
    return name if value is None else f"{name} (AUC {value:.3f})"
