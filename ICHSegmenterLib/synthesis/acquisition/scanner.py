"""The scanner: protocols, and the image of a head with partial volume, beam hardening, kernel, noise and motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.synthesis.acquisition.beam_hardening import projection_errors
from ICHSegmenterLib.synthesis.acquisition.kernels import Kernel
from ICHSegmenterLib.synthesis.anatomy.head import Head
from ICHSegmenterLib.synthesis.fields import Field, Random
from ICHSegmenterLib.volume.geometry import Points, VolumeGeometry

AIR_HU, LOWEST_HU, HIGHEST_HU = -1000.0, -1024.0, 3071.0
SUBSAMPLE_MM = 1.25
"""Thicker slices are the mean of planes at most this far apart."""
DENSE_BONE_HU = 600.0
PETROUS_PATH_MM = 14.0
"""Rays through more dense bone than this on both sides leave dark streaks; the vault alone has less."""
SHARPENED_HU = (-150.0, 300.0)
GLOW_MM, GLOW_BONE = 16.0, 0.45
"""Reach of bone's brightness, and the mean share of bone at which it is full."""
VERTEX_WIDTH = (0.55, 0.92)
"""Width of the brain in a slice, as a share of its widest, at which the vertex is full and at which it begins."""
REST_HU, REST_MM, REST_RADIUS_MM = 130.0, 1.6, 99.0


@dataclass(frozen=True)
class Protocol:
    """Settings of an acquisition.

    Attributes:
        matrix: Rows and columns.
        field_of_view_mm: Width of the picture.
        steps_mm: Table feed from each slice to the next, upwards.
        tilt_deg: Gantry tilt.
        pose_deg: Turn of the head about x, y and z.
        center_mm: Center of the picture, in head coordinates.
        noise_hu: SD inside the brain.
        blur_mm: Width of the reconstruction kernel.
        sharpening: 0 (soft kernel) to 1.
        cupping_hu: Lower density in the middle of the head, higher next to the skull.
        streak_hu: Darkest streak between the petrous bones.
        motion_mm: Shift of single slices.
        gain, offset_hu: Calibration drift.
        has_head_rest: Whether the head rest shows.
        is_descending: Slices from top to bottom.
        kernel: Instead of blur and sharpening, for picture and noise.
        hardening: Bands between thick bones from projections, 1 as in a usual scanner.
        metal: Stars around metal, 1 as without correction.
        glow_hu: How much brighter brain is that bone surrounds on all sides, as at the vertex.
        double_mm: Second contour of slices in which the head moved.
        noise_overlap: Correlation of the noise of neighboring slices, with a kernel.
    """

    matrix: int = 256
    field_of_view_mm: float = 235.0
    steps_mm: tuple[float, ...] = (5.0,) * 27
    tilt_deg: float = 0.0
    pose_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    center_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    noise_hu: float = 3.5
    blur_mm: float = 0.6
    sharpening: float = 0.2
    cupping_hu: float = 2.0
    streak_hu: float = 12.0
    motion_mm: float = 0.0
    gain: float = 1.0
    offset_hu: float = 0.0
    has_head_rest: bool = True
    is_descending: bool = False
    kernel: Kernel | None = None
    hardening: float = 0.0
    metal: float = 0.0
    glow_hu: float = 0.0
    double_mm: float = 0.0
    noise_overlap: float = 0.0

    @property
    def geometry(self) -> VolumeGeometry:
        """The acquired grid in patient coordinates, table feed along z."""
        pixel = self.field_of_view_mm / self.matrix
        tilt = np.radians(self.tilt_deg)
        column_step = np.array([pixel, 0.0, 0.0])
        row_step = np.array([0.0, np.cos(tilt), -np.sin(tilt)]) * pixel
        heights = np.r_[0.0, np.cumsum(self.steps_mm)]
        heights = heights - heights.mean()
        heights = heights[::-1] if self.is_descending else heights
        first = -(self.matrix - 1) / 2 * (column_step + row_step)
        origins = first + heights[:, None] * np.array([0.0, 0.0, 1.0])
        return VolumeGeometry((len(heights), self.matrix, self.matrix), column_step, row_step, origins)


