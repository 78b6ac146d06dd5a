"""An exam of a hospital's day: which parts it has, and what they change in head, lesions and protocol."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np

from ICHSegmenterLib.synthesis.acquisition.kernels import draw_kernel
from ICHSegmenterLib.synthesis.acquisition.scanner import Protocol
from ICHSegmenterLib.synthesis.anatomy.detailed import make_detailed_head
from ICHSegmenterLib.synthesis.anatomy.head import Head
from ICHSegmenterLib.synthesis.anatomy.head_shape import HeadParameters
from ICHSegmenterLib.synthesis.fields import Random
from ICHSegmenterLib.synthesis.parts import Part, PartStreams
from ICHSegmenterLib.synthesis.pathology.broad_subdural import BROAD_HU, BROAD_ML
from ICHSegmenterLib.synthesis.pathology.lesions import LesionPlan
from ICHSegmenterLib.synthesis.pathology.surgery import OPERATIONS

YOUNG_ATROPHY = 0.12
GLOW_HU = (6.0, 26.0)
"""Of brain at the vertex; two real heads have 4 and 17 HU."""
OVERLAP_MM, MOST_OVERLAP = 2.5, 0.6
"""Thinner slices are often reconstructed with overlap, so that their noise is alike."""
CHILD_SIZE, CHILD_SKULL_MM, CHILD_SCALP_MM = (0.74, 0.92), (2.0, 4.0), (2.0, 4.0)
CHILD_WHITE_HU = (21.0, 27.0)
THICK_MM, THIN_MM = (6.0, 10.0), (0.5, 1.5)
SHARP, SOFT = (0.55, 1.0), (0.0, 0.45)
"""Sharpness of kernels, 0 soft to 1 bone."""
STRONG_NOISE_HU = (8.0, 40.0)
MOST_NOISE_HU = 40.0
REFERENCE_MM = 5.0
"""Slice thickness at which a style's noise is given; thinner slices have fewer photons."""


def person_of(head: HeadParameters, parts: Set[Part], random: Random) -> HeadParameters:
    """The person who has these parts: young without atrophy, smaller as a child."""
    streams = PartStreams(random)
    atrophy = streams[Part.ATROPHY]
    changed: dict[str, Any] = {
        "gray_hu": head.white_hu + float(random.uniform(6.0, 11.0)),
        "atrophy": float(atrophy.uniform(0.3, 1.0)) if Part.ATROPHY in parts else YOUNG_ATROPHY * head.atrophy,
        "leukoaraiosis": 0.0,
        "infarcts": 0,
    }
    if Part.CHILD in parts:
        draw = streams[Part.CHILD]
        size, white = float(draw.uniform(*CHILD_SIZE)), float(draw.uniform(*CHILD_WHITE_HU))
        changed |= {
            "radii": tuple(r * size for r in head.radii),
            "skull_mm": float(draw.uniform(*CHILD_SKULL_MM)),
            "scalp_mm": float(draw.uniform(*CHILD_SCALP_MM)),
            "white_hu": white,
            "gray_hu": white + float(draw.uniform(4, 8)),
        }
    return replace(head, **changed)


def head_of(person: HeadParameters, parts: Set[Part], random: Random) -> Head:
    """A detailed head after its operations."""
    streams = PartStreams(random)
    head = make_detailed_head(random, person, parts)
    for part in (part for part in OPERATIONS if part in parts):
        head = OPERATIONS[part](head, streams[part])
    return head


def plans_of(plans: Sequence[LesionPlan], parts: Set[Part], random: Random) -> tuple[LesionPlan, ...]:
    """Lesions, the subdural one among them broad; an exam without blood keeps none."""
    draw = PartStreams(random)[Part.BROAD_SUBDURAL]
    if Part.BROAD_SUBDURAL not in parts or not plans:
        return tuple(plans)
    low, high = np.log(BROAD_ML)
    broad = LesionPlan(
        "SDH",
        float(np.exp(draw.uniform(low, high))),
        float(draw.uniform(*BROAD_HU)),
        0.0,
        float(draw.uniform(0.2, 0.8)) * (draw.random() < 0.3),
        is_broad=True,
    )
    return (broad, *(plan for plan in plans if plan.subtype != "SDH"))


def protocol_of(protocol: Protocol, parts: Set[Part], random: Random) -> Protocol:
    """The acquisition with these parts."""
    streams = PartStreams(random)
    steps = _steps(protocol.steps_mm, parts, streams)
    sharp = streams[Part.SHARP_KERNEL]
    sharpness = float(sharp.uniform(*(SHARP if Part.SHARP_KERNEL in parts else SOFT)))
    noise = protocol.noise_hu * np.sqrt(REFERENCE_MM / float(np.mean(steps))) * (0.8 + 2.2 * max(0.0, sharpness - 0.3))
    if Part.STRONG_NOISE in parts:
        low, high = np.log(STRONG_NOISE_HU)
        noise = max(noise, float(np.exp(streams[Part.STRONG_NOISE].uniform(low, high))))
    hardening, bright, motion = (streams[p] for p in (Part.BEAM_HARDENING, Part.BRIGHT_VERTEX, Part.MOTION))
    return replace(
        protocol,
        steps_mm=steps,
        noise_hu=float(min(noise, MOST_NOISE_HU)),
        kernel=draw_kernel(sharpness, sharp),
        noise_overlap=float(sharp.uniform(0, MOST_OVERLAP)) * (min(steps) < OVERLAP_MM),
        streak_hu=0.0,
        hardening=float(hardening.uniform(0.4, 1.6)) if Part.BEAM_HARDENING in parts else 0.0,
        metal=float(hardening.uniform(0.3, 1.2)) if {Part.CLIP, Part.SHUNT, Part.CRANIOTOMY} & parts else 0.0,
        glow_hu=float(bright.uniform(*GLOW_HU)) if Part.BRIGHT_VERTEX in parts else 0.0,
        motion_mm=float(motion.uniform(1.0, 4.0)) if Part.MOTION in parts else 0.1,
        double_mm=float(motion.uniform(2.0, 6.0)) if Part.MOTION in parts else 0.0,
    )


def _steps(steps_mm: tuple[float, ...], parts: Set[Part], streams: PartStreams) -> tuple[float, ...]:
    covered = sum(steps_mm)
    for part, bounds in ((Part.THICK_SLICES, THICK_MM), (Part.THIN_SLICES, THIN_MM)):
        if part in parts:
            step = float(streams[part].uniform(*bounds))
            return (step,) * max(2, round(covered / step))
    return steps_mm
