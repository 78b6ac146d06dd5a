"""Errors of projections through much bone or metal, and the bands and stars that they leave in a picture.

Every slice is projected on a coarse grid; what a scanner measures too little along a ray grows with the square of the
bone on it (beam hardening), and rays through metal are lost in noise; filtered back projection spreads both.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft, sparse

from ICHSegmenterLib.preprocessing.blocks import block_mean, linear_weights
from ICHSegmenterLib.synthesis.fields import Field, Random

ANGLES = 72
COARSE = 96
"""At most so many rows and columns of the grid that is projected."""
BONE_HU, METAL_HU = 300.0, 3200.0
SQUARE, FREE_CM = 0.020, 2.2
"""What is missing for each squared cm of bone (1000 HU) beyond what the scanner's own correction takes care of."""


def projection_errors(
    hu: Field, pixel_mm: float, random: Random, *, hardening: float = 1.0, metal: float = 1.0
) -> Field:
    """HU (slices, rows, columns) to be added to slices that share one grid.

    Args:
        hu: float32 (slices, rows, columns), not yet clipped to the scanner's range.
        pixel_mm: Of rows and columns.
        random: Of the rays that metal takes.
        hardening: 1 as in a usual scanner; 0 none.
        metal: 1 as without correction of metal; 0 none.
    """
    block = -(-max(hu.shape[1:]) // COARSE)
    error = np.zeros_like(hu)
    bone = _coarse(np.clip(hu - BONE_HU, 0, METAL_HU - BONE_HU) / 1000, block)
    dense = _coarse(np.clip(hu - METAL_HU, 0, None) / 1000, block)
    used = np.flatnonzero((bone.max(axis=(1, 2)) > 0.2) | (dense.max(axis=(1, 2)) > 0))
    if not len(used):
        return error
    matrix = _projector(bone.shape[1], bone.shape[2])
    step_cm = block * pixel_mm / 10
    paths = (matrix @ bone[used].reshape(len(used), -1).T) * np.float32(step_cm)
    missing = -np.float32(SQUARE * hardening) * np.maximum(paths - FREE_CM, 0) ** 2
    if metal and dense[used].any():
        trace = (matrix @ dense[used].reshape(len(used), -1).T) * np.float32(step_cm)
        share = np.minimum(trace / 0.4, 2.0)
        starved = random.standard_normal(share.shape).astype(np.float32)
        missing -= (
            np.float32(metal) * share * (np.float32(0.10) + np.float32(0.05) * paths - np.float32(0.10) * starved)
        )
    image = _back_projected(missing, matrix, bone.shape[1:], step_cm)
    rows, columns = (linear_weights(n, m, block) for n, m in zip(hu.shape[1:], bone.shape[1:], strict=True))
    error[used] = rows @ image @ columns.T
    return error


def _coarse(field: Field, block: int) -> Field:
    return np.ascontiguousarray(block_mean(block_mean(field.astype(np.float32), 1, block), 2, block))


@lru_cache(maxsize=2)
def _projector(rows: int, columns: int) -> sparse.csr_matrix:
    """(angles * bins, rows * columns): each pixel shared between the two bins nearest to where it is projected."""
    y, x = np.mgrid[:rows, :columns].reshape(2, -1) - np.array([[(rows - 1) / 2], [(columns - 1) / 2]])
    bins = _bins(rows, columns)
    pixel = np.arange(rows * columns)
    entries = []
    for number, angle in enumerate(np.pi * np.arange(ANGLES) / ANGLES):
        position = x * np.cos(angle) + y * np.sin(angle) + (bins - 1) / 2
        low = np.floor(position).astype(int)
        for step, weight in ((0, 1 - (position - low)), (1, position - low)):
            entries.append((number * bins + low + step, pixel, weight.astype(np.float32)))
    row, column, weight = (np.concatenate(part) for part in zip(*entries, strict=True))
    return sparse.csr_matrix((weight, (row, column)), shape=(ANGLES * bins, rows * columns))


def _bins(rows: int, columns: int) -> int:
    return int(np.hypot(rows, columns)) + 4


def _back_projected(sinogram: Field, matrix: sparse.csr_matrix, shape: tuple[int, ...], step_cm: float) -> Field:
    """HU (slices, rows, columns) of a sinogram (angles * bins, slices) in cm of 1000 HU."""
    bins = _bins(*shape)
    padded = fft.next_fast_len(2 * bins)
    ramp = np.abs(fft.rfftfreq(padded, step_cm))
    views = sinogram.reshape(ANGLES, bins, -1)
    filtered = fft.irfft(fft.rfft(views, padded, axis=1) * ramp[None, :, None], padded, axis=1)[:, :bins]
    image = matrix.T @ filtered.reshape(ANGLES * bins, -1).astype(np.float32)
    return np.asarray(image.T.reshape(-1, *shape) * (np.pi / ANGLES) * 1000, dtype=np.float32)