@dataclass(frozen=True, eq=False)
class Scan:
    """An acquired head.

    Attributes:
        hu: float32 (slices, rows, columns), whole numbers.
        geometry: In patient coordinates.
        fractions: float32 (slices, rows, columns) for each lesion, how much of a voxel is blood.
        cavity: bool (slices, rows, columns), the inside of the skull.
    """

    hu: Field
    geometry: VolumeGeometry
    fractions: tuple[Field, ...]
    cavity: NDArray[np.bool_]


def scan(
    head: Head, fractions: Sequence[Field], fraction_grid: VolumeGeometry, protocol: Protocol, random: Random
) -> Scan:
    """Acquire a head.

    Args:
        head: With everything painted.
        fractions: float32 (Z, Y, X) for each lesion.
        fraction_grid: 1 mm grid of the fractions, in the coordinates of the head.
        protocol: How.
        random: For noise and motion.
    """
    geometry = protocol.geometry
    seen = _head_frame(geometry, protocol, random)
    hu = sample(head.hu, head.grid, seen, outside=AIR_HU)
    scanned = tuple(sample(one, fraction_grid, seen) for one in fractions)
    cavity = sample(head.cavity.astype(np.float32), head.grid, seen) >= 0.5
    pixel = geometry.pixel_spacing_mm[0]
    if protocol.has_head_rest:
        _paint_head_rest(hu, geometry)
    _harden(hu, cavity, protocol, pixel)
    if protocol.hardening or protocol.metal:
        hu += projection_errors(hu, pixel, random, hardening=protocol.hardening, metal=protocol.metal)
    if protocol.glow_hu:
        hu += np.float32(protocol.glow_hu) * glow(hu, cavity, pixel, _vertex_share(head, seen, cavity))
    if protocol.double_mm:
        _double(hu, protocol.double_mm / pixel, random)
    hu = _reconstruct(hu, protocol, pixel, random)
    hu = hu * np.float32(protocol.gain) + np.float32(protocol.offset_hu)
    return Scan(np.clip(np.rint(hu), LOWEST_HU, HIGHEST_HU).astype(np.float32), geometry, scanned, cavity)


def glow(hu: Field, cavity: NDArray[np.bool_], pixel_mm: float, vertex: Field) -> Field:
    """Share (slices, rows, columns) of the brightness of brain under bone: all of the vertex, rims elsewhere.

    Args:
        hu: float32 (slices, rows, columns).
        cavity: bool (slices, rows, columns), the inside of the skull.
        pixel_mm: Of rows and columns.
        vertex: float32 (slices,), 0 where a slice is wide or low, 1 near the vertex.
    """
    result = np.zeros_like(hu)
    for k in np.flatnonzero(cavity.any(axis=(1, 2))):
        bone = np.clip(hu[k, ::4, ::4] / 1000, 0, 1.5).astype(np.float32)
        around = ndimage.gaussian_filter(bone, GLOW_MM / (4 * pixel_mm), truncate=2.5)
        wide = np.kron(around, np.ones((4, 4), dtype=np.float32))[: hu.shape[1], : hu.shape[2]]
        near = np.clip(ndimage.uniform_filter(wide, 5) / GLOW_BONE, 0, 1.6) ** 2
        result[k] = cavity[k] * (vertex[k] * (0.7 + 0.5 * near) + 0.25 * near)
    return result


def _vertex_share(head: Head, geometry: VolumeGeometry, cavity: NDArray[np.bool_]) -> Field:
    """How near each slice is to the vertex, from how much narrower than the widest one the brain is in it."""
    areas = head.cavity.sum(axis=(1, 2))
    widest = int(areas.argmax())
    rows, columns = geometry.shape[1:]
    middles = geometry.slice_origins + (geometry.row_step * rows + geometry.column_step * columns) / 2
    is_upper = middles[:, 2] > head.grid.slice_origins[widest][2]
    pixel_mm2 = float(np.prod(geometry.pixel_spacing_mm))
    width = np.sqrt(cavity.sum(axis=(1, 2)) * pixel_mm2 / areas[widest])
    return np.asarray(is_upper * np.clip((VERTEX_WIDTH[1] - width) / np.diff(VERTEX_WIDTH), 0, 1), dtype=np.float32)


