"""The output folder of one exam, written whole or not at all; `result.json` comes last and means "done"."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path

from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.files import replacing_folder
from ICHSegmenterLib.outputs.seg_nrrd import write_seg_nrrd
from ICHSegmenterLib.preprocessing.resample import labelmap_to_regular, regular_grid
from ICHSegmenterLib.report.html import write_report
from ICHSegmenterLib.report.overview import write_overview
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.volume import Volume

logger = logging.getLogger(__name__)

DONE_FILE = "result.json"
OPTIONAL_FILES = frozenset(
    (
        "segmentation.seg.nrrd",
        "labelmap.nii.gz",
        "labelmap_regular.nii.gz",
        "map.nii.gz",
        "uncertainty.nii.gz",
        "overview.png",
    )
)
OWN_FILES = OPTIONAL_FILES | {DONE_FILE, "slices.csv", "report.html"}
REGULAR_SPACING_MM = 1.0
"""Of `labelmap_regular.nii.gz`, and of `segmentation.seg.nrrd` where slices are tilted or unequal."""


def write_outputs(result: AnalysisResult, volume: Volume, folder: Path, *, save_maps: bool = False) -> dict[str, Path]:
    """Write everything a person or a program wants of a result.

    Args:
        result: From `analysis.analyze.analyze`.
        volume: The exam it was made from.
        folder: Made if absent. Files of an earlier run with the same names are replaced at the very end.
        save_maps: Also `map.nii.gz`, 0 to 1 on the acquired grid: the highest of the labels' maps; and of an ensemble
            `uncertainty.nii.gz`, 0 to 1.

    Returns:
        File name to path.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        with replacing_folder(folder, own_files=OWN_FILES, done_file=DONE_FILE) as scratch:
            _write_all(result, volume, scratch, save_maps=save_maps)
            names = [path.name for path in scratch.iterdir()]
    except OSError as error:
        raise OutputError(
            f"Cannot write to {folder}: {error.strerror}. Free some space there. Choose another folder "
            "if that does not help."
        ) from error
    return {name: folder / name for name in names}


def _write_all(result: AnalysisResult, volume: Volume, folder: Path, *, save_maps: bool) -> None:
    plain = result.to_json()
    if result.segmentation is not None:
        plain["files"] = {"segmentation_grid": _write_segmentation(result, folder, save_maps=save_maps)}
    _write_slices(result, folder / "slices.csv")
    picture: Path | None = folder / "overview.png"
    try:
        write_overview(result, volume, folder / "overview.png")
    except ModuleNotFoundError as error:
        logger.warning("no overview picture: %s is not installed", error.name)
        picture = None
    write_report(result, folder / "report.html", picture=picture)
    (folder / DONE_FILE).write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def _write_segmentation(result: AnalysisResult, folder: Path, *, save_maps: bool) -> str:
    """Masks and maps; returns which grid `segmentation.seg.nrrd` is on, "acquired" or "regular".

    Slicer knows no shear and no unequal steps: from the acquired slices of a tilted scan it would show segments
    up to 12 mm beside the blood. Such a segmentation goes onto the regular grid.
    """
    segmentation = result.segmentation
    if segmentation is None:
        raise ValueError("the result holds no segmentation")
    labelmap, geometry = segmentation.labelmap, segmentation.geometry
    write_nifti(labelmap, geometry, folder / "labelmap.nii.gz")
    if save_maps and segmentation.soft_maps is not None:
        write_nifti(segmentation.soft_maps.max(axis=0), geometry, folder / "map.nii.gz")
    if save_maps and segmentation.uncertainty is not None:
        write_nifti(segmentation.uncertainty, geometry, folder / "uncertainty.nii.gz")
    segmentation_grid = "acquired"
    if not geometry.is_regular or geometry.tilt_deg > 0:
        segmentation_grid = "regular"
        grid = regular_grid(geometry, REGULAR_SPACING_MM)
        labelmap, geometry = labelmap_to_regular(labelmap, geometry, grid), grid
        write_nifti(labelmap, geometry, folder / "labelmap_regular.nii.gz")
    algorithm = f"ICHSegmenter {result.provenance.version} {result.provenance.method}"
    write_seg_nrrd(labelmap, geometry, segmentation.labels, folder / "segmentation.seg.nrrd", algorithm=algorithm)
    return segmentation_grid


def _write_slices(result: AnalysisResult, path: Path) -> None:
    """One row a slice, from the lowest; columns do not depend on the result."""
    keys = list(result.detection.exam_probabilities)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["slice", "index", "position_mm", "extent_mm", *keys, "positive", "blood_ml"])
        extents = result.geometry.slice_extents_mm
        for one in sorted(result.detection.slices, key=lambda each: result.slice_number(each.index)):
            values = [f"{one.probabilities[key]:.6f}" for key in keys]
            writer.writerow(
                [
                    result.slice_number(one.index),
                    one.index,
                    f"{one.position_mm:.3f}",
                    f"{extents[one.index]:.3f}",
                    *values,
                    int(one.is_positive),
                    f"{one.blood_ml:.4f}",
                ]
            )
