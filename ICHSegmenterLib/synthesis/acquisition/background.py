"""A real scan made into many: its shape, densities, noise and kernel are changed before lesions are put in.

The values stay on a grid of the scan's shape and order; what changes its size changes the spacing of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from ICHSegmenterLib.synthesis.acquisition.kernels import draw_kernel
from ICHSegmenterLib.synthesis.fields import Field, Random, smooth_noise
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.reader.reader_warning import ReaderCode, ReaderWarning
from ICHSegmenterLib.volume.volume import Volume

SOFT_HU = (-20.0, 100.0)
"""Range whose contrast is changed; bone, fat and air keep theirs."""
GRAIN_MM = 1.2
"""Width of the filter whose residue is the scan's own noise."""
PIVOT_HU = 30.0


@dataclass(frozen=True)
class BackgroundChanges:
    """Changes of one copy of a scan.

    Attributes:
        scale: Factor of the size along columns, rows and slices.
        warp_mm: SD of the elastic shift in the plane.
        is_mirrored: Left and right exchanged.
        turn_deg: Turn of the head in the plane.
        offset_hu, contrast: Of soft tissue: added, and factor of the distance from 30 HU.
        bend_hu: Largest shift of a smooth curve over the densities.
        own_noise: Factor of the scan's own noise.
        noise_hu: SD of added noise.
        sharpness: Kernel of the added noise and of the picture, 0 soft to 1 bone; the picture is never sharpened.
        blur_mm: Width of a filter over the picture.
    """

    scale: tuple[float, float, float]
    warp_mm: float
    is_mirrored: bool
    turn_deg: float
    offset_hu: float
    contrast: float
    bend_hu: float
    own_noise: float
    noise_hu: float
    sharpness: float
    blur_mm: float

    @classmethod
    def draw(cls, random: Random) -> BackgroundChanges:
        """Strong changes, within what heads and scanners differ by."""
        size = random.uniform(0.9, 1.1)
        x, y, z = (float(size * random.uniform(0.94, 1.06)) for _ in range(3))
        is_noisy = random.random() < 0.3
        return cls(
            scale=(x, y, z),
            warp_mm=float(random.uniform(1.0, 3.5)),
            is_mirrored=bool(random.random() < 0.5),
            turn_deg=float(random.normal(0, 7)),
            offset_hu=float(random.uniform(-6, 5)),
            contrast=float(random.uniform(0.75, 1.3)),
            bend_hu=float(random.uniform(0, 3)),
            own_noise=float(random.uniform(0.2, 1.3)),
            noise_hu=float(np.exp(random.uniform(np.log(6), np.log(30)))) if is_noisy else float(random.uniform(0, 5)),
            sharpness=float(random.uniform(0, 1)) if random.random() < 0.3 else float(random.uniform(0, 0.4)),
            blur_mm=float(random.uniform(0.3, 1.0)) if random.random() < 0.4 else 0.0,
        )


def augment_background(volume: Volume, seed: int, changes: BackgroundChanges | None = None) -> Volume:
    """A bleed-free CT as of another person on another scanner; equal seeds give equal scans.

    Args:
        volume: A head CT on any grid.
        seed: Of the changes and the noise.
        changes: Drawn if None.

    Returns:
        A volume of the same shape; the spacing is scaled.
    """
    random = np.random.default_rng((seed, 2))
    drawn = BackgroundChanges.draw(random)
    changes = changes or drawn
    geometry = _scaled(volume.geometry, changes.scale)
    pixel = geometry.pixel_spacing_mm[0]
    picture, grain = _separated(volume.hu, pixel)
    fields = [_warped(field, geometry, changes, np.random.default_rng((seed, 3))) for field in (picture, grain)]
    hu = _densities(fields[0], changes, random) + np.float32(changes.own_noise) * fields[1]
    kernel = draw_kernel(changes.sharpness, random)
    for image in hu:
        if changes.blur_mm:
            image[:] = ndimage.gaussian_filter(image, changes.blur_mm / pixel)
        image += np.float32(changes.noise_hu) * kernel.noise((hu.shape[1], hu.shape[2]), pixel, random)
    lowest, highest = float(volume.hu.min()), float(volume.hu.max())
    warnings = (*volume.source.reader_warnings, ReaderWarning(ReaderCode.AUGMENTED))
    source = replace(volume.source, reader_warnings=warnings)
    return Volume(np.clip(np.rint(hu), lowest, highest).astype(np.float32), geometry, source)