def sample(
    field: Field,
    grid: VolumeGeometry,
    geometry: VolumeGeometry,
    *,
    outside: float = 0.0,
    subsample_mm: float = SUBSAMPLE_MM,
) -> Field:
    """Mean of a field over the thickness of every slice, linear in the plane.

    Args:
        field: float32 (Z, Y, X).
        grid: Regular grid of the field.
        geometry: Where to sample.
        outside: Value beyond the grid.
        subsample_mm: Distance of the planes that are averaged.
    """
    result = np.full(geometry.shape, outside, dtype=np.float32)
    box = _box(field, outside)
    if box is None:
        return result
    part = np.ascontiguousarray(field[box])
    to_index = np.linalg.inv(grid.affine)
    steps = [(to_index[:3, :3] @ step)[::-1] for step in (geometry.normal, geometry.row_step, geometry.column_step)]
    start = np.array([one.start for one in box], dtype=float)
    corners = np.array([(0, 0), (0, 1), (1, 0), (1, 1)]) * (np.array(geometry.shape[1:]) - 1)
    for k, thickness in enumerate(geometry.slice_extents_mm):
        planes = int(np.clip(np.ceil(thickness / subsample_mm), 1, 8))
        between = thickness / planes
        origin = (to_index[:3, :3] @ geometry.slice_origins[k] + to_index[:3, 3])[::-1] - start
        origin = origin - steps[0] * between * (planes - 1) / 2
        reached = origin[0] + corners @ np.array([steps[1][0], steps[2][0]])
        if reached.max() + abs(steps[0][0]) * thickness < -1 or reached.min() - abs(steps[0][0]) * thickness > len(
            part
        ):
            continue
        matrix = np.column_stack((steps[0] * between, steps[1], steps[2]))
        sampled = ndimage.affine_transform(
            part, matrix, origin, (planes, *geometry.shape[1:]), order=1, cval=outside, prefilter=False
        )
        result[k] = sampled.mean(axis=0)
    return result


