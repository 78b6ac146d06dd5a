"""A synthetic exam: a head, its lesions and its acquisition, all from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.synthesis.acquisition.scanner import Protocol, scan
from ICHSegmenterLib.synthesis.anatomy.head import make_head
from ICHSegmenterLib.synthesis.anatomy.head_shape import HeadParameters
from ICHSegmenterLib.synthesis.fields import Field, Random
from ICHSegmenterLib.synthesis.pathology.lesions import SMALLEST_ML, SUBTYPES, VOLUME_ML, LesionPlan, bleed_into
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
COVERAGE_MM = 150.0


@dataclass(frozen=True)
class Style:
    """Ranges from which heads and protocols are drawn; (low, high) each.

    Attributes:
        slice_mm: Slice thickness.
        field_of_view_mm, noise_hu, blur_mm, sharpening, tilt_deg: Ranges of the protocol.
        head_size: Factor of the head's half-axes.
        skull_mm, atrophy: Ranges of the head.
        density_hu: Added to gray and white matter and to blood.
    """

    slice_mm: tuple[float, float] = (2.5, 5.5)
    field_of_view_mm: tuple[float, float] = (215.0, 250.0)
    noise_hu: tuple[float, float] = (2.0, 5.5)
    blur_mm: tuple[float, float] = (0.45, 0.9)
    sharpening: tuple[float, float] = (0.0, 0.5)
    tilt_deg: tuple[float, float] = (-4.0, 22.0)
    head_size: tuple[float, float] = (0.94, 1.06)
    skull_mm: tuple[float, float] = (4.5, 8.0)
    atrophy: tuple[float, float] = (0.0, 1.0)
    density_hu: tuple[float, float] = (-1.5, 1.5)


STYLES = {
    "standard": Style(),
    "thin": Style(slice_mm=(0.6, 1.5), noise_hu=(4.0, 9.0), tilt_deg=(0.0, 0.0)),
    "shifted": Style(
        slice_mm=(5.5, 7.0), field_of_view_mm=(250.0, 275.0), noise_hu=(4.5, 7.5), blur_mm=(0.9, 1.3),
        sharpening=(0.5, 0.9), tilt_deg=(-14.0, -5.0), head_size=(1.05, 1.10), skull_mm=(7.5, 10.0),
        density_hu=(1.5, 3.0),
    ),
}  # fmt: skip
"""`shifted` is anatomy and acquisition outside what `standard` draws, for testing what was trained on it."""


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
    """

    volume: Volume
    labelmap: NDArray[np.uint8]
    blood_fraction: Field
    brain_mask: NDArray[np.bool_]
    plans: tuple[LesionPlan, ...]
    seed: int

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
    ranges = _style(style)
    random = np.random.default_rng(seed)
    anatomy = parameters or _parameters(ranges, random)
    lesions = draw_plans(random, positive_share=positive_share) if plans is None else tuple(plans)
    if plans is None:
        shift = random.uniform(*ranges.density_hu)
        lesions = tuple(replace(plan, hu=plan.hu + shift) for plan in lesions)
    acquisition = protocol or draw_protocol(ranges, random, matrix=matrix)
    head = make_head(random, anatomy)
    painted, bleeding = bleed_into(head, lesions, random)
    seen = scan(painted, bleeding.fractions, bleeding.grid, acquisition, random)
    volume = Volume(seen.hu, seen.geometry, VolumeSource("synthetic"))
    labelmap, total = label(seen.fractions, bleeding.plans, volume)
    return SyntheticExam(volume, labelmap, total, seen.cavity, bleeding.plans, seed)


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


def draw_protocol(style: Style, random: Random, *, matrix: int = 256) -> Protocol:
    """A protocol within the ranges: one step for all slices, or thin ones below and thick ones above."""
    step = random.uniform(*style.slice_mm)
    count = round(COVERAGE_MM / step)
    steps = [step] * (count - 1)
    if step > 2 and random.random() < 0.25:
        steps = [0.6 * step] * round(60 / (0.6 * step)) + [step] * round(90 / step)
    return Protocol(
        matrix=matrix,
        field_of_view_mm=float(random.uniform(*style.field_of_view_mm)),
        steps_mm=tuple(float(one) for one in steps),
        tilt_deg=float(random.uniform(*style.tilt_deg)) if random.random() < 0.5 else 0.0,
        pose_deg=(float(random.normal(0, 4)), float(random.normal(0, 2.5)), float(random.normal(0, 4))),
        center_mm=(float(random.normal(0, 3)), float(random.normal(0, 4)), float(random.normal(4, 4))),
        noise_hu=float(random.uniform(*style.noise_hu)),
        blur_mm=float(random.uniform(*style.blur_mm)),
        sharpening=float(random.uniform(*style.sharpening)),
        cupping_hu=float(random.uniform(0, 5)),
        streak_hu=float(random.uniform(4, 20)),
        motion_mm=float(random.uniform(0.5, 2.0)) if random.random() < 0.15 else 0.15,
        gain=float(random.normal(1, 0.008)),
        offset_hu=float(random.normal(0, 1)),
        has_head_rest=bool(random.random() < 0.8),
        is_descending=bool(random.random() < 0.3),
    )


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


def _style(style: str | Style) -> Style:
    if isinstance(style, Style):
        return style
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, got {style!r}")
    return STYLES[style]


def _parameters(style: Style, random: Random) -> HeadParameters:
    drawn = HeadParameters.draw(random)
    size = random.uniform(*style.head_size)
    low, high = style.atrophy
    shift = float(random.uniform(*style.density_hu))
    changed: dict[str, Any] = {
        "radii": tuple(r * size for r in drawn.radii),
        "skull_mm": float(random.uniform(*style.skull_mm)),
        "atrophy": low + (high - low) * drawn.atrophy,
        "gray_hu": drawn.gray_hu + shift,
        "white_hu": drawn.white_hu + shift,
    }
    return replace(drawn, **changed)
