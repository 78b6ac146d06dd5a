"""The analytic phantom as an exam of random grid, noise and bleeds, so that a network knows the plainest head, too."""

from __future__ import annotations

import numpy as np

from ICHSegmenterLib.synthesis.exam import SyntheticExam
from ICHSegmenterLib.synthesis.fields import Random
from ICHSegmenterLib.synthesis.pathology.lesions import SUBTYPES, LesionPlan
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, StorageOrder, head_geometry, make_phantom

MOST_BLEEDS = 2
SLICE_MM, PIXEL_MM, NOISE_HU, TILT_DEG, BLOOD_HU = (2.5, 7.5), (0.85, 1.0), (2.0, 8.0), (-10.0, 20.0), (48.0, 75.0)
COVERAGE_MM = 140.0


def make_phantom_exam(seed: int, *, matrix: int = 256, positive_share: float = 0.6) -> SyntheticExam:
    """A scan of the phantom; equal arguments give equal exams.

    Args:
        seed: Seed of everything random.
        matrix: Rows and columns; the field of view is that of 256 pixels of 0.85 to 1 mm.
        positive_share: Part of the exams with hemorrhage.
    """
    random = np.random.default_rng(seed)
    bleeds = _bleeds(random) if random.random() < positive_share else ()
    step, pixel = random.uniform(*SLICE_MM), random.uniform(*PIXEL_MM) * 256 / matrix
    geometry = head_geometry(
        (round(COVERAGE_MM / step), matrix, matrix),
        pixel_mm=(pixel, pixel),
        slice_step_mm=float(step),
        tilt_deg=float(random.uniform(*TILT_DEG)) if random.random() < 0.5 else 0.0,
        turn_deg=float(random.normal(0, 4)),
        center=(float(random.normal(0, 4)), float(random.normal(0, 4)), float(random.normal(8, 4))),
        order=StorageOrder(is_descending=bool(random.random() < 0.3)),
    )
    model = HeadModel(
        bleeds,
        defect_radius_mm=float(random.uniform(15, 35)) if random.random() < 0.1 else 0.0,
        has_calcifications=bool(random.random() < 0.8),
        has_couch=bool(random.random() < 0.8),
        noise_hu=float(random.uniform(*NOISE_HU)),
    )
    phantom = make_phantom(geometry, model, seed=int(random.integers(2**31)))
    labelmap = np.zeros_like(phantom.labelmap)
    for number, bleed in enumerate(bleeds, start=1):
        labelmap[phantom.labelmap == number] = 1 + SUBTYPES.index(bleed.subtype)
    plans = tuple(LesionPlan(bleed.subtype, _volume_ml(bleed)) for bleed in bleeds)
    return SyntheticExam(phantom.volume, labelmap, phantom.blood_fraction, phantom.brain_mask, plans, seed)


def _bleeds(random: Random) -> tuple[Bleed, ...]:
    return tuple(_bleed(random) for _ in range(int(random.integers(1, MOST_BLEEDS + 1))))


def _bleed(random: Random) -> Bleed:
    kind = str(random.choice(("IPH", "EDH", "SDH"), p=(0.6, 0.2, 0.2)))
    hu, side = float(random.uniform(*BLOOD_HU)), float(random.choice((-1, 1)))
    if kind == "SDH":
        direction = (side, float(random.uniform(-0.5, 0.5)), float(random.uniform(0, 0.5)))
        return Bleed("SDH", direction, (float(random.uniform(4, 14)),) * 3, hu)
    if kind == "EDH":
        radius = float(random.uniform(14, 28))
        angle, height = float(random.uniform(-1.0, 1.0)), float(random.uniform(5, 45))
        center = (side * 66.0 * np.cos(angle), 84.0 * np.sin(angle), height)
        return Bleed("EDH", (float(center[0]), float(center[1]), height), (radius,) * 3, hu)
    radii = random.uniform(4, 22) * random.uniform(0.8, 1.2, 3)
    center = (side * float(random.uniform(6, 42)), float(random.uniform(-45, 50)), float(random.uniform(-10, 50)))
    return Bleed("IPH", center, (float(radii[0]), float(radii[1]), float(radii[2])), hu)


def _volume_ml(bleed: Bleed) -> float:
    return float(4 / 3 * np.pi * np.prod(bleed.radii) / 1000)