def _box(field: Field, outside: float) -> tuple[slice, slice, slice] | None:
    """The part of a field that differs from its surroundings, and one voxel around."""
    differs = field != np.float32(outside)
    bounds = []
    for axis in range(3):
        hits = np.flatnonzero(differs.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(hits):
            return None
        bounds.append(slice(max(int(hits[0]) - 1, 0), int(hits[-1]) + 2))
    return bounds[0], bounds[1], bounds[2]


def _head_frame(geometry: VolumeGeometry, protocol: Protocol, random: Random) -> VolumeGeometry:
    """The acquired grid in coordinates of the head, whose slices may have moved, each in its own plane."""
    turn = _rotation(protocol.pose_deg)
    shift = random.normal(0, 1, (geometry.shape[0], 3)) * protocol.motion_mm * np.array([1.0, 1.0, 0.0])
    shift -= (shift @ geometry.normal)[:, None] * geometry.normal  # else thin tilted slices would change places
    origins: Points = (geometry.slice_origins + shift) @ turn.T + np.asarray(protocol.center_mm)
    return VolumeGeometry(geometry.shape, turn @ geometry.column_step, turn @ geometry.row_step, origins)


def _rotation(degrees: Sequence[float]) -> Points:
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        a, b = [n for n in range(3) if n != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def _paint_head_rest(hu: Field, geometry: VolumeGeometry) -> None:
    """A thin U of plastic around the back of the head, the same in all slices."""
    _, rows, columns = geometry.shape
    row_mm, column_mm = geometry.pixel_spacing_mm
    y = (np.arange(rows)[:, None] - (rows - 1) / 2) * row_mm
    x = (np.arange(columns)[None, :] - (columns - 1) / 2) * column_mm
    bottom = np.abs(np.hypot(x / 1.12, np.maximum(y + 8, 0)) - REST_RADIUS_MM) - REST_MM
    sides = np.abs(np.abs(x) - REST_RADIUS_MM * 1.12) - REST_MM + 99 * ((y > -8) | (y < -40))
    share = np.clip(0.5 - np.minimum(bottom + 99 * (y < -8), sides), 0, 1).astype(np.float32)
    rest = np.where(hu < -500, hu + share * (REST_HU - hu), hu)
    hu[:] = rest


def _harden(hu: Field, cavity: NDArray[np.bool_], protocol: Protocol, pixel: float) -> None:
    """Cupping, brighter brain under the skull, dark streaks between thick bones; in place."""
    for k, image in enumerate(hu):
        bone = np.clip((image - DENSE_BONE_HU) / 900, 0, 1.2)
        if not cavity[k].any():
            continue
        bright = ndimage.gaussian_filter(bone, 5.0 / pixel, truncate=2.5)
        middle = ndimage.gaussian_filter(cavity[k][::4, ::4].astype(np.float32), 22 / (4 * pixel), truncate=2)
        middle = np.kron(middle, np.ones((4, 4), dtype=np.float32))[: image.shape[0], : image.shape[1]]
        left = np.cumsum(bone, axis=1) * pixel
        right = left[:, -1:] - left
        path = np.sqrt(np.clip(left - PETROUS_PATH_MM, 0, 40) * np.clip(right - PETROUS_PATH_MM, 0, 40))
        streak = ndimage.gaussian_filter1d(path, 1.5 / pixel, axis=0) / 30
        image += cavity[k] * (
            np.float32(protocol.cupping_hu) * (2.2 * bright - middle)
            - np.float32(protocol.streak_hu) * np.minimum(streak, 1.5)
        )


def _reconstruct(hu: Field, protocol: Protocol, pixel: float, random: Random) -> Field:
    """Kernel and correlated noise, stronger where rays cross more bone."""
    result = np.empty_like(hu)
    if protocol.kernel is not None:
        grain, overlap = np.zeros(hu.shape[1:], dtype=np.float32), np.float32(protocol.noise_overlap)
        for k, image in enumerate(hu):
            own = protocol.kernel.noise((hu.shape[1], hu.shape[2]), pixel, random)
            grain = overlap * grain + np.sqrt(1 - overlap**2) * own if k else own
            noise = np.float32(protocol.noise_hu) * grain * _noise_level(image)
            result[k] = protocol.kernel.reconstruct(image, pixel) + noise
        return result
    blur, fine = protocol.blur_mm / pixel, max(0.35, 0.5 * protocol.blur_mm / pixel)
    for k, slice_hu in enumerate(hu):
        image = ndimage.gaussian_filter(slice_hu, blur, truncate=3) if blur > 0.3 else slice_hu
        if protocol.sharpening:
            soft = np.clip(image, *SHARPENED_HU)  # else the skull would draw a black rim into the brain
            smooth = ndimage.gaussian_filter(soft, 1.6 * blur + 0.4, truncate=3)
            image = image + np.float32(protocol.sharpening) * (soft - smooth)
        noise = ndimage.gaussian_filter(random.standard_normal(slice_hu.shape, dtype=np.float32), fine, truncate=3)
        coarse = ndimage.gaussian_filter(noise, 3.0, truncate=2)
        noise -= (0.5 + 0.4 * protocol.sharpening) * coarse
        noise *= np.float32(protocol.noise_hu / max(float(noise.std()), 1e-6))
        result[k] = image + noise * _noise_level(slice_hu)
    return result


def _double(hu: Field, shift: float, random: Random) -> None:
    """A second, weaker contour in runs of slices, as a head that moves during a rotation leaves; in place."""
    k = int(random.integers(0, 4))
    while k < len(hu):
        run, angle = int(random.integers(1, 4)), random.uniform(0, 2 * np.pi)
        arrow = (shift * np.sin(angle), shift * np.cos(angle))
        for image in hu[k : k + run]:
            moved = ndimage.shift(image, arrow, order=1, mode="nearest")
            image += np.float32(random.uniform(0.25, 0.5)) * (moved - image)
        k += run + int(random.integers(3, 8))


def _noise_level(image: Field) -> Field:
    """Relative SD: about 1 inside a head, more between thick bones, less in air."""
    load = np.clip((image[::8, ::8] + 1000) / 1000, 0, 3).astype(np.float32)
    smooth = ndimage.gaussian_filter(load, 3.0)
    level = np.kron(np.clip(smooth, 0.35, 2.0), np.ones((8, 8), dtype=np.float32))
    return np.asarray(level[: image.shape[0], : image.shape[1]], dtype=np.float32)
