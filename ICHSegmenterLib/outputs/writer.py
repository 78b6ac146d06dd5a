"""The contract of an output: what its writer gets, and what the table says of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ICHSegmenterLib.analysis.outlined_findings import OutlinedFinding, outlined_findings
from ICHSegmenterLib.outputs.dicom.scan import scan_headers
from ICHSegmenterLib.preprocessing.resample import labelmap_to_regular, regular_grid
from ICHSegmenterLib.results import AnalysisResult, SegmentationResult
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

REGULAR_SPACING_MM = 1.0
"""Voxel size of `labelmap_regular.nii.gz`, and of `segmentation.seg.nrrd` where slices are tilted or unequal."""


def is_orthogonal(geometry: VolumeGeometry) -> bool:
    """True for a grid without shear and with equal steps."""
    return geometry.is_regular and geometry.tilt_deg <= 0


@dataclass(frozen=True, eq=False)
class OrthogonalLabelmap:
    """A labelmap on a grid without shear and with equal steps.

    Attributes:
        voxels: uint8 (slices, rows, columns).
        geometry: Its grid.
        is_acquired: True if that is the grid of the scan, False if it was resampled.
    """

    voxels: NDArray[np.uint8]
    geometry: VolumeGeometry
    is_acquired: bool

    @classmethod
    def of(cls, segmentation: SegmentationResult) -> OrthogonalLabelmap:
        """The labelmap as it is, or nearest-neighbor resampled where slices are tilted or unequal.

        Slicer knows no shear and no unequal steps: from the acquired slices of a tilted scan it would show segments
        up to 12 mm beside the blood.
        """
        geometry = segmentation.geometry
        if is_orthogonal(geometry):
            return cls(segmentation.labelmap, geometry, is_acquired=True)
        grid = regular_grid(geometry, REGULAR_SPACING_MM)
        return cls(labelmap_to_regular(segmentation.labelmap, geometry, grid), grid, is_acquired=False)


@dataclass(frozen=True, eq=False)
class ExamOutput:
    """The material of all writers of one exam.

    Attributes:
        result: Of `analyze`.
        volume: The exam it was made from.
        folder: A scratch folder; it is put into place when all writers are done.
        names: The outputs that are written, in the order of the table.
        source: File or folder that `volume` was read from, None if it never was a file.
        slice_files: DICOM files of its slices in any order, where they are known and `source` is not.
    """

    result: AnalysisResult
    volume: Volume
    folder: Path
    names: tuple[str, ...]
    source: Path | None = None
    slice_files: tuple[Path, ...] = ()

    @cached_property
    def scan_headers(self) -> list[Dataset]:
        """DICOM headers of the slices, in array order; read once for all writers.

        Raises:
            OutputError: The volume did not come from DICOM files of one slice each.
        """
        return scan_headers(self.volume, self.source, self.slice_files)

    @cached_property
    def findings(self) -> tuple[OutlinedFinding, ...]:
        """The separate pieces of the outline, the most important first; measured once for all writers."""
        return outlined_findings(self.result, self.volume)

    @cached_property
    def orthogonal(self) -> OrthogonalLabelmap | None:
        """The labelmap for formats without shear, None of a detection; made once for all writers."""
        return None if self.result.segmentation is None else OrthogonalLabelmap.of(self.result.segmentation)


class Writer(Protocol):
    """Writes the files of one output."""

    def __call__(self, exam: ExamOutput, /) -> None:
        """Write into `exam.folder`; nothing where the result holds nothing for this output.

        Raises:
            OutputError: Something that a person can mend.
        """
        ...


class InputCheck(Protocol):
    """Says before an analysis whether its output can be written."""

    def __call__(self, volume: Volume, source: Path | None, /) -> None:
        """Return if it can be.

        Raises:
            OutputError: Not of this input.
            DependencyError: A package is missing.
        """
        ...


@dataclass(frozen=True)
class Output:
    """One output.

    Attributes:
        write: Its writer.
        files: Names of all files that it may write; those of an earlier run do not stay.
        is_default: Written unless taken away.
        needs_maps: Its writer reads the soft maps, which only stay in a result that `map` is asked of.
        check: What must hold before the analysis.
        refers_to: Names of outputs whose files its own refers to; they are written with it, and stand above it.
    """

    write: Writer
    files: tuple[str, ...]
    is_default: bool = False
    needs_maps: bool = False
    check: InputCheck | None = None
    refers_to: tuple[str, ...] = ()
