"""Hemorrhages of the five subtypes: how large, how dense, of which shape, and what they do to their surroundings.

Volumes and densities follow 1 873 lesions measured in the data sets BHSD (192 scans) and PhysioNet CT-ICH (36 scans),
published as tables by the authors of the InSilicoICH framework (doi 10.5281/zenodo.15691337, CC0); densities of fresh
blood also Nowinski et al. 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ICHSegmenterLib.labels import SUBTYPE_LABELS
from ICHSegmenterLib.synthesis.anatomy.head import Head
from ICHSegmenterLib.synthesis.fields import Field, Random, cover, smooth_noise
from ICHSegmenterLib.synthesis.pathology.broad_subdural import broad_subdural
from ICHSegmenterLib.synthesis.pathology.lesion_shapes import SCORES, Site
from ICHSegmenterLib.synthesis.pathology.mass_effect import Displacement, displacement_of
from ICHSegmenterLib.volume.geometry import VolumeGeometry

SUBTYPES = SUBTYPE_LABELS[:-1]
"""("EDH", "IPH", "IVH", "SAH", "SDH"); value n of a labelmap is SUBTYPES[n - 1]."""

VOLUME_ML: dict[str, tuple[float, float, float]] = {
    "EDH": (3.9, 1.79, 120.0),
    "IPH": (1.2, 2.13, 100.0),
    "IVH": (0.54, 1.68, 40.0),
    "SAH": (0.18, 1.48, 30.0),
    "SDH": (0.54, 2.20, 150.0),
}
"""Log-normal volume of one connected lesion: median mL, sigma of the logarithm from percentiles 5 and 95, maximum."""
SMALLEST_ML = 0.05

DENSITY_HU: dict[str, tuple[float, float]] = {
    "EDH": (63.0, 6.0),
    "IPH": (58.0, 6.5),
    "IVH": (58.0, 7.0),
    "SAH": (59.0, 7.0),
    "SDH": (56.0, 8.0),
}
"""Mean and SD between lesions of undiluted blood: the measured means, and what partial volume takes from them."""
DENSITY_RANGE_HU = (40.0, 78.0)
LEAST_HU = 36.0
"""Density of the oldest part of a mixed lesion: that of brain."""
MASS_EFFECT = {"EDH": 1.0, "IPH": 0.8, "SDH": 1.0}
"""Share of a lesion's volume that moves the brain; blood in fluid spaces replaces fluid."""
EDEMA_DECAY_PER_MM = 0.125
ORDER = ("EDH", "SDH", "IPH", "IVH", "SAH")
"""Lesions that push come before those that fill spaces."""


@dataclass(frozen=True)
class LesionPlan:
    """A lesion to be made.

    Attributes:
        subtype: One of `SUBTYPES`.
        volume_ml: Wanted volume; a space that is too small gets less.
        hu: Density of undiluted blood.
        edema_hu: By how much the surroundings of a parenchymal bleed are darkened.
        mixing: 0 to 1, share of older or unclotted, less dense blood.
        is_broad: A subdural bleed along a whole convexity.
    """

    subtype: str
    volume_ml: float
    hu: float = 60.0
    edema_hu: float = 10.0
    mixing: float = 0.0
    is_broad: bool = False

    def __post_init__(self) -> None:
        if self.subtype not in SUBTYPES:
            raise ValueError(f"subtype must be one of {', '.join(SUBTYPES)}, got {self.subtype!r}")
        if not self.volume_ml > 0:
            raise ValueError(f"volume_ml must be positive, got {self.volume_ml}")
        if self.is_broad and self.subtype != "SDH":
            raise ValueError(f"only a subdural bleed (SDH) can be broad, not {self.subtype}")

    @classmethod
    def draw(cls, random: Random, subtype: str, *, volume_ml: float | None = None) -> LesionPlan:
        """A random lesion of this subtype."""
        median, sigma, largest = VOLUME_ML[subtype]
        drawn = float(np.clip(median * np.exp(sigma * random.standard_normal()), SMALLEST_ML, largest))
        hu = float(np.clip(random.normal(*DENSITY_HU[subtype]), *DENSITY_RANGE_HU))
        mixing = float(random.uniform(0.2, 0.8)) if subtype != "SAH" and random.random() < 0.25 else 0.0
        return cls(subtype, volume_ml or drawn, hu, float(random.uniform(0, 16)), mixing)


@dataclass(frozen=True, eq=False)
class Bleeding:
    """All lesions of one exam on the part of the head's grid that holds the cavity.

    Attributes:
        grid: Grid of all fields, 1 mm.
        plans: In the order of `fractions`.
        fractions: float32 (Z, Y, X) each, how much of a voxel is blood of this lesion; together at most 1.
        densities: float32 (Z, Y, X) each, HU of the blood.
        edema_hu: float32 (Z, Y, X), what is taken from the density of the brain around.
        displacement: Where tissue was pushed.
    """

    grid: VolumeGeometry
    plans: tuple[LesionPlan, ...]
    fractions: tuple[Field, ...]
    densities: tuple[Field, ...]
    edema_hu: Field
    displacement: Displacement

    @property
    def total(self) -> Field:
        """Share of each voxel that is blood."""
        return np.minimum(sum(self.fractions, np.zeros_like(self.edema_hu)), 1)


