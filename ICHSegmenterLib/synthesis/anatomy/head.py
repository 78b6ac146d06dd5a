"""A procedural head on a 1 mm grid: what the scanner will look at, and the spaces in which blood can lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ICHSegmenterLib.synthesis.anatomy.brain import inside_dura
from ICHSegmenterLib.synthesis.anatomy.head_shape import HeadParameters, cavity_shape, head_grid
from ICHSegmenterLib.synthesis.anatomy.skull import outside_dura
from ICHSegmenterLib.synthesis.fields import Field, Mask, Random
from ICHSegmenterLib.volume.geometry import VolumeGeometry


@dataclass(frozen=True, eq=False)
class Head:
    """A head, real or made up, on a regular grid in LPS axes.

    Attributes:
        grid: 1 mm, columns to the left, rows to posterior, slices to superior.
        hu: float32 (Z, Y, X).
        cavity: bool (Z, Y, X), inside the dura.
        depth_mm: float32 (Z, Y, X), distance to the dura inside the cavity.
        csf: float32 (Z, Y, X), share of fluid outside the ventricles.
        ventricles: float32 (Z, Y, X), share of ventricle.
    """

    grid: VolumeGeometry
    hu: Field
    cavity: Mask
    depth_mm: Field
    csf: Field
    ventricles: Field

    @property
    def cavity_box(self) -> tuple[slice, slice, slice]:
        """The part of the grid that holds the cavity, and two voxels around."""
        bounds = []
        for axis, size in enumerate(self.cavity.shape):
            hits = np.flatnonzero(self.cavity.any(axis=tuple(n for n in range(3) if n != axis)))
            bounds.append(slice(max(int(hits[0]) - 2, 0), min(int(hits[-1]) + 3, size)))
        return bounds[0], bounds[1], bounds[2]

    def crop(self, box: tuple[slice, slice, slice]) -> Head:
        """A part of the head; its arrays are views."""
        affine = self.grid.affine.copy()
        affine[:3, 3] = self.grid.ijk_to_lps([one.start for one in reversed(box)])
        fields = (self.hu[box], self.cavity[box], self.depth_mm[box], self.csf[box], self.ventricles[box])
        shape = fields[0].shape
        return Head(VolumeGeometry.from_affine((shape[0], shape[1], shape[2]), affine), *fields)


def make_head(random: Random, parameters: HeadParameters | None = None) -> Head:
    """Build a head; equal generators give equal heads."""
    anatomy = parameters or HeadParameters.draw(random)
    shape = cavity_shape(anatomy, random)
    hu = outside_dura(anatomy, shape, random)
    brain = inside_dura(anatomy, shape, random)
    hu[shape.cavity] = brain.hu
    csf, ventricles = np.zeros_like(hu), np.zeros_like(hu)
    csf[shape.cavity], ventricles[shape.cavity] = brain.csf, brain.ventricles
    return Head(head_grid(), hu, shape.cavity, np.maximum(shape.depth_mm, 0), csf, ventricles)
