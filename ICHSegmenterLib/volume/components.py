"""Connected pieces of a mask: what touches, and how large each is where slices are unequally spaced."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

CONNECTIVITY_26 = np.ones((3, 3, 3), dtype=bool)
"""For `scipy.ndimage.label`: pieces that share a face, an edge or a corner are one."""


def component_volumes(pieces: NDArray[Any], count: int, voxel_volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Volume of each piece.

    Args:
        pieces: (slices, rows, columns), 0 outside, 1 to `count` within, as `scipy.ndimage.label` numbers them.
        count: Of pieces.
        voxel_volumes: (slices,) of one voxel, in any unit.

    Returns:
        (count,) in that unit; piece n at n - 1.
    """
    volumes = np.zeros(count + 1)
    for plane, of_voxel in zip(pieces, voxel_volumes, strict=True):
        if plane.any():
            volumes += np.bincount(plane.ravel(), minlength=count + 1) * of_voxel
    return volumes[1:]


STEP_VOXELS = 2_000_000
"""Labeled in one step: some tens of milliseconds."""


@dataclass(frozen=True, eq=False)
class Component:
    """A connected piece of a mask.

    Attributes:
        mask: bool (slices, rows, columns) of its box.
        start: (slice, row, column) where the box begins.
    """

    mask: NDArray[np.bool_]
    start: tuple[int, int, int]

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Its box in the mask that it is a piece of."""
        slices, rows, columns = (slice(low, low + size) for low, size in zip(self.start, self.mask.shape, strict=True))
        return slices, rows, columns


def components_in_steps(
    mask: NDArray[np.bool_], step_voxels: int = STEP_VOXELS
) -> Generator[None, None, list[Component]]:
    """The 26-connected pieces of a mask, some slices a step, so that who calls can do something else in between.

    Args:
        mask: bool (slices, rows, columns).
        step_voxels: How many are labeled in a step, in whole slices.
    """
    thickness = max(1, step_voxels // max(1, mask[:1].size))
    parts: list[_Part] = []
    parents: list[int] = [0]
    for first in range(0, len(mask), thickness):
        part = _Part.of(mask[first : first + thickness], first, len(parents) - 1)
        if part is not None:
            parents += range(len(parents), len(parents) + part.count)
            if parts and parts[-1].last == first:
                _join(parts[-1], part, parents)
            parts.append(part)
        yield
    members: dict[int, list[tuple[_Part, int]]] = {}
    for part in parts:
        for number in range(1, part.count + 1):
            members.setdefault(_root(parents, part.offset + number), []).append((part, number))
        yield
    pieces = []
    for pairs in members.values():
        pieces.append(_united(pairs))
        yield
    return pieces


@dataclass(frozen=True, eq=False)
class _Part:
    """Labeled slices.

    Attributes:
        labels: Cropped to what is in them; start: where that begins.
        last: The slice after them.
        offset: What is added to its numbers.
        boxes: Of each number, in `labels`.
    """

    labels: NDArray[Any]
    start: tuple[int, int, int]
    last: int
    offset: int
    boxes: list[tuple[slice, slice, slice]]

    @property
    def count(self) -> int:
        return len(self.boxes)

    @classmethod
    def of(cls, mask: NDArray[np.bool_], first: int, offset: int) -> _Part | None:
        """The pieces within some slices, None if there are none."""
        in_plane = mask.any(axis=0)
        if not in_plane.any():
            return None
        (rows, columns), *_ = ndimage.find_objects(in_plane.astype(np.uint8))
        labels, _count = ndimage.label(mask[:, rows, columns], structure=CONNECTIVITY_26)
        return cls(labels, (first, rows.start, columns.start), first + len(mask), offset, ndimage.find_objects(labels))

    def plane(self, index: int, rows: slice, columns: slice) -> NDArray[Any]:
        """The numbers of a slice within rows and columns of the whole mask, 0 outside of what was cropped."""
        out = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.int64)
        row, column = self.start[1] - rows.start, self.start[2] - columns.start
        plane = self.labels[index]
        out[row : row + plane.shape[0], column : column + plane.shape[1]] = np.where(plane, plane + self.offset, 0)
        return out


def _join(below: _Part, above: _Part, parents: list[int]) -> None:
    """Unite what touches where two parts meet."""
    low = [min(below.start[axis], above.start[axis]) - 1 for axis in (1, 2)]
    high = [max(part.start[axis] + part.labels.shape[axis] for part in (below, above)) + 1 for axis in (1, 2)]
    rows, columns = (slice(start, stop) for start, stop in zip(low, high, strict=True))
    under, over = below.plane(-1, rows, columns), above.plane(0, rows, columns)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            moved = np.roll(over, (down, right), (0, 1))  # the border is empty
            touching = (under > 0) & (moved > 0)
            for first, second in np.unique(np.stack((under[touching], moved[touching]), axis=1), axis=0):
                roots = _root(parents, int(first)), _root(parents, int(second))
                parents[max(roots)] = min(roots)


def _root(parents: list[int], number: int) -> int:
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = parents[number]
    return number


def _united(pairs: list[tuple[_Part, int]]) -> Component:
    """One piece of the numbers that it has in several parts."""
    boxes = [
        tuple(slice(low + axis.start, low + axis.stop) for low, axis in zip(part.start, part.boxes[n - 1], strict=True))
        for part, n in pairs
    ]
    start = tuple(min(box[axis].start for box in boxes) for axis in range(3))
    shape = tuple(max(box[axis].stop for box in boxes) - start[axis] for axis in range(3))
    mask = np.zeros(shape, dtype=bool)
    for (part, number), box in zip(pairs, boxes, strict=True):
        target = tuple(slice(axis.start - low, axis.stop - low) for axis, low in zip(box, start, strict=True))
        mask[target] |= part.labels[part.boxes[number - 1]] == number
    return Component(mask, (start[0], start[1], start[2]))
