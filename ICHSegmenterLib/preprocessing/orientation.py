"""The axial view of an acquired array: rows run to posterior, columns to the patient's left, slices to superior.

Only axes are exchanged and reversed, never interpolated, so the way back is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.volume.geometry import Points, VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

Scalar = TypeVar("Scalar", bound=np.generic)

AXIAL_DIRECTIONS = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
"""LPS directions of an axial array's (slice, row, column) axes."""


@dataclass(frozen=True)
class AxialView:
    """How to look at an acquired array.

    Attributes:
        axes: Acquired axis (0 slice, 1 row, 2 column) of each view axis.
        flips: True where a view axis runs against its acquired axis.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    @classmethod
    def of(cls, geometry: VolumeGeometry) -> AxialView:
        """The view nearest to axial display; slices of an irregular geometry always stay slices."""
        directions = _axis_directions(geometry)
        candidates = [order for order in permutations(range(3)) if geometry.is_regular or order[0] == 0]
        cosines = np.abs(AXIAL_DIRECTIONS @ directions.T)
        axes = max(candidates, key=lambda order: sum(cosines[view, axis] for view, axis in enumerate(order)))
        flips = [float(AXIAL_DIRECTIONS[view] @ directions[axis]) < 0 for view, axis in enumerate(axes)]
        return cls((axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]))

    @classmethod
    def at_border(cls, geometry: VolumeGeometry) -> AxialView:
        """The turn that an exam takes once before its analysis: none if its acquired slices are axial already."""
        return cls.of(geometry).at_detection

    @property
    def at_detection(self) -> AxialView:
        """The turn from the acquired grid to the slices that detections speak of: acquired ones if they are axial."""
        return AS_ACQUIRED if self.keeps_slices else self

    @property
    def is_identity(self) -> bool:
        """True if nothing is turned."""
        return self == AS_ACQUIRED

    @property
    def keeps_slices(self) -> bool:
        """True if every axial slice is an acquired slice (perhaps turned), in the same or the reverse order."""
        return self.axes[0] == 0

    def apply(self, acquired: NDArray[Scalar]) -> NDArray[Scalar]:
        """(S, R, C) acquired array as a view of it in axial order; no copy."""
        return np.transpose(acquired, self.axes)[self._slicing]

    def undo(self, axial: NDArray[Scalar]) -> NDArray[Scalar]:
        """Axial array back in acquired order; no copy."""
        return np.transpose(axial[self._slicing], np.argsort(self.axes))

    def apply_to_slices(self, acquired: NDArray[Scalar]) -> NDArray[Scalar]:
        """(..., rows, columns) acquired slices, turned to axial display; only if the view keeps slices."""
        turned = acquired.swapaxes(-1, -2) if self._turns_slices else acquired
        return self._flip_slices(turned)

    def undo_slices(self, axial: NDArray[Scalar]) -> NDArray[Scalar]:
        """(..., rows, columns) axial display slices, turned back to acquired; only if the view keeps slices."""
        flipped = self._flip_slices(axial)
        return flipped.swapaxes(-1, -2) if self._turns_slices else flipped

    def acquired_index(self, axial_index: int, slices: int) -> int:
        """Acquired slice shown as axial slice `axial_index` of `slices`; its own inverse."""
        return slices - 1 - axial_index if self.flips[0] else axial_index

    def geometry(self, acquired: VolumeGeometry) -> VolumeGeometry:
        """The exact geometry of `apply`'s result."""
        if self.is_identity:
            return acquired
        if not self.keeps_slices:
            return _permuted(acquired, self)
        steps = (acquired.row_step, acquired.column_step)
        rows, columns = (acquired.shape[axis] for axis in self.axes[1:])
        row_step, column_step = (steps[axis - 1] for axis in self.axes[1:])
        origins = acquired.slice_origins[::-1] if self.flips[0] else acquired.slice_origins
        for step, count, is_flipped in ((row_step, rows, self.flips[1]), (column_step, columns, self.flips[2])):
            origins = origins + (count - 1) * step if is_flipped else origins
        signs = [-1.0 if flip else 1.0 for flip in self.flips[1:]]
        return VolumeGeometry((acquired.shape[0], rows, columns), signs[1] * column_step, signs[0] * row_step, origins)

    def volume(self, acquired: Volume) -> Volume:
        """The volume in axial order, without copying voxels; instance UIDs follow if slices stay slices."""
        if self.is_identity:
            return acquired
        uids = acquired.source.instance_uids if self.keeps_slices else ()
        source = replace(acquired.source, instance_uids=uids[::-1] if self.flips[0] else uids)
        return Volume(self.apply(acquired.hu), self.geometry(acquired.geometry), source)

    @property
    def _turns_slices(self) -> bool:
        if not self.keeps_slices:
            raise ValueError(f"axial slices are not acquired slices in this view (axes {self.axes})")
        return self.axes == (0, 2, 1)

    def _flip_slices(self, axial: NDArray[Scalar]) -> NDArray[Scalar]:
        _, rows, columns = self._slicing
        return axial[..., rows, columns]

    @property
    def _slicing(self) -> tuple[slice, slice, slice]:
        slices, rows, columns = (slice(None, None, -1 if flip else None) for flip in self.flips)
        return slices, rows, columns


AS_ACQUIRED = AxialView((0, 1, 2), (False, False, False))
"""The array as it is."""


def _axis_directions(geometry: VolumeGeometry) -> Points:
    """(3, 3) unit LPS directions of the (slice, row, column) axes; slices along the normal, not the shear."""
    positions = geometry.slice_positions_mm
    normal = geometry.normal if positions[-1] >= positions[0] else -geometry.normal
    steps = np.stack((normal, geometry.row_step, geometry.column_step))
    return np.asarray(steps / np.linalg.norm(steps, axis=1, keepdims=True))


def _permuted(acquired: VolumeGeometry, view: AxialView) -> VolumeGeometry:
    """Regular geometry with exchanged axes."""
    steps = [acquired.affine[:3, column] for column in (2, 1, 0)]
    origin = acquired.affine[:3, 3]
    shape, turned = [], []
    for axis, is_flipped in zip(view.axes, view.flips, strict=True):
        count: Any = acquired.shape[axis]
        origin = origin + (count - 1) * steps[axis] if is_flipped else origin
        turned.append(-steps[axis] if is_flipped else steps[axis])
        shape.append(count)
    slice_step, row_step, column_step = turned
    origins = origin + np.arange(shape[0])[:, None] * slice_step
    return VolumeGeometry((shape[0], shape[1], shape[2]), column_step, row_step, origins)
