"""A synthetic exam: a head, its lesions and its acquisition, all from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.synthesis.acquisition.scanner import Protocol, scan
from ICHSegmenterLib.synthesis.anatomy.head import make_head
from ICHSegmenterLib.synthesis.anatomy.head_shape import HeadParameters
from ICHSegmenterLib.synthesis.clinical import head_of, person_of, plans_of, protocol_of
from ICHSegmenterLib.synthesis.fields import Field, Random
from ICHSegmenterLib.synthesis.parts import Part, draw_parts
from ICHSegmenterLib.synthesis.pathology.lesions import SMALLEST_ML, SUBTYPES, VOLUME_ML, LesionPlan, bleed_into
from ICHSegmenterLib.synthesis.styles import Style, draw_parameters, draw_protocol, style_named
from ICHSegmenterLib.volume.components import CONNECTIVITY_26, component_volumes
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume, VolumeSource

VISIBLE_FRACTION = 0.5
"""A voxel belongs to a lesion that fills at least half of it ..."""
VISIBLE_THIN_FRACTION = 0.3
"""... or, in sulci that are thinner than a voxel, less: readers outline what they see."""
VISIBLE_ML = 0.02
"""A piece that is smaller is outlined by nobody: percentile 5 of the measured lesions is 0.02 to 0.1 mL."""
LARGEST_BLOOD_HU = 130.0
"""Voxels above are bone to a reader, even if half of them is blood."""
SUBTYPE_WEIGHTS = {"EDH": 0.12, "IPH": 0.27, "IVH": 0.16, "SAH": 0.22, "SDH": 0.23}
SCAN_ML = (10.0, 1.7, 150.0)
"""Log-normal volume of all blood of a scan: median mL (15 in the 192 scans of BHSD, 6.5 in the 36 of PhysioNet CT-ICH),
sigma of the logarithm from BHSD's percentiles 5 and 95 (0.4 and 118 mL), maximum."""


@dataclass(frozen=True, eq=False)
class SyntheticExam:
    """A scan and its truth.

    Attributes:
        volume: HU on the acquired grid.
        labelmap: uint8 (slices, rows, columns), 1 + index of the subtype in `SUBTYPES`, 0 without blood.
        blood_fraction: float32 (slices, rows, columns), how much of a voxel is blood.
        brain_mask: bool (slices, rows, columns).
        plans: The lesions that were placed.
        seed: What it was made from.
        parts: What a detailed head and its acquisition have; empty for a plain head and a real scan.
    """

    volume: Volume
    labelmap: NDArray[np.uint8]
    blood_fraction: Field
    brain_mask: NDArray[np.bool_]
    plans: tuple[LesionPlan, ...]
    seed: int
    parts: frozenset[Part] = frozenset()

    @property
    def slice_labels(self) -> NDArray[np.uint8]:
        """(slices, 6), 0 or 1 in the order of `SUBTYPE_LABELS`; the last is any."""
        subtypes = [(self.labelmap == value).any(axis=(1, 2)) for value in range(1, len(SUBTYPES) + 1)]
        return np.stack([*subtypes, (self.labelmap > 0).any(axis=(1, 2))], axis=1).astype(np.uint8)

    @property
    def blood_ml(self) -> dict[str, float]:
        """Volume of the labelmap for each subtype."""
        voxels = self.volume.geometry.voxel_volumes_mm3 / 1000
        return {
            name: float((self.labelmap == value).sum(axis=(1, 2)) @ voxels)
            for value, name in enumerate(SUBTYPES, start=1)
        }


