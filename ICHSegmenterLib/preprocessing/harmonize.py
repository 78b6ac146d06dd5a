"""Sharp and noisy scans as a soft kernel would show them, for methods that were made on such scans.

Only what a method sees is smoothed; densities are measured on the acquired voxels, and the grid stays the acquired one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.preprocessing.blocks import box_in_plane
from ICHSegmenterLib.preprocessing.checks.findings import InputCode, InputFinding
from ICHSegmenterLib.preprocessing.checks.texture import Noise, noise_after_smoothing
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

SOFT_KERNEL_HU = 8.0
"""Scans with less noise stay as they are; soft kernels have 3 to 7 HU in slices of 1.5 to 7 mm."""
TARGET_HU = 4.0
MAX_SIGMA_MM = 1.6
"""More would blur thin bleeds away; what noise is left then is said."""
SIGMAS_MM = tuple(np.round(np.arange(0.4, MAX_SIGMA_MM + 0.01, 0.1), 2).tolist())
SOFT_TISSUE_HU, CLASS_SIGMA_MM = (-150.0, 150.0), 1.0
"""Voxels that are soft after this smoothing are averaged with each other only: neither bone nor air runs into brain."""
EDGE_HU = 300.0
"""A voxel that differs more from this smoothing is bone beside air, not noise."""
MARGIN_MM = 12.0
MIN_WEIGHT = 1e-3

Mask = NDArray[np.bool_]
Field = NDArray[np.float32]


def harmonize(volume: Volume, mask: Mask, noise: Noise) -> tuple[Volume, InputFinding | None]:
    """The scan with the noise of a soft kernel, and what was done; the same object if there was nothing to do.

    Args:
        volume: Axial slices in HU, without NaN.
        mask: bool (slices, rows, columns), the inside of the skull.
        noise: As measured in this scan.
    """
    if not noise.is_known or noise.sd_hu < SOFT_KERNEL_HU:
        return volume, None
    in_plane = noise_after_smoothing(volume, mask, SIGMAS_MM)
    remaining = [
        sd * _through_plane(sigma, volume.geometry, noise) for sd, sigma in zip(in_plane, SIGMAS_MM, strict=True)
    ]
    choice = next((n for n, sd in enumerate(remaining) if sd <= TARGET_HU), len(SIGMAS_MM) - 1)
    sigma_mm = SIGMAS_MM[choice]
    smoothed = Volume(_smooth(volume, mask, sigma_mm), volume.geometry, volume.source)
    parameters = {"sigma_mm": sigma_mm, "noise_hu": noise.sd_hu, "remaining_hu": remaining[choice]}
    return smoothed, InputFinding(InputCode.SMOOTHED, parameters)


def _through_plane(sigma_mm: float, geometry: VolumeGeometry, noise: Noise) -> float:
    """What averaging with neighboring slices leaves of the SD; 1 for thick slices."""
    weights = _slice_weights(sigma_mm, geometry)
    apart = np.abs(np.subtract.outer(np.arange(len(weights)), np.arange(len(weights))))
    overlap = 0.0 if np.isnan(noise.next_slice) else float(np.clip(noise.next_slice, 0.0, 1.0))
    return float(np.sqrt(weights @ (overlap**apart) @ weights))


def _slice_weights(sigma_mm: float, geometry: VolumeGeometry) -> NDArray[np.float64]:
    """Weights of a slice and its neighbors below and above, which sum to 1; only itself where steps are unequal."""
    step = geometry.slice_step_mm
    reach = int(2.5 * sigma_mm / step) if geometry.is_regular else 0
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / sigma_mm) ** 2)
    return np.asarray(weights / weights.sum())


def _smooth(volume: Volume, mask: Mask, sigma_mm: float) -> Field:
    """Soft voxels around the brain as the Gaussian mean of soft voxels; all others as acquired."""
    pixel = volume.geometry.pixel_spacing_mm[0]
    used = np.flatnonzero(mask.any(axis=(1, 2)))
    box = (slice(used[0], used[-1] + 1), *box_in_plane(mask, int(MARGIN_MM / pixel)))
    result = np.array(volume.hu, dtype=np.float32)
    hu = volume.hu[box]
    weights = np.zeros(hu.shape, dtype=np.float32)
    for image, weight in zip(hu, weights, strict=True):
        shown = ndimage.gaussian_filter(np.clip(image, -1000, 1000), CLASS_SIGMA_MM / pixel, truncate=3)
        is_soft = (shown > SOFT_TISSUE_HU[0]) & (shown < SOFT_TISSUE_HU[1])
        weight[:] = is_soft & (np.abs(image - shown) < EDGE_HU)
    near, around = weights.copy(), weights * hu
    for field in (near, around):
        for image in field:
            ndimage.gaussian_filter(image, sigma_mm / pixel, truncate=3, output=image)
        ndimage.correlate1d(field, _slice_weights(sigma_mm, volume.geometry), axis=0, output=field)
    soft = (weights > 0) & (near > MIN_WEIGHT)
    part = result[box]
    part[soft] = around[soft] / near[soft]
    return result
