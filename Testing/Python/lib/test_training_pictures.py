"""Pictures of a training say what they show: whole epochs, one axes a quantity, a legend of the outlines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

figure_module = pytest.importorskip("matplotlib.figure", reason="needs the train extra")

from ICHSegmenterLib.report.training_curves import Example, write_curves, write_examples

ROWS = [
    {"phase": float(epoch > 1), "train_loss": 1.0 / (epoch + 1), "val_loss": 0.5, "val_dice": 0.8, "val_slice_auc": 0.9}
    for epoch in range(3)
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are saved while a test runs."""
    figures: list[Any] = []
    save = figure_module.Figure.savefig
    monkeypatch.setattr(
        figure_module.Figure, "savefig", lambda self, *file, **how: (figures.append(self), save(self, *file, **how))
    )
    return figures


def test_every_quantity_has_axes_of_its_own(drawn: list[Any], tmp_path: Path) -> None:
    write_curves(ROWS, tmp_path / "curves.png", "unet")
    labels = {axes.get_title(): axes.get_legend_handles_labels()[1] for axes in drawn[0].axes}
    assert labels == {
        "loss": ["training", "validation", "next phase"],
        "Dice": ["validation", "next phase"],
        "ROC AUC of slices": ["validation", "next phase"],
    }
    assert all(axes.get_legend() is not None for axes in drawn[0].axes)


@pytest.mark.parametrize("epochs", [1, 2, 3, 90])
def test_the_axis_of_epochs_holds_whole_numbers(epochs: int, drawn: list[Any], tmp_path: Path) -> None:
    write_curves((ROWS * 30)[:epochs], tmp_path / "curves.png", "unet")
    for axes in drawn[0].axes:
        low, high = axes.get_xlim()
        shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert shown and all(tick == round(tick) for tick in shown)


def test_outlines_of_examples_have_a_legend(drawn: list[Any], tmp_path: Path) -> None:
    image, outline = np.zeros((8, 8), dtype=np.float32), np.eye(8, dtype=bool)
    write_examples([Example(image, outline, outline, "both")], tmp_path / "examples.png")
    write_examples([Example(image, None, None, "a classifier's")], tmp_path / "examples.png")
    texts = [[text.get_text() for legend in figure.legends for text in legend.get_texts()] for figure in drawn]
    assert texts == [["truth", "prediction"], []]
