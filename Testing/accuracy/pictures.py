"""Pictures of the accuracy page, from rows and kept exams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.evaluation.detection_metrics import roc
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.report import evaluation_plots as plots
from Testing.accuracy import figures
from Testing.accuracy.bars import SAME
from Testing.accuracy.known_exam import KnownExam
from Testing.accuracy.recipe import ExamPlan, Recipe
from Testing.accuracy.rows import Row, RowFolder

WORST = 5
LEAST_ML = 1.0
"""Exams with less blood are no candidates for the worst: who misses 0.1 mL has a Dice of 0."""
WIDTH_INCH, HEIGHT_INCH, DOTS_PER_INCH = 7.0, 4.2, 110
SMALLEST_SHOWN_ML = 0.05
BONE_HU, AROUND = 300.0, 4
"""Pictures show what lies within the bone of all slices, and so many pixels around."""
MARKERS = {"soft-straight": "o", "soft-tilted": "^", "bone-straight": "s", "bone-tilted": "D"}

Methods = Mapping[str, Sequence[Row]]


def draw_all(
    methods: Methods, recipe: Recipe, rows: RowFolder, obtain: Callable[[ExamPlan], KnownExam], folder: Path
) -> dict[str, Path]:
    """Draw what there are rows for; caption to file."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, Path] = {}
    unlike = {name: figures.in_set(all_rows, "unlike") for name, all_rows in methods.items()}
    unlike = {name: subset for name, subset in unlike.items() if subset}
    if unlike:
        curves = {name: roc(figures.scored(subset)) for name, subset in unlike.items()}
        pictures["ROC of the unlike exams"] = plots.draw_roc({"exam": curves}, folder / "accuracy-roc.png")
        reliability = {}
        for name, subset in unlike.items():
            item = figures.calibrated(subset, recipe.definitions)
            assert item is not None  # there are exams
            reliability[name] = (item.mean_values, item.observed, item.counts)
        pictures["Reliability of the exams' values"] = plots.draw_calibration(
            {"exam": reliability}, folder / "accuracy-calibration.png"
        )
        dice = {
            name: [(row.blood_ml, row.dice or 0.0) for row in subset if row.bleeds and row.has_outline]
            for name, subset in unlike.items()
        }
        if any(dice.values()):
            path = folder / "accuracy-dice.png"
            pictures["Dice of the unlike exams by volume of blood"] = plots.draw_dice_by_volume(dice, path)
    clean = {name: [row.drawn_ml for row in figures.in_set(all_rows, "clean")] for name, all_rows in methods.items()}
    if any(clean.values()):
        path = folder / "accuracy-false-blood.png"
        pictures["False blood: share of the clean exams with at most so much"] = draw_false_blood(clean, path)
    if any(figures.in_set(all_rows, "same-bleed") for all_rows in methods.values()):
        path = folder / "accuracy-same-bleed.png"
        pictures["The same bleeds in other scans"] = draw_same_bleed(methods, path)
    plans = {plan.name: plan for plan in recipe.exams}
    for name, all_rows in methods.items():
        panels = [panel(row, obtain(plans[row.exam]), rows) for row in worst(all_rows, recipe.training["judged_only"])]
        if panels:
            pictures[f"The {len(panels)} worst exams of {name}"] = plots.draw_worst(
                panels, folder / f"accuracy-worst-{name}.png", in_a_row=WORST
            )
    return pictures


def worst(rows: Sequence[Row], never_shown: Sequence[str], count: int = WORST) -> list[Row]:
    """The exams with the lowest Dice, or most drawn where there is no blood; of equal ones those with more mL."""

    def badness(row: Row) -> tuple[float, float]:
        if row.bleeds:
            return 1 - (row.dice or 0.0), row.blood_ml
        return row.drawn_ml / (row.drawn_ml + 1), row.drawn_ml  # 1 mL of false blood is as bad as a Dice of 0.5

    shown = [
        row
        for row in rows
        if row.has_outline
        and row.scan not in never_shown
        and (row.blood_ml >= LEAST_ML or (row.drawn_ml and not row.bleeds))
    ]
    return sorted(shown, key=badness, reverse=True)[:count]


