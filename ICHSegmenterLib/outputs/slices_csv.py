"""`slices.csv`: one row a slice, from the lowest."""

from __future__ import annotations

import csv

from ICHSegmenterLib.outputs.writer import ExamOutput


def write(exam: ExamOutput) -> None:
    """Write the table; its columns depend on the method alone."""
    result = exam.result
    keys = list(result.detection.exam_probabilities)
    extents = result.geometry.slice_extents_mm
    with (exam.folder / "slices.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["slice", "index", "position_mm", "extent_mm", *keys, "positive", "blood_ml"])
        for row in sorted(result.detection.slices, key=lambda each: result.slice_number(each.index)):
            values = [f"{row.probabilities[key]:.6f}" for key in keys]
            writer.writerow(
                [
                    result.slice_number(row.index),
                    row.index,
                    f"{row.position_mm:.3f}",
                    f"{extents[row.index]:.3f}",
                    *values,
                    int(row.is_positive),
                    f"{row.blood_ml:.4f}",
                ]
            )
