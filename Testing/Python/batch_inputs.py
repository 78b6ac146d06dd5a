"""Exams for tests of batches: one small head with a bleed, as DICOM and NIfTI, analyzed by the threshold."""

from __future__ import annotations

import csv
from pathlib import Path

from ICHSegmenterLib.analysis import analyze as engine
from ICHSegmenterLib.batch.run import SUMMARY_FILE
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.volume import Volume

CLASSICAL = AnalysisRequest("hu-threshold")


def small_head(slices: int = 16) -> Volume:
    """A head of 96 x 96 pixels with one bleed of 25 mL."""
    geometry = head_geometry((slices, 96, 96), pixel_mm=(2.4, 2.4), slice_step_mm=144.0 / slices)
    return make_phantom(geometry, HeadModel(bleeds=(Bleed.sphere(25.0, (26.0, 6.0, 30.0), 62.0),)), seed=5).volume


def analyze(volume: Volume) -> AnalysisResult:
    """The classical method."""
    return engine.analyze(volume, CLASSICAL)


def summary(output: Path) -> dict[str, dict[str, str]]:
    """Exam to its row of the summary."""
    with (output / SUMMARY_FILE).open(newline="", encoding="utf-8") as file:
        return {row["exam"]: row for row in csv.DictReader(file)}
