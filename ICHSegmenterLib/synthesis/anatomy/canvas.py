"""The content of the cavity while it is painted: densities and fluid at its points, in template coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ICHSegmenterLib.synthesis.anatomy.head_shape import HeadParameters
from ICHSegmenterLib.synthesis.fields import Coordinates, Field, Random, Real, blend


@dataclass(frozen=True)
class Densities:
    """HU of what is neither brain nor fluid; contrast medium raises all but calcium.

    Attributes:
        dura: Falx and tentorium, undiluted.
        sinus: Venous blood.
        artery: Arterial blood.
        plexus: Choroid plexus and pineal gland.
        is_enhanced: Whether contrast medium was given.
    """

    dura: float
    sinus: float
    artery: float
    plexus: float
    is_enhanced: bool = False

    @classmethod
    def draw(cls, random: Random, *, is_enhanced: bool) -> Densities:
        """Plain: hematocrit decides. Enhanced: the phase decides, arterial or venous."""
        sinus = float(random.uniform(50, 75))
        dura, plexus = float(random.uniform(50, 70)), float(random.uniform(36, 50))
        if not is_enhanced:
            return cls(dura, sinus, sinus - float(random.uniform(4, 14)), plexus)
        artery, vein = float(random.uniform(110, 320)), float(random.uniform(100, 230))
        return cls(dura + float(random.uniform(20, 55)), vein, artery, plexus + float(random.uniform(40, 90)), True)


@dataclass(frozen=True, eq=False)
class Canvas:
    """Points inside the cavity and what was painted there; painters change `hu`, `csf` and `ventricles` in place.

    Attributes:
        points: x, y, z in template mm, float32 (n,) each.
        depth: float32 (n,), mm to the dura.
        tentorium: float32 (n,), mm above the tentorium.
        wall: float32 (n,), mm to the ventricles' wall, negative inside.
        head: The person.
        densities: HU of vessels and membranes.
        hu: float32 (n,).
        csf: float32 (n,), share of fluid outside the ventricles.
        ventricles: float32 (n,), share of ventricle.
    """

    points: Coordinates
    depth: Field
    tentorium: Field
    wall: Field
    head: HeadParameters
    densities: Densities
    hu: Field
    csf: Field
    ventricles: Field

    @property
    def mirrored(self) -> Coordinates:
        """The points of both sides on the left one."""
        x, y, z = self.points
        return np.abs(x), y, z

    def side(self, sign: int) -> Coordinates:
        """The points with x of one side positive."""
        x, y, z = self.points
        return x * np.float32(sign), y, z

    def paint(self, share: Real, hu: float | Real) -> None:
        """Tissue in place of what was there, fluid included."""
        blend(self.hu, share, np.float32(hu) if isinstance(hu, float) else hu)
        for fluid in (self.csf, self.ventricles):
            fluid *= 1 - np.asarray(share, dtype=np.float32)
