"""Tissue makes room for blood: an incompressible flow out of the lesions, stopped by the skull."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from ICHSegmenterLib.preprocessing.blocks import block_mean, linear_weights
from ICHSegmenterLib.synthesis.anatomy.head import Head
from ICHSegmenterLib.synthesis.fields import Field
from ICHSegmenterLib.volume.geometry import VolumeGeometry

BLOCK = 4
"""The flow is smooth: it is computed on blocks of so many mm."""
STOP_MM = 12.0
"""Within this distance of the skull the flow fades to nothing."""
SKULL_REFLECTION = 2.0
"""Next to the skull all of the flow goes inwards, not half of it."""


@dataclass(frozen=True, eq=False)
class Displacement:
    """By how many mm the tissue now at a voxel was moved; (3, blocks...) along z, y, x, on blocks of the grid.

    Attributes:
        blocks: float32 (3, bz, by, bx).
        grid: The 1 mm grid.
    """

    blocks: Field
    grid: VolumeGeometry

    @property
    def largest_mm(self) -> float:
        """Length of the longest arrow."""
        return float(np.sqrt((self.blocks**2).sum(axis=0)).max(initial=0.0))

    def on_grid(self) -> Field:
        """float32 (3, Z, Y, X)."""
        weights = [linear_weights(n, b, BLOCK) for n, b in zip(self.grid.shape, self.blocks.shape[1:], strict=True)]
        stages = np.matmul(self.blocks, weights[2].T.astype(np.float32))
        stages = np.matmul(weights[1].astype(np.float32), stages)
        return np.ascontiguousarray(np.moveaxis(np.tensordot(weights[0].astype(np.float32), stages, axes=(1, 1)), 0, 1))

    def apply(self, head: Head) -> Head:
        """The head with the content of its cavity displaced; bone stays where it is."""
        index = np.nonzero(head.cavity)
        shift = [component[index] for component in self.on_grid()]
        source = [n - s for n, s in zip(index, shift, strict=True)]
        moved = []
        content = np.where(head.cavity, head.hu, np.float32(np.median(head.hu[head.cavity])))
        for values, kept in ((content, head.hu), (head.csf, head.csf), (head.ventricles, head.ventricles)):
            result = kept.copy()
            result[index] = ndimage.map_coordinates(values, source, order=1, mode="nearest")
            moved.append(result)
        return Head(head.grid, moved[0], head.cavity, head.depth_mm, moved[1], moved[2])


def displacement_of(sources: Sequence[Field], grid: VolumeGeometry, depth_mm: Field) -> Displacement:
    """The flow whose divergence is the added blood.

    Args:
        sources: float32 (Z, Y, X) each, share of a voxel that came in addition.
        grid: Grid of the sources, 1 mm.
        depth_mm: float32 (Z, Y, X), distance to the dura.
    """
    depth = _coarse(depth_mm)
    flow = np.zeros((3, *depth.shape), dtype=np.float32)
    for source in sources:
        coarse = _coarse(source)
        if not coarse.any():
            continue
        weight = coarse / coarse.sum()
        near_skull = np.clip(1 - float((weight * depth).sum()) / 20, 0, 1)
        flow += _outflow(coarse) * np.float32(1 + (SKULL_REFLECTION - 1) * near_skull)
    return Displacement(flow * np.clip(depth / STOP_MM, 0, 1) ** np.float32(0.5), grid)


def _coarse(values: Field) -> Field:
    for axis in range(3):
        values = block_mean(values, axis, BLOCK)
    return values


def _outflow(source: Field) -> Field:
    """Gradient flow in mm: the Poisson equation on a periodic box of twice the size."""
    shape = [fft.next_fast_len(2 * n, real=True) for n in source.shape]
    waves = [2 * np.pi * fft.fftfreq(n, BLOCK) for n in shape[:2]] + [2 * np.pi * fft.rfftfreq(shape[2], BLOCK)]
    k = np.meshgrid(*waves, indexing="ij", sparse=True)
    squared = np.asarray(k[0] ** 2 + k[1] ** 2 + k[2] ** 2)
    squared[0, 0, 0] = np.inf
    spectrum = fft.rfftn(source, shape) / squared
    inside = tuple(slice(n) for n in source.shape)
    return np.stack([fft.irfftn(-1j * wave * spectrum, shape)[inside] for wave in k]).astype(np.float32)