def panel(row: Row, exam: KnownExam, rows: RowFolder) -> plots.Panel:
    """The slice with most wrong voxels, in axial display."""
    outline = rows.outline(row)
    view = AxialView.of(exam.volume.geometry)
    hu, truth = view.apply(exam.volume.hu), view.apply(exam.labelmap > 0)
    outlined = np.zeros_like(truth) if outline is None else view.apply(outline)
    index = int((truth ^ outlined).sum(axis=(1, 2)).argmax())
    box = _head_box(hu)
    hu, truth, outlined = (array[index][box] for array in (hu, truth, outlined))
    row_mm, column_mm = view.geometry(exam.volume.geometry).pixel_spacing_mm
    kinds = ", ".join(f"{name} {ml:.1f}" for name, ml in row.facts["blood_ml"].items() if ml >= 0.05) or "no blood"
    dice = f", Dice {row.dice or 0:.2f}" if row.bleeds else ""
    title = f"{row.exam}\n{kinds}{' mL' if row.bleeds else ''}\ndrawn {row.drawn_ml:.1f} mL{dice}, {row.verdict.value}"
    return plots.Panel(title, hu, truth, outlined, row_mm / column_mm)


def _head_box(hu: NDArray[np.float32]) -> tuple[slice, slice]:
    """Rows and columns with bone in any slice, and a little around."""
    bone = (hu > BONE_HU).any(axis=0)
    box = ndimage.find_objects(bone.astype(np.uint8))[0]
    rows, columns = (slice(max(0, side.start - AROUND), side.stop + AROUND) for side in box)
    return rows, columns


def draw_false_blood(methods: Mapping[str, Sequence[float]], path: Path) -> Path:
    """Share of clean exams over the mL that is drawn in them at most."""
    figure, axes = _axes(1)
    for (name, drawn), color in zip(methods.items(), plots.COLORS, strict=False):
        if drawn:
            ordered = np.maximum(np.sort(drawn), SMALLEST_SHOWN_ML)
            share = np.arange(1, len(ordered) + 1) / len(ordered)
            axes[0].step(
                [SMALLEST_SHOWN_ML, *ordered, 200],
                [0, *share, 1],
                where="post",
                color=color,
                label=f"{name}, n = {len(drawn)}",
            )
    axes[0].set(xscale="log", xlim=(SMALLEST_SHOWN_ML, 200), ylim=(0, 1.02))
    axes[0].set(xlabel="drawn mL in an exam without blood (0.05 or less at the left edge)", ylabel="share of exams")
    axes[0].xaxis.set_major_formatter("{x:g}")
    axes[0].legend(loc="lower right", fontsize=8)
    return _save(figure, path)


def draw_same_bleed(methods: Methods, path: Path) -> Path:
    """Drawn over true volume by slice thickness; one axes a bleed."""
    figure, every = _axes(len(SAME))
    for axes, (group, subtype) in zip(every, SAME.items(), strict=True):
        axes.axhspan(0.85, 1.15, color="#eef1f3", zorder=0)
        for all_rows, color in zip(methods.values(), plots.COLORS, strict=False):
            scans = [row for row in figures.in_group(all_rows, group) if row.has_outline]
            for ending, marker in MARKERS.items():
                subset = sorted(
                    (row for row in scans if row.exam.endswith(ending)), key=lambda row: row.facts["slice_mm"]
                )
                axes.plot(
                    [row.facts["slice_mm"] for row in subset],
                    [row.drawn_ml / row.blood_ml for row in subset],
                    marker=marker,
                    markersize=4,
                    linewidth=0.9,
                    color=color,
                )
        axes.set(title=subtype, xlabel="slice distance (mm)", ylim=(0, None))
        axes.set(ylabel="drawn mL over true mL")
    lines = [Line2D([], [], color=color, label=name) for name, color in zip(methods, plots.COLORS, strict=False)]
    every[0].legend(handles=lines, loc="best", fontsize=8, title="○ △ soft, □ ◇ bone; △ ◇ tilted", title_fontsize=7)
    return _save(figure, path)


def _axes(count: int) -> tuple[Figure, list]:
    figure = Figure(figsize=(WIDTH_INCH * (1 if count == 1 else 1.4), HEIGHT_INCH), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, count, squeeze=False).ravel().tolist()
    for axis in axes:
        axis.grid(visible=True, color=plots.GRID, linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=DOTS_PER_INCH, facecolor="white", format="png")
    return path