def make_exam(
    seed: int,
    *,
    style: str | Style = "standard",
    plans: Sequence[LesionPlan] | None = None,
    protocol: Protocol | None = None,
    parameters: HeadParameters | None = None,
    matrix: int = 256,
    positive_share: float = 0.6,
) -> SyntheticExam:
    """Make an exam; equal arguments give equal exams.

    Args:
        seed: Seed of everything random.
        style: Name in `STYLES` or own ranges.
        plans: The lesions; None draws them, an empty sequence makes a head without hemorrhage.
        protocol: Settings of the acquisition; None draws them.
        parameters: Shape of the head; None draws it.
        matrix: Rows and columns if the protocol is drawn.
        positive_share: Part of the exams with hemorrhage if lesions are drawn.
    """
    ranges = style_named(style)
    random = np.random.default_rng(seed)
    anatomy = parameters or draw_parameters(ranges, random)
    lesions = draw_plans(random, positive_share=positive_share) if plans is None else tuple(plans)
    if plans is None:
        shift = random.uniform(*ranges.density_hu)
        lesions = tuple(replace(plan, hu=plan.hu + shift) for plan in lesions)
    acquisition = protocol or draw_protocol(ranges, random, matrix=matrix)
    parts: frozenset[Part] = frozenset()
    if ranges.parts is None:
        head = make_head(random, anatomy)
    else:
        parts = draw_parts(ranges.parts, random)
        lesions = lesions if plans is not None else plans_of(lesions, parts, random)
        acquisition = acquisition if protocol is not None else protocol_of(acquisition, parts, random)
        head = head_of(anatomy if parameters is not None else person_of(anatomy, parts, random), parts, random)
    painted, bleeding = bleed_into(head, lesions, random)
    seen = scan(painted, bleeding.fractions, bleeding.grid, acquisition, random)
    volume = Volume(seen.hu, seen.geometry, VolumeSource("synthetic"))
    labelmap, total = label(seen.fractions, bleeding.plans, volume)
    return SyntheticExam(volume, labelmap, total, seen.cavity, bleeding.plans, seed, parts)


def draw_plans(random: Random, *, positive_share: float = 1.0) -> tuple[LesionPlan, ...]:
    """None, or lesions of one to three subtypes; bleeding of one cause is often in several spaces.

    The lesions share the blood of a scan (`SCAN_ML`) as volumes of their subtypes would; what is large breaks into
    pieces where it fills sulci and spaces, as it does in real scans.
    """
    if random.random() >= positive_share:
        return ()
    median, sigma, largest = SCAN_ML
    total = min(median * float(np.exp(sigma * random.standard_normal())), largest)
    weights = np.array([SUBTYPE_WEIGHTS[name] for name in SUBTYPES])
    kinds = random.choice(SUBTYPES, size=int(random.choice((1, 2, 3), p=(0.62, 0.28, 0.10))), replace=False, p=weights)
    plans = []
    for kind in kinds:
        repeats = int(random.integers(1, 4)) if kind == "SAH" else 1 + int(random.random() < 0.2)
        plans += [LesionPlan.draw(random, str(kind)) for _ in range(repeats)]
    factor = total / sum(plan.volume_ml for plan in plans)
    return tuple(replace(plan, volume_ml=_within(plan.subtype, factor * plan.volume_ml)) for plan in plans)


def _within(subtype: str, volume_ml: float) -> float:
    return min(max(volume_ml, SMALLEST_ML), VOLUME_ML[subtype][2])


def label(fractions: Sequence[Field], plans: Sequence[LesionPlan], volume: Volume) -> tuple[NDArray[np.uint8], Field]:
    """The labelmap in the order of `SUBTYPES` and the share of blood, from what each lesion fills of each voxel."""
    labelmap = np.zeros(volume.hu.shape, dtype=np.uint8)
    total, largest = np.zeros(volume.hu.shape, dtype=np.float32), np.zeros(volume.hu.shape, dtype=np.float32)
    for fraction, plan in zip(fractions, plans, strict=True):
        total += fraction
        leads = fraction > largest
        largest[leads] = fraction[leads]
        labelmap[leads] = 1 + SUBTYPES.index(plan.subtype)
    thin = labelmap == 1 + SUBTYPES.index("SAH")
    labelmap[total < np.where(thin, VISIBLE_THIN_FRACTION, VISIBLE_FRACTION)] = 0
    labelmap[volume.hu > LARGEST_BLOOD_HU] = 0
    labelmap[_specks(labelmap > 0, volume.geometry)] = 0
    return labelmap, np.minimum(total, 1)


def _specks(blood: NDArray[np.bool_], geometry: VolumeGeometry) -> NDArray[np.bool_]:
    """Pieces below `VISIBLE_ML`."""
    pieces, count = ndimage.label(blood, CONNECTIVITY_26)
    is_speck = np.zeros(count + 1, dtype=bool)
    is_speck[1:] = component_volumes(pieces, count, geometry.voxel_volumes_mm3 / 1000) < VISIBLE_ML
    return is_speck[pieces]
