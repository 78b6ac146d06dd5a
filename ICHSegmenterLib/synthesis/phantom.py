"""An analytic head CT with known answers, evaluated at the true patient position of every voxel.

All sizes are millimeters in a head frame that equals LPS: x to the left, y to posterior, z to superior, origin
in the middle of the cranial cavity. Densities follow Nowinski et al. 2014 (blood) and textbook values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ICHSegmenterLib.volume.geometry import Points, VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume, VolumeSource

AIR_HU, SKIN_HU, FAT_HU, MUSCLE_HU = -1000.0, 40.0, -95.0, 55.0
TABLE_BONE_HU, DIPLOE_HU, BASE_BONE_HU = 1200.0, 500.0, 900.0
CSF_HU, GRAY_HU, WHITE_HU, DURA_HU, SINUS_HU = 9.0, 38.0, 29.0, 50.0, 56.0
CALCIFICATION_HU, COUCH_HU, VITREOUS_HU = 260.0, 120.0, 12.0

CAVITY_RADII = (66.0, 84.0, 76.0)
SKULL_MM, SCALP_MM, RIM_MM, CORTEX_MM = 6.5, 6.0, 3.0, 4.0
FLOORS = ((-200.0, -18.0), (-28.0, -34.0), (16.0, -50.0))
"""(y from which it holds, z): floors of the anterior, middle and posterior cranial fossa."""
FLOOR_CURVATURE, FLOOR_MM = 1 / 250, 5.0
FORAMEN_CENTER_Y, FORAMEN_RADIUS = 34.0, 15.0
VENTRICLES = (((-13.0, 4.0, 12.0), (7.0, 32.0, 10.0)), ((13.0, 4.0, 12.0), (7.0, 32.0, 10.0)))
CALCIFICATIONS = (((0.0, 30.0, 8.0), 3.0), ((-18.0, 34.0, 10.0), 4.0), ((18.0, 34.0, 10.0), 4.0))
"""Pineal gland and choroid plexus: (center, radius)."""
ORBIT_CENTER, ORBIT_RADIUS, GLOBE_RADIUS = (31.0, -66.0, -42.0), 19.0, 12.0

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]
Coordinates = tuple[Field, Field, Field]


@dataclass(frozen=True)
class Bleed:
    """A hemorrhage of known shape.

    Attributes:
        subtype: "IPH": an ellipsoid anywhere; "EDH": a lens, the part of a ball that lies inside the skull;
            "SDH": a crescent between the skull and the same skull moved towards the middle.
        center: (x, y, z) mm of the ellipsoid or ball, LPS; for a crescent its direction from the head's center.
        radii: (x, y, z) semi-axes in mm; for a crescent the first one is its greatest thickness.
        hu: Density.
    """

    subtype: Literal["IPH", "EDH", "SDH"] = "IPH"
    center: tuple[float, float, float] = (28.0, 5.0, 30.0)
    radii: tuple[float, float, float] = (16.84, 16.84, 16.84)
    hu: float = 60.0

    @classmethod
    def sphere(cls, volume_ml: float, center: tuple[float, float, float], hu: float = 60.0) -> Bleed:
        """A ball of this volume inside the brain."""
        radius = (volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
        return cls("IPH", center, (radius, radius, radius), hu)

    def contains(self, points: Coordinates, cavity: Mask) -> Mask:
        """The points in blood, among points that lie inside the skull where `cavity` is True."""
        if self.subtype == "SDH":
            direction = np.asarray(self.center) / np.linalg.norm(self.center)
            moved = tuple((p + self.radii[0] * d).astype(np.float32) for p, d in zip(points, direction, strict=True))
            return np.asarray(cavity & (_level(moved, (0, 0, 0), CAVITY_RADII) > 1))
        return np.asarray(cavity & (_level(points, self.center, self.radii) <= 1))


@dataclass(frozen=True)
class HeadModel:
    """The contents of the phantom besides a normal head.

    Attributes:
        bleeds: Known hemorrhages.
        defect_radius_mm: Radius of a missing piece of skull (craniectomy) at the patient's left; 0 for an intact skull.
        has_calcifications: Pineal gland and choroid plexus.
        has_couch: The table behind the head.
        noise_hu: Standard deviation of white noise.
        midline_shift_mm: How far ventricles, pineal gland and choroid plexus are pushed to the patient's left.
    """

    bleeds: tuple[Bleed, ...] = ()
    defect_radius_mm: float = 0.0
    has_calcifications: bool = True
    has_couch: bool = True
    noise_hu: float = 4.0
    midline_shift_mm: float = 0.0


@dataclass(frozen=True, eq=False)
class Phantom:
    """A head CT and its answers.

    Attributes:
        volume: The scan.
        brain_mask: bool (slices, rows, columns), voxels at least half inside the cranial cavity.
        labelmap: uint8 (slices, rows, columns), 1 + the bleed's index where it fills at least half of a voxel.
        blood_fraction: float32 (slices, rows, columns), how much of each voxel is blood.
        model: What was asked for.
    """

    volume: Volume
    brain_mask: Mask
    labelmap: NDArray[np.uint8]
    blood_fraction: NDArray[np.float32]
    model: HeadModel

    @cached_property
    def blood_ml(self) -> float:
        """Blood in the scanned part of the head."""
        in_slices = self.blood_fraction.sum(axis=(1, 2), dtype=np.float64)
        return float(in_slices @ self.volume.geometry.voxel_volumes_mm3) / 1000

    @cached_property
    def blood_center_lps(self) -> Points:
        """(3,) mm, center of mass of all blood."""
        index = np.argwhere(self.blood_fraction > 0)
        weight = self.blood_fraction[tuple(index.T)] * self.volume.geometry.voxel_volumes_mm3[index[:, 0]]
        points = self.volume.geometry.ijk_to_lps(index[:, ::-1])
        return np.asarray(np.average(points, axis=0, weights=weight))


@dataclass(frozen=True)
class StorageOrder:
    """The order in which slices, rows and columns are stored.

    Attributes:
        is_descending: Slices from superior to inferior.
        flips_rows: Rows from posterior to anterior.
        flips_columns: Columns from the patient's left to the right.
    """

    is_descending: bool = False
    flips_rows: bool = False
    flips_columns: bool = False


def head_geometry(
    shape: tuple[int, int, int] = (28, 256, 256),
    *,
    pixel_mm: tuple[float, float] = (0.9, 0.9),
    slice_step_mm: float | Sequence[float] = 5.0,
    tilt_deg: float = 0.0,
    turn_deg: float = 0.0,
    center: tuple[float, float, float] = (0.0, 0.0, 8.0),
    order: StorageOrder | None = None,
) -> VolumeGeometry:
    """An axial grid over the head.

    Args:
        shape: (slices, rows, columns).
        pixel_mm: (between rows, between columns).
        slice_step_mm: Table feed, one for all or one for each gap; along z, also when the gantry is tilted.
        tilt_deg: Gantry tilt about the x axis: slices shear against the table feed.
        turn_deg: Head turned about the z axis.
        center: Patient position of the middle of the grid, LPS mm.
        order: Order of storage; slices upwards, rows to posterior and columns to the patient's left if None.
    """
    order = order or StorageOrder()
    slices, rows, columns = shape
    tilt, turn = np.radians(tilt_deg), np.radians(turn_deg)
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    column_step = about_z @ np.array([1.0, 0.0, 0.0]) * pixel_mm[1] * (-1 if order.flips_columns else 1)
    row_step = about_z @ np.array([0.0, np.cos(tilt), -np.sin(tilt)]) * pixel_mm[0] * (-1 if order.flips_rows else 1)
    feeds = np.broadcast_to(np.asarray(slice_step_mm, dtype=float), (slices - 1,))
    heights = np.concatenate(([0.0], np.cumsum(feeds)))
    heights = (heights - heights.mean())[:: -1 if order.is_descending else 1]
    first = np.asarray(center) - (columns - 1) / 2 * column_step - (rows - 1) / 2 * row_step
    return VolumeGeometry(shape, column_step, row_step, first + heights[:, None] * np.array([0.0, 0.0, 1.0]))


def make_phantom(
    geometry: VolumeGeometry,
    model: HeadModel | None = None,
    *,
    seed: int = 0,
    subsamples: tuple[int, int, int] = (3, 2, 2),
) -> Phantom:
    """Scan the head model on a grid.

    Args:
        geometry: Any grid; every voxel is evaluated at its exact patient position.
        model: The head; a normal one if None.
        seed: For the noise.
        subsamples: Points a voxel along (slice, row, column), whose mean gives partial volume.
    """
    model = model or HeadModel()
    random = np.random.default_rng(seed)
    hu = np.empty(geometry.shape, dtype=np.float32)
    brain = np.empty(geometry.shape, dtype=bool)
    labelmap = np.zeros(geometry.shape, dtype=np.uint8)
    blood_fraction = np.zeros(geometry.shape, dtype=np.float32)
    samples = list(_subsample_offsets(subsamples))
    for k in range(geometry.shape[0]):
        density = np.zeros(geometry.shape[1:], dtype=np.float32)
        inside = np.zeros_like(density)
        blood = np.zeros((len(model.bleeds), *density.shape), dtype=np.float32)
        for offset in samples:
            points = _slice_points(geometry, k, offset)
            painted, cavity = _paint(points, model)
            for bleed, share in zip(model.bleeds, blood, strict=True):
                filled = bleed.contains(points, cavity)
                painted[filled] = bleed.hu
                share += filled
            density += painted
            inside += cavity
        noise = random.normal(0, model.noise_hu, density.shape) if model.noise_hu else 0.0
        hu[k] = np.maximum(density / len(samples) + noise, -1024)
        brain[k] = inside >= len(samples) / 2
        for value, share in enumerate(blood, start=1):
            labelmap[k][share >= len(samples) / 2] = value
        blood_fraction[k] = np.minimum(blood.sum(axis=0) / len(samples), 1)
    volume = Volume(hu, geometry, VolumeSource("phantom"))
    return Phantom(volume, brain, labelmap, blood_fraction, model)


def _subsample_offsets(subsamples: tuple[int, int, int]) -> Points:
    """(n, 3) offsets from the voxel center along (slice, row, column), in voxels."""
    along = [(np.arange(n) + 0.5) / n - 0.5 for n in subsamples]
    return np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, 3)


def _slice_points(geometry: VolumeGeometry, k: int, offset: Points) -> Coordinates:
    """X, y and z (rows, columns) of one slice, moved by an offset within the voxel."""
    _, rows, columns = geometry.shape
    start = geometry.slice_origins[k] + offset[0] * geometry.slice_extents_mm[k] * geometry.normal
    along_rows = start + (np.arange(rows) + offset[1])[:, None] * geometry.row_step
    along_columns = (np.arange(columns) + offset[2])[:, None] * geometry.column_step
    x, y, z = ((along_rows[:, None, a] + along_columns[None, :, a]).astype(np.float32) for a in range(3))
    return x, y, z


def _level(points: Sequence[Field], center: ArrayLike, radii: ArrayLike) -> Field:
    """1 on the surface of an ellipsoid, less inside."""
    scaled = ((p - float(c)) / float(r) for p, c, r in zip(points, np.asarray(center), np.asarray(radii), strict=True))
    return np.asarray(sum(s * s for s in scaled), dtype=np.float32)


def _grown(level: Callable[[float], Field], millimeters: float) -> Mask:
    """Inside a surface moved outwards by millimeters."""
    return np.asarray(level(millimeters) <= 1)


def _floor(x: Field, y: Field, wall_mm: float = 0.0) -> Field:
    """Height of the skull base; with wall_mm > 0 of its lower surface, walls between the fossae included."""
    height = np.full_like(y, FLOORS[0][1])
    for start, z in FLOORS[1:]:
        height[y > start - wall_mm] = z
    return np.asarray(height + x**2 * np.float32(FLOOR_CURVATURE) - np.float32(wall_mm))


def _paint(points: Coordinates, model: HeadModel) -> tuple[Field, Mask]:
    """Densities without bleeds, and what lies inside the skull."""
    x, y, z = points

    def level(millimeters: float) -> Field:
        return _level(points, (0, 0, 0), np.asarray(CAVITY_RADII) + millimeters)

    hu = np.full_like(x, AIR_HU)
    _paint_soft_tissue(hu, points, level)
    skull_outer = _grown(level, SKULL_MM)
    cavity = _grown(level, 0) & (z > _floor(x, y))
    skull = skull_outer & ~cavity & (z > _floor(x, y, FLOOR_MM))
    in_foramen = (x**2 + (y - FORAMEN_CENTER_Y) ** 2 < FORAMEN_RADIUS**2) & (z < FLOORS[2][1] + 1)
    vertebra = (x**2 + (y - FORAMEN_CENTER_Y) ** 2 < (FORAMEN_RADIUS + 9) ** 2) & (z < FLOORS[2][1] - 12)
    hu[vertebra] = BASE_BONE_HU
    hu[skull] = BASE_BONE_HU
    vault = skull & (z > _floor(x, y))
    hu[vault] = TABLE_BONE_HU
    hu[vault & _grown(level, SKULL_MM - 2) & ~_grown(level, 2)] = DIPLOE_HU
    hu[in_foramen & ~cavity] = WHITE_HU
    if model.defect_radius_mm:
        edge = (CAVITY_RADII[0], 0.0, 25.0)
        hu[skull & (_level(points, edge, (model.defect_radius_mm,) * 3) < 1)] = SKIN_HU
    _paint_brain(hu, points, cavity, level, model)
    if model.has_couch:
        hu[(np.abs(y - 112 + x**2 / 300) < 2.5) & (np.abs(x) < 120)] = COUCH_HU
    return hu, cavity


def _paint_soft_tissue(hu: Field, points: Coordinates, level: Callable[[float], Field]) -> None:
    """Scalp, face and neck with orbits and an airway."""
    x, y, z = points
    for inset, density in ((0.0, SKIN_HU), (2.0, FAT_HU)):
        hu[_grown(level, SKULL_MM + SCALP_MM - inset)] = density
    below = z < -20
    for inset, density in ((0.0, SKIN_HU), (2.0, FAT_HU), (7.0, MUSCLE_HU)):
        radii = (66.0 - inset, 86.0 - inset)
        hu[below & ((x / radii[0]) ** 2 + ((y + 4) / radii[1]) ** 2 <= 1)] = density
    hu[_level(points, (0, -62, -52), (14, 22, 24)) <= 1] = AIR_HU
    for side in (-1, 1):
        center = (side * ORBIT_CENTER[0], *ORBIT_CENTER[1:])
        orbit = _level(points, center, (ORBIT_RADIUS,) * 3)
        hu[(_level(points, center, (ORBIT_RADIUS + 3,) * 3) <= 1) & (y > ORBIT_CENTER[1] - 4)] = BASE_BONE_HU
        hu[orbit <= 1] = FAT_HU
        globe = (center[0], center[1] - 6, center[2])
        hu[_level(points, globe, (GLOBE_RADIUS,) * 3) <= 1] = VITREOUS_HU


def _paint_brain(
    hu: Field, points: Coordinates, cavity: Mask, level: Callable[[float], Field], model: HeadModel
) -> None:
    """Cerebrospinal fluid, cortex, white matter, ventricles, falx, sinus and calcifications."""
    x, y, z = points
    floor = _floor(x, y, 0.0)
    hu[cavity] = CSF_HU
    for inset, density in ((RIM_MM, GRAY_HU), (RIM_MM + CORTEX_MM, WHITE_HU)):
        hu[cavity & _grown(level, -inset) & (z > floor + inset)] = density
    falx = cavity & (np.abs(x) < 0.9) & (z > 15) & ~_grown(level, -25)
    hu[falx] = DURA_HU
    hu[cavity & (np.abs(x) < 4) & (z > 0) & (y > -40) & ~_grown(level, -5)] = SINUS_HU
    pushed = (x - np.float32(model.midline_shift_mm), y, z)
    for center, radii in VENTRICLES:
        hu[cavity & (_level(pushed, center, radii) <= 1)] = CSF_HU
    if model.has_calcifications:
        for center, radius in CALCIFICATIONS:
            hu[cavity & (_level(pushed, center, (radius,) * 3) <= 1)] = CALCIFICATION_HU
