"""The output folder of a comparison: a folder a method, and beside them how far they agree."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ICHSegmenterLib.analysis.comparison.compare import Comparison
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.outputs.table import select
from ICHSegmenterLib.outputs.write import write_outputs
from ICHSegmenterLib.report.comparison_picture import write_picture
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.volume import Volume

logger = logging.getLogger(__name__)

AGREEMENT_FILE = "agreement.json"
COLUMNS = (
    "method",
    "status",
    "positive",
    "any",
    "blood_ml",
    "positive_slices",
    "seconds",
    "error",
    "message",
)


def write_comparison(
    comparison: Comparison,
    volume: Volume,
    folder: Path,
    *,
    outputs: Iterable[str] = (),
    source: Path | None = None,
) -> dict[str, Path]:
    """Write the results of all methods and their agreement.

    Args:
        comparison: From `analysis.compare.compare`.
        volume: The exam.
        folder: Made if absent; holds a folder for each method (see `write_outputs`), `vote.nii.gz` (1 where more than
            half of the methods see blood), `agreement.nii.gz` (the fraction of methods, 0 to 1), `agreement.csv`,
            `comparison.png` and, last, `agreement.json`.
        outputs, source: Of each method's folder, as for `write_outputs`.

    Returns:
        File name to path, of what is not inside a method's folder.

    Raises:
        OutputError: The folder cannot be written.
    """
    outputs = select(outputs)
    for name, result in comparison.results.items():
        write_outputs(result, volume, folder / name, outputs=outputs, source=source)
    files = {name: folder / name for name in ("vote.nii.gz", "agreement.nii.gz", "agreement.csv", "comparison.png")}
    with replacing(files["vote.nii.gz"]) as path:
        write_nifti(comparison.vote.astype(np.uint8), comparison.geometry, path)
    with replacing(files["agreement.nii.gz"]) as path:
        write_nifti(comparison.agreement, comparison.geometry, path)
    with replacing(files["agreement.csv"]) as path:
        _write_table(comparison, path)
    try:
        with replacing(files["comparison.png"]) as path:
            write_picture(comparison, volume, path)
    except ModuleNotFoundError as error:
        logger.warning("no comparison picture: %s is not installed", error.name)
        del files["comparison.png"]
    files[AGREEMENT_FILE] = folder / AGREEMENT_FILE
    with replacing(files[AGREEMENT_FILE]) as path:
        path.write_text(json.dumps(comparison.to_json(), indent=1) + "\n", encoding="utf-8")
    return files


def _write_table(comparison: Comparison, path: Path) -> None:
    """One row a method: what it found, and its Dice with each of the others."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *(f"dice {name}" for name in comparison.outlining)])
        writer.writeheader()
        for name, plain in comparison.to_json()["methods"].items():
            row = {column: plain[column] for column in COLUMNS if column in plain}
            if name in comparison.outlining:
                row.update((f"dice {other}", f"{comparison.dice(name, other):.6f}") for other in comparison.outlining)
            writer.writerow({"method": name, "status": "done", **row, "positive": int(plain["positive"])})
        for failure in comparison.failures:
            row = {"method": failure.method, "status": "failed", "error": failure.kind, "message": failure.message}
            writer.writerow(row)
