"""Tiny heads in the layouts of the published tables, and a table that is made, killed, and resumed to the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ICHSegmenterLib.reproduce.options import ReproduceOptions
from ICHSegmenterLib.reproduce.table import reproduce
from ICHSegmenterLib.synthesis.exam import SyntheticExam
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.training import fit
from ICHSegmenterLib.training.trainer import TrainerOptions
from power_cut import PowerCut

QUICK = ["--accelerator", "cpu", "--devices", "1", "--device", "cpu", "--resamples", "20", "--quiet"]
ONE_EPOCH = ["data.workers=0", "phases=[{learning_rate: 1.0e-3, max_epochs: 1, patience: 0}]"]
SLICES = ["preprocessing.resize=40", "preprocessing.crop=32", "data.batch_size=4", *ONE_EPOCH]
NARROW_UNET = "network.config={variant: release, widths: [4, 8, 12, 16]}"
NARROW_RESNET = "network.config={width: 4, layers: [1, 1, 1, 1]}"
IPH = 2
"""Value of parenchymal blood in a labelmap."""


def narrow_swin(outputs: int) -> str:
    """The change of a recipe to a Swin of 32 pixels."""
    return (
        f"network={{name: swin_classifier, config: {{num_classes: {outputs}, image_size: 32, window_size: 4, "
        "embed_dim: 8, depths: [2, 2, 2, 2], num_heads: [1, 1, 2, 2]}}"
    )


def exams(count: int) -> Iterator[SyntheticExam]:
    """Heads of six slices of 48 pixels; every second one bleeds into the parenchyma."""
    geometry = head_geometry((6, 48, 48), pixel_mm=(4.6, 4.6), slice_step_mm=20.0)
    for number in range(count):
        bleeds = (Bleed.sphere(30.0, (20.0, 6.0, 40.0), 66.0),) if number % 2 == 0 else ()
        head = make_phantom(geometry, HeadModel(bleeds=bleeds, noise_hu=2.0), seed=number, subsamples=(1, 1, 1))
        blood = head.labelmap > 0
        brain = (head.volume.hu > 0) & (head.volume.hu < 90)
        yield SyntheticExam(head.volume, blood.astype(np.uint8) * IPH, blood.astype(np.float32), brain, (), number)


def table_of(folder: Path) -> dict[str, Any]:
    """The table that was written."""
    table: dict[str, Any] = json.loads((folder / "table.json").read_text())
    return table


def made_twice(
    table: str, data: Path, changes: list[str], tmp_path: Path, *, cut_after: int = 2, **more: Any
) -> dict[str, Any]:
    """The table of an undisturbed run, after a run that was killed and resumed gave the same.

    Args:
        table: Its name.
        data: The data set, or the folder of several.
        changes: Of the recipes.
        tmp_path: Gets the folders `whole` and `killed`.
        cut_after: Batches of all trainings together before the kill.
        more: Further settings.
    """
    options = ReproduceOptions(
        data,
        tmp_path / "whole",
        changes=(*changes, "checkpoint_every_steps=1"),
        machine=TrainerOptions("cpu", 1, progress=False),
        device="cpu",
        resamples=20,
        **more,
    )
    assert not reproduce(table, options).missing
    for checkpoints in list(options.output.rglob("checkpoints")):
        shutil.rmtree(checkpoints)
    resumed, cut = replace(options, output=tmp_path / "killed"), PowerCut(cut_after)
    with without_training_pictures():
        with pytest.raises(RuntimeError, match="power cut"):
            reproduce(table, replace(resumed, callbacks=lambda what: (cut,)))
        assert not (tmp_path / "killed" / "table.json").exists()
        assert not reproduce(table, resumed).missing
    assert table_of(tmp_path / "whole") == table_of(tmp_path / "killed")
    return table_of(tmp_path / "whole")


@contextmanager
def without_training_pictures() -> Iterator[None]:
    """No curves and examples of a training, which take most of its time here and nothing depends on."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw_curves", "draw_examples"):
            patch.setattr(fit, name, lambda *_: None)
        yield
