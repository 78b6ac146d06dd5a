"""The tables of the slice protocol: a row a slice and method, a row a method and fold."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ICHSegmenterLib.evaluation.slices.figures import CutScores
from ICHSegmenterLib.evaluation.slices.slice_scores import iou_of
from ICHSegmenterLib.files import replacing

SLICE_COLUMNS = (
    "method", "case", "patient", "fold", "slice", "truth", "value", "positive", "threshold", "dice", "iou",
)  # fmt: skip
METHOD_COLUMNS = (
    "method", "fold", "patients", "slices", "outlined_slices", "dice", "dice_low", "dice_high", "dice_sd", "dice_sem",
    "iou", "iou_sd", "iou_sem", "accuracy", "precision", "sensitivity", "f1", "specificity", "auc", "hard_label_auc",
)  # fmt: skip


def write_slice_table(cuts: Iterable[CutScores], path: Path) -> None:
    """Write one row for each slice; Dice and IoU where there is true blood."""
    rows = []
    for each in cuts:
        scores, dice = each.scores, dict(zip(each.scores.outlined.tolist(), each.dice.tolist(), strict=True))
        iou = dict(zip(scores.outlined.tolist(), iou_of(each.dice).tolist(), strict=True))
        for index, (truth, value, positive) in enumerate(zip(scores.truth, scores.values, each.positive, strict=True)):
            rows.append(
                (
                    scores.method,
                    scores.case,
                    scores.patient,
                    each.fold,
                    index,
                    int(truth),
                    f"{value:.6f}",
                    int(positive),
                    each.threshold,
                    _number(dice.get(index)),
                    _number(iou.get(index)),
                )
            )
    _write(path, SLICE_COLUMNS, rows)


def write_method_table(methods: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Write one row for each method and fold."""
    rows = []
    for method, groups in methods.items():
        for fold, figures in groups.items():
            dice, iou, detection = figures["dice"], figures["iou"], figures["detection"]
            names = ("accuracy", "precision", "sensitivity", "f1", "specificity", "auc")
            rows.append(
                (
                    method,
                    fold,
                    figures["patients"],
                    figures["slices"],
                    figures["outlined_slices"],
                    *(_number(dice[key]) for key in ("value", "low", "high", "sd", "sem")),
                    *(_number(iou[key]) for key in ("value", "sd", "sem")),
                    *(_number(detection[name]["value"]) for name in names),
                    _number(figures["hard_label_auc"]["value"]),
                )
            )
    _write(path, METHOD_COLUMNS, rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