def _scaled(geometry: VolumeGeometry, scale: tuple[float, float, float]) -> VolumeGeometry:
    """The grid stretched along its own axes, about its middle; columns and rows stay at a right angle."""
    steps = (geometry.column_step, geometry.row_step)
    axes = np.stack([*(step / np.linalg.norm(step) for step in steps), geometry.normal])
    stretch = axes.T @ np.diag(scale) @ axes
    middle = geometry.slice_origins.mean(axis=0)
    origins = middle + (geometry.slice_origins - middle) @ stretch.T
    return VolumeGeometry(geometry.shape, steps[0] * scale[0], steps[1] * scale[1], origins)


def _separated(hu: Field, pixel_mm: float) -> tuple[Field, Field]:
    """The picture without its noise, and the noise, which is what a small filter takes from soft tissue."""
    soft = np.clip(hu, *SOFT_HU)
    smooth = np.stack([ndimage.gaussian_filter(image, GRAIN_MM / pixel_mm) for image in soft])
    is_flat = (np.abs(soft - hu) < 1) & (np.abs(soft - smooth) < 18)
    grain = np.where(is_flat, soft - smooth, 0).astype(np.float32)
    return (hu - grain).astype(np.float32), grain


def _warped(field: Field, geometry: VolumeGeometry, changes: BackgroundChanges, random: Random) -> Field:
    """Turned, mirrored and shifted in every slice, alike in neighboring slices."""
    slices, rows, columns = field.shape
    pixel = geometry.pixel_spacing_mm[0]
    coarse = (slices, -(-rows // 8) + 1, -(-columns // 8) + 1)
    pitch = 30.0 / (8 * pixel)
    shifts = [np.float32(changes.warp_mm / pixel) * smooth_noise(random, coarse, pitch) for _ in range(2)]
    turn = np.radians(changes.turn_deg)
    j, i = np.mgrid[:rows, :columns].astype(np.float32)
    y, x = j - (rows - 1) / 2, i - (columns - 1) / 2
    x = -x if changes.is_mirrored else x
    base = np.stack([np.cos(turn) * y + np.sin(turn) * x, np.cos(turn) * x - np.sin(turn) * y])
    base += np.array([(rows - 1) / 2, (columns - 1) / 2])[:, None, None]
    result = np.empty_like(field)
    for k in range(slices):
        arrows = [ndimage.map_coordinates(shift[k], (j / 8, i / 8), order=1, mode="nearest") for shift in shifts]
        where = [b + a for b, a in zip(base, arrows, strict=True)]
        result[k] = ndimage.map_coordinates(field[k], where, order=1, mode="nearest")
    return result


def _densities(hu: Field, changes: BackgroundChanges, random: Random) -> Field:
    """Soft tissue through a curve that rises everywhere and fades to none at fat and bone."""
    low, high = SOFT_HU
    levels = np.linspace(low, high, 121)
    fade = np.clip(np.minimum(levels - low, high - levels) / 25, 0, 1)
    bend = changes.bend_hu * np.sin(levels / random.uniform(8, 16) + random.uniform(0, 6))
    change = changes.offset_hu + (changes.contrast - 1) * np.clip(levels - PIVOT_HU, -30, 30) + bend
    curve = np.maximum.accumulate(levels + fade * change)
    mapped = np.interp(hu, levels, curve).astype(np.float32)
    return np.where((hu > low) & (hu < high), mapped, hu).astype(np.float32)