def bleed_into(whole: Head, plans: Sequence[LesionPlan], random: Random) -> tuple[Head, Bleeding]:
    """Place lesions in a head.

    Returns:
        The head with tissue displaced, edema and blood painted; and the lesions.
    """
    box = whole.cavity_box
    head = whole.crop(box)
    ordered = sorted(plans, key=lambda plan: ORDER.index(plan.subtype))
    pushing = [plan for plan in ordered if plan.subtype in MASS_EFFECT]
    placed: list[tuple[LesionPlan, Field, Field]] = []
    occupied = np.zeros(head.hu.shape, dtype=np.float32)
    edema = np.zeros_like(occupied)
    for plan in pushing:
        fraction, score = _place(head, plan, occupied, random)
        placed.append((plan, fraction, _density(plan, fraction, random)))
        occupied = np.minimum(occupied + fraction, 1)
        if plan.subtype == "IPH":
            edema = np.maximum(edema, _edema(plan, score, head))
    sources = [
        fraction * np.float32(MASS_EFFECT[plan.subtype] * random.uniform(0.5, 1.5)) for plan, fraction, _ in placed
    ]
    displacement = displacement_of(sources, head.grid, head.depth_mm)
    head = displacement.apply(head) if sources else head
    for plan in ordered[len(pushing) :]:
        fraction, _ = _place(head, plan, occupied, random)
        placed.append((plan, fraction, _density(plan, fraction, random)))
        occupied = np.minimum(occupied + fraction, 1)
    edema *= (1 - occupied) * (1 - np.minimum(head.csf + head.ventricles, 1))
    bleeding = Bleeding(
        head.grid,
        tuple(plan for plan, _, _ in placed),
        tuple(fraction for _, fraction, _ in placed),
        tuple(density for _, _, density in placed),
        edema,
        displacement,
    )
    hu = whole.hu.copy()
    hu[box] = _painted(head, bleeding)
    csf, ventricles = whole.csf.copy(), whole.ventricles.copy()
    csf[box], ventricles[box] = head.csf, head.ventricles
    return replace(whole, hu=hu, csf=csf, ventricles=ventricles), bleeding


def _painted(head: Head, bleeding: Bleeding) -> Field:
    hu = head.hu - bleeding.edema_hu
    for fraction, density in zip(bleeding.fractions, bleeding.densities, strict=True):
        hu += fraction * (density - hu)
    return hu


def _place(head: Head, plan: LesionPlan, occupied: Field, random: Random) -> tuple[Field, Field]:
    """Fraction of blood and signed distance (mm, negative inside) of one lesion: the lowest scores fill first."""
    volume_mm3 = plan.volume_ml * 1000
    shape = broad_subdural if plan.is_broad else SCORES[plan.subtype]
    score, capacity = shape(Site(head, occupied), volume_mm3, random)
    room = capacity * (1 - occupied)
    at = np.nonzero(room > 0.05)
    fraction, distance = np.zeros_like(occupied), np.full_like(occupied, 99)
    if not len(at[0]):
        return fraction, distance
    order = np.argsort(score[at])
    filled = np.cumsum(room[at][order], dtype=np.float64)
    last = min(int(np.searchsorted(filled, volume_mm3)), len(order) - 1)
    distance[at] = score[at] - score[at][order[last]]
    fraction[at] = cover(distance[at], 1.0) * room[at]
    return fraction, distance


def _density(plan: LesionPlan, fraction: Field, random: Random) -> Field:
    """HU of the blood: clots and serum; mixed lesions also settle, denser towards posterior."""
    density = np.full_like(fraction, plan.hu)
    texture = smooth_noise(random, fraction.shape, 4.0)
    density += np.float32(2.0) * texture
    if plan.mixing:
        y = np.nonzero((fraction > 0.5).any(axis=(0, 2)))[0]
        level = np.quantile(y, random.uniform(0.2, 0.7)) if len(y) else 0.0
        rows = np.arange(fraction.shape[1], dtype=np.float32)[None, :, None]
        older = np.clip((level - rows) / 3 + 0.5, 0, 1) if random.random() < 0.5 else np.clip(texture + 0.3, 0, 1)
        density -= (older * plan.mixing * random.uniform(6, 16)).astype(np.float32)
    return np.maximum(density, LEAST_HU)


def _edema(plan: LesionPlan, distance: Field, head: Head) -> Field:
    """Falls off exponentially around the lesion; only in brain."""
    near = np.minimum(np.maximum(distance, 0), 40)
    rim = plan.edema_hu * np.exp(-EDEMA_DECAY_PER_MM * near) * (near < 25)
    return np.asarray(rim * (head.depth_mm > 3), dtype=np.float32)
