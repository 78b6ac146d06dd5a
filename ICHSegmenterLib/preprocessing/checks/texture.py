"""Noise of a scan, measured in even brain away from bone: its SD, its grain, and its overlap between slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.preprocessing.blocks import box_in_plane
from ICHSegmenterLib.volume.volume import Volume

SMOOTHING_MM, RIM_MM, FLAT_HU_PER_MM = 3.0, 8.0, 0.5
"""Noise is the difference from this smoothing, so far from bone, where the smoothed brain is this even."""
FLATTEST_SHARE = 0.2
"""So much of the brain is taken as even at least: strong noise leaves nothing even by the rule above."""
SOFT_HU = (-20.0, 100.0)
EVEN_HU = (10.0, 60.0)
LAGS = 9
MIN_AREA_CM2 = 15.0
"""Slices with less brain have too little of it away from bone."""
USUAL_SLICES = 4
MIN_PIXELS = 500
MARGIN_MM = 10.0
WIDE_HU = (-200.0, 250.0)
"""Range in which strong noise of brain stays whole."""

Mask = NDArray[np.bool_]
Field = NDArray[np.float32]


@dataclass(frozen=True)
class Noise:
    """Noise of a scan; not a number where there is too little even brain.

    Attributes:
        sd_hu: Standard deviation.
        length_mm: Distance in the plane at which the correlation of neighbors has fallen to 1/e.
        next_pixel: Correlation of pixels side by side.
        next_slice: Correlation of pixels one above the other.
    """

    sd_hu: float
    length_mm: float
    next_pixel: float
    next_slice: float

    @property
    def is_known(self) -> bool:
        """Whether there was enough even brain."""
        return bool(np.isfinite(self.sd_hu))


UNKNOWN = Noise(float("nan"), float("nan"), float("nan"), float("nan"))


def measure_noise(volume: Volume, mask: Mask, *, slices: int | None = USUAL_SLICES) -> Noise:
    """The noise of a head CT.

    Args:
        volume: Axial slices in HU.
        mask: bool (slices, rows, columns), the inside of the skull.
        slices: How many pairs of neighbors are measured, spread over the brain; None for every slice.
    """
    used = _slices_to_measure(volume, mask, slices)
    if not len(used):
        return UNKNOWN
    pixel = volume.geometry.pixel_spacing_mm[0]
    hu, inside = _cropped(volume, mask, used)
    noise, even = separate_noise(hu, inside, pixel)
    if np.count_nonzero(even) < MIN_PIXELS:
        return UNKNOWN
    variance = float(noise[even].var())
    row = [_correlation(noise, even, lag) / max(variance, 1e-6) for lag in range(LAGS)]
    pairs = np.flatnonzero(np.diff(used) == 1)
    both = even[pairs] & even[pairs + 1]
    next_slice = _product_mean(noise[pairs], noise[pairs + 1], both) / max(variance, 1e-6)
    return Noise(float(np.sqrt(variance)), _length(row, pixel), row[1], next_slice)


def noise_after_smoothing(volume: Volume, mask: Mask, sigmas_mm: Sequence[float]) -> list[float]:
    """SD of the noise that is left after Gaussians of these widths in the plane, not a number if it is not known."""
    used = _slices_to_measure(volume, mask, USUAL_SLICES)
    if not len(used):
        return [float("nan")] * len(sigmas_mm)
    pixel = volume.geometry.pixel_spacing_mm[0]
    hu, inside = _cropped(volume, mask, used[::2])
    _, even = separate_noise(hu, inside, pixel)
    # Noise beside the even parts is needed as well: a filter would mix their noise with nothing.
    grain = np.stack([image - ndimage.gaussian_filter(image, SMOOTHING_MM / pixel) for image in np.clip(hu, *WIDE_HU)])
    remaining = []
    for sigma in sigmas_mm:
        smooth = np.stack([ndimage.gaussian_filter(image, sigma / pixel) for image in grain])
        remaining.append(float(smooth[even].std()) if even.any() else float("nan"))
    return remaining


def _slices_to_measure(volume: Volume, mask: Mask, pairs: int | None) -> NDArray[np.intp]:
    """Indices of slices with enough brain: pairs of neighbors spread over it, or all."""
    area_cm2 = mask.sum(axis=(1, 2)) * volume.geometry.pixel_spacing_mm[0] ** 2 / 100
    used = np.flatnonzero(area_cm2 > MIN_AREA_CM2)
    if pairs is None or len(used) <= 2 * pairs:
        return used
    firsts = used[np.linspace(0, len(used) - 2, pairs + 2).astype(int)[1:-1]]
    return np.unique(np.concatenate([firsts, firsts + 1]))


def _cropped(volume: Volume, mask: Mask, used: NDArray[np.intp]) -> tuple[Field, Mask]:
    """HU and mask of some slices, around the mask."""
    margin = MARGIN_MM / volume.geometry.pixel_spacing_mm[0]
    rows, columns = box_in_plane(mask[used], margin)
    return volume.hu[used][:, rows, columns], mask[used][:, rows, columns]


def separate_noise(hu: Field, inside: Mask, pixel_mm: float) -> tuple[Field, Mask]:
    """The noise (slices, rows, columns), 0 outside of even brain, and the mask of even brain.

    Args:
        hu: float32 (slices, rows, columns).
        inside: bool (slices, rows, columns), the inside of the skull.
        pixel_mm: Of rows and columns.
    """
    noise, even = np.zeros(hu.shape, dtype=np.float32), np.zeros(hu.shape, dtype=bool)
    sd = SMOOTHING_MM / pixel_mm
    for k, image in enumerate(hu):
        soft = np.clip(image, *SOFT_HU)
        smooth = ndimage.gaussian_filter(soft, sd)
        steep = np.hypot(*np.gradient(smooth, pixel_mm))
        inner = ndimage.distance_transform_edt(inside[k]) * pixel_mm > RIM_MM
        inner &= (smooth > EVEN_HU[0]) & (smooth < EVEN_HU[1])
        if not inner.any():
            continue
        limit = max(FLAT_HU_PER_MM, float(np.quantile(steep[inner], FLATTEST_SHARE)))
        even[k] = inner & (steep < limit)
        noise[k] = np.where(even[k], image - smooth, 0)
    return noise, even


def _correlation(noise: Field, mask: Mask, lag: int) -> float:
    """Mean product of voxels `lag` columns apart, both in the mask."""
    low, high = slice(noise.shape[2] - lag), slice(lag, None)
    return _product_mean(noise[:, :, low], noise[:, :, high], mask[:, :, low] & mask[:, :, high])


def _product_mean(first: Field, second: Field, mask: Mask) -> float:
    return float((first[mask] * second[mask]).mean()) if mask.any() else float("nan")


def _length(correlations: Sequence[float], pixel_mm: float) -> float:
    """Mm at which the correlation has fallen to 1/e, linear between pixels."""
    values, goal = np.array(correlations), np.exp(-1)
    below = int(np.argmax(values < goal))
    if not below:
        return float("nan")
    return float(pixel_mm * (below - 1 + (values[below - 1] - goal) / (values[below - 1] - values[below])))
