"""From a volume to what a network sees, slice by slice, and back to the acquired voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.preprocessing import brain_mask as skull
from ICHSegmenterLib.preprocessing.in_plane import InPlaneGrid
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.spec import Preprocessing, SlicePreprocessing
from ICHSegmenterLib.preprocessing.windowing import windowed_slices
from ICHSegmenterLib.volume.volume import Volume

MIN_BRAIN_AREA_CM2 = 4.0
"""Slices with less brain than this are not shown to slice networks: the tip of the vertex, the spinal canal."""

MIN_AXIAL_COSINE = 0.5
"""Slices tilted farther than 60 degrees from the patient's transverse plane are not axial."""


@dataclass(frozen=True, eq=False)
class PreparedVolume:
    """A volume ready for a predictor. Network input is made only when a batch is asked for.

    Slice indices are those of the acquired array, everywhere.

    Attributes:
        volume: As acquired.
        view: How its slices are turned to axial display.
        brain_mask: bool (slices, rows, columns) on the acquired grid.
        preprocessing: What the network wants to see.
    """

    volume: Volume
    view: AxialView
    brain_mask: NDArray[np.bool_]
    preprocessing: Preprocessing

    @cached_property
    def brain_slices(self) -> tuple[int, ...]:
        """Acquired indices of the slices with at least `MIN_BRAIN_AREA_CM2` of brain, ascending."""
        geometry = self.volume.geometry
        pixel_cm2 = float(np.linalg.norm(np.cross(geometry.column_step, geometry.row_step))) / 100
        area = np.count_nonzero(self.brain_mask.reshape(geometry.shape[0], -1), axis=1) * pixel_cm2
        return tuple(int(k) for k in np.flatnonzero(area >= MIN_BRAIN_AREA_CM2))

    @cached_property
    def grid(self) -> InPlaneGrid:
        """The network's pixels on a slice in axial display."""
        preprocessing = self._slice_preprocessing
        geometry = self.volume.geometry
        axes = self.view.axes[1:]
        rows, columns = (geometry.shape[axis] for axis in axes)
        row_mm, column_mm = (geometry.pixel_spacing_mm[axis - 1] for axis in axes)
        return InPlaneGrid((rows, columns), preprocessing.resize, preprocessing.crop, (row_mm, column_mm))

    def batch(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """Network input of these acquired slices: float32 (slices, windows, crop, crop), anterior up."""
        preprocessing = self._slice_preprocessing
        slices = self.view.apply_to_slices(self.volume.hu[list(indices)])
        return windowed_slices(slices, self.grid, preprocessing.windows, preprocessing.normalization)

    def mask_batch(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Brain mask of these acquired slices at the network's pixels: bool (slices, crop, crop)."""
        return self.mask_at_network(self.brain_mask, indices)

    def mask_at_network(self, mask: NDArray[np.bool_], indices: Sequence[int]) -> NDArray[np.bool_]:
        """A mask of the acquired grid, such as the true bleed, at the network's pixels: bool (slices, crop, crop)."""
        sampling = self._slice_preprocessing.mask_sampling
        return self.grid.forward_mask(self.view.apply_to_slices(mask[list(indices)]), sampling)

    def restore(self, maps: NDArray[np.floating[Any]], indices: Sequence[int]) -> NDArray[np.float32]:
        """Bring maps of these acquired slices back: (slices, [labels,] crop, crop) -> float32 (..., rows, columns)."""
        if len(maps) != len(indices):
            raise ValueError(f"{len(maps)} maps for {len(indices)} slices")
        on_display = self.grid.inverse(np.asarray(maps, dtype=np.float32))
        return np.ascontiguousarray(self.view.undo_slices(on_display))

    @property
    def _slice_preprocessing(self) -> SlicePreprocessing:
        if not isinstance(self.preprocessing, SlicePreprocessing):
            raise ValueError(f"{type(self.preprocessing).__name__} has no slice batches")
        return self.preprocessing


def prepare(
    volume: Volume, preprocessing: Preprocessing, brain_mask: NDArray[np.bool_] | None = None
) -> PreparedVolume:
    """Find the brain and the orientation; nothing is resampled yet.

    Args:
        volume: The acquired slices must be axial (within 60 degrees); `AxialView.volume` turns a regular sagittal
            or coronal volume, and `AxialView.undo` brings its results back.
        preprocessing: From the model card.
        brain_mask: bool (slices, rows, columns) on the acquired grid; found from HU if None.

    Raises:
        VolumeError: The slices are not axial, or no head is found.
    """
    view = AxialView.of(volume.geometry)
    if not view.keeps_slices or abs(volume.geometry.normal[2]) < MIN_AXIAL_COSINE:
        raise VolumeError(
            "The slices of this volume are sagittal or coronal; it must be turned to axial slices before analysis.",
            Cause.DATA_MISMATCH,
        )
    mask = skull.brain_mask(volume) if brain_mask is None else np.asarray(brain_mask, dtype=bool)
    if mask.shape != volume.geometry.shape:
        raise VolumeError(
            f"The brain mask has {mask.shape} voxels and the CT {volume.geometry.shape} (slices, rows, columns); "
            "choose a mask of the same volume.",
            Cause.OTHER_GRID,
        )
    return PreparedVolume(volume, view, mask, preprocessing)
