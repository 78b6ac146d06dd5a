"""Parts of a head, a patient's history and an acquisition that can be switched on and off, each with a probability.

A part that a network has never seen shows whether it generalizes: `without` keeps parts out of a style.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

import numpy as np

from ICHSegmenterLib.synthesis.fields import Random


class Part(str, Enum):
    """Switchable part; the order fixes each part's stream of random numbers, so new ones are appended."""

    TENTORIUM = "tentorium"
    FALX = "falx"
    CALCIFIED_FALX = "calcified-falx"
    SAGITTAL_SINUS = "sagittal-sinus"
    STRAIGHT_SINUS = "straight-sinus"
    TRANSVERSE_SINUS = "transverse-sinus"
    SIGMOID_SINUS = "sigmoid-sinus"
    PLEXUS = "plexus"
    CALCIFIED_PLEXUS = "calcified-plexus"
    PINEAL = "pineal"
    CALCIFIED_PINEAL = "calcified-pineal"
    DEEP_NUCLEI = "deep-nuclei"
    CORTICAL_RIBBON = "cortical-ribbon"
    BASAL_ARTERIES = "basal-arteries"
    DENSE_ARTERY = "dense-artery"
    ORBITAL_ROOFS = "orbital-roofs"
    PETROUS_RIDGES = "petrous-ridges"
    CLINOIDS = "clinoids"
    BRIGHT_VERTEX = "bright-vertex"
    BEAM_HARDENING = "beam-hardening"
    OLD_INFARCT = "old-infarct"
    WHITE_MATTER_LUCENCY = "white-matter-lucency"
    ATROPHY = "atrophy"
    CHILD = "child"
    CRANIOTOMY = "craniotomy"
    CLIP = "clip"
    SHUNT = "shunt"
    CONTRAST = "contrast"
    SHARP_KERNEL = "sharp-kernel"
    STRONG_NOISE = "strong-noise"
    MOTION = "motion"
    THICK_SLICES = "thick-slices"
    THIN_SLICES = "thin-slices"
    BROAD_SUBDURAL = "broad-subdural"


Probabilities = Mapping[Part, float]

CLINICAL: Probabilities = {
    Part.TENTORIUM: 0.95,
    Part.FALX: 0.95,
    Part.CALCIFIED_FALX: 0.20,
    Part.SAGITTAL_SINUS: 0.95,
    Part.STRAIGHT_SINUS: 0.95,
    Part.TRANSVERSE_SINUS: 0.95,
    Part.SIGMOID_SINUS: 0.95,
    Part.PLEXUS: 0.80,
    Part.CALCIFIED_PLEXUS: 0.55,
    Part.PINEAL: 0.80,
    Part.CALCIFIED_PINEAL: 0.60,
    Part.DEEP_NUCLEI: 0.97,
    Part.CORTICAL_RIBBON: 0.97,
    Part.BASAL_ARTERIES: 0.95,
    Part.DENSE_ARTERY: 0.10,
    Part.ORBITAL_ROOFS: 0.90,
    Part.PETROUS_RIDGES: 0.90,
    Part.CLINOIDS: 0.90,
    Part.BRIGHT_VERTEX: 0.60,
    Part.BEAM_HARDENING: 0.80,
    Part.OLD_INFARCT: 0.20,
    Part.WHITE_MATTER_LUCENCY: 0.40,
    Part.ATROPHY: 0.55,
    Part.CHILD: 0.08,
    Part.CRANIOTOMY: 0.06,
    Part.CLIP: 0.03,
    Part.SHUNT: 0.05,
    Part.CONTRAST: 0.08,
    Part.SHARP_KERNEL: 0.20,
    Part.STRONG_NOISE: 0.25,
    Part.MOTION: 0.12,
    Part.THICK_SLICES: 0.20,
    Part.THIN_SLICES: 0.15,
    Part.BROAD_SUBDURAL: 0.15,
}
"""How often each part is in an exam of a hospital's day; contrast and surgery more often than there, to be learned."""
EXCLUDING = ((Part.CHILD, Part.ATROPHY), (Part.CHILD, Part.WHITE_MATTER_LUCENCY), (Part.THICK_SLICES, Part.THIN_SLICES))
"""Of each pair the second is left out where both were drawn."""


def draw_parts(probabilities: Probabilities, random: Random) -> frozenset[Part]:
    """The parts of one exam; a part's draw does not depend on the probabilities of the others."""
    drawn = dict(zip(Part, random.random(len(Part)), strict=True))
    parts = {part for part in Part if drawn[part] < probabilities.get(part, 0.0)}
    for kept, excluded in EXCLUDING:
        if kept in parts:
            parts.discard(excluded)
    return frozenset(parts)


def switched(
    probabilities: Probabilities, *, always: Iterable[Part] = (), without: Iterable[Part] = ()
) -> dict[Part, float]:
    """Probabilities with some parts in every exam and others in none.

    Raises:
        ValueError: A part is both.
    """
    present, absent = set(always), set(without)
    if present & absent:
        names = ", ".join(sorted(part.value for part in present & absent))
        raise ValueError(f"{names}: asked for both in every exam and in none; name each part once")
    result = dict(probabilities)
    result.update(dict.fromkeys(present, 1.0))
    result.update(dict.fromkeys(absent, 0.0))
    return result


class PartStreams:
    """Random numbers for each part, so that switching one part leaves the others as they are."""

    def __init__(self, random: Random) -> None:
        self._key = int(random.integers(2**62))

    def __getitem__(self, part: Part) -> Random:
        return np.random.default_rng((self._key, list(Part).index(part)))
