"""A quick check of a volume, on a thinned copy; the worker checks every voxel later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.errors import Failure, VolumeError
from ICHSegmenterLib.preprocessing.input_check import check_head_ct
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.hounsfield import with_air_for_padding
from ICHSegmenterLib.volume.volume import Volume
from ICHSegmenterSlicer.scene.volumes import geometryOf
from ICHSegmenterSlicer.words.failure_text import failureText

MAX_PIXELS = 128
"""Rows and columns that are checked; enough to see a head, and below 10 ms."""
MAX_STEP_MM = 5.0
"""Slices are skipped as long as they stay this close."""


@dataclass(frozen=True)
class VolumeCheck:
    """The outcome of a check.

    Attributes:
        description: Spacing, slices, tilt; empty if there is no usable geometry.
        problem: Why it cannot be analyzed and what to do; empty if it can.
    """

    description: str
    problem: str


def checkVolume(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> VolumeCheck:
    """Check that a volume is a head CT in Hounsfield units."""
    if volumeNode.GetImageData() is None or volumeNode.GetImageData().GetNumberOfPoints() == 0:
        return VolumeCheck("", _("This volume holds no voxels. Load it again."))
    description = ""
    try:
        geometry = geometryOf(volumeNode)
        description = describe(geometry)
        check_head_ct(_thinned(slicer.util.arrayFromVolume(volumeNode), geometry))
    except VolumeError as error:
        return VolumeCheck(description, failureText(Failure.of(error)))
    return VolumeCheck(description, "")


def describe(geometry: VolumeGeometry) -> str:
    """One line: slices, voxel size, tilt, uneven steps."""
    slices, rows, columns = geometry.shape
    betweenRows, betweenColumns = geometry.pixel_spacing_mm
    parts = [
        _("{slices} slices of {columns} × {rows}").format(slices=slices, columns=columns, rows=rows),
        _("{x:.2f} × {y:.2f} × {z:.2f} mm").format(x=betweenColumns, y=betweenRows, z=geometry.slice_step_mm),
    ]
    if geometry.tilt_deg:
        parts.append(_("gantry tilt {angle:.1f}°").format(angle=geometry.tilt_deg))
    steps = np.abs(np.diff(geometry.slice_positions_mm))
    if len(steps) and steps.max() - steps.min() > 0.1:
        parts.append(_("uneven steps {low:.2f} to {high:.2f} mm").format(low=steps.min(), high=steps.max()))
    return " · ".join(parts)


def _thinned(voxels: np.ndarray, geometry: VolumeGeometry) -> Volume:
    """Every n-th voxel, with the geometry that goes with it."""
    slices, rows, columns = geometry.shape
    inPlane = max(1, int(np.ceil(max(rows, columns) / MAX_PIXELS)))
    step = max(1, min(int(MAX_STEP_MM / geometry.slice_step_mm), slices // 8))
    hu = np.ascontiguousarray(voxels[::step, ::inPlane, ::inPlane], dtype=np.float32)
    thinned = VolumeGeometry(
        hu.shape, geometry.column_step * inPlane, geometry.row_step * inPlane, geometry.slice_origins[::step]
    )
    return Volume(with_air_for_padding(hu), thinned)
