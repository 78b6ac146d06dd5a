"""A head of switchable parts: tissue first, then what is painted into it, then what a surgeon left."""

from __future__ import annotations

from collections.abc import Callable, Set

import numpy as np

from ICHSegmenterLib.synthesis.anatomy.arteries import paint_basal_arteries, paint_dense_artery
from ICHSegmenterLib.synthesis.anatomy.brain import (
    cistern_distance,
    falx_edge,
    template_points,
    ventricle_distance,
)
from ICHSegmenterLib.synthesis.anatomy.canvas import Canvas, Densities
from ICHSegmenterLib.synthesis.anatomy.cortex import paint_cortical_ribbon
from ICHSegmenterLib.synthesis.anatomy.deep_nuclei import caudate_distance, paint_deep_nuclei, paint_hindbrain
from ICHSegmenterLib.synthesis.anatomy.dura import (
    paint_falx,
    paint_falx_calcification,
    paint_sagittal_sinus,
    paint_sigmoid_sinus,
    paint_straight_sinus,
    paint_tentorium,
    paint_transverse_sinus,
)
from ICHSegmenterLib.synthesis.anatomy.glands import (
    paint_pineal,
    paint_pineal_calcification,
    paint_plexus,
    paint_plexus_calcification,
)
from ICHSegmenterLib.synthesis.anatomy.head import Head
from ICHSegmenterLib.synthesis.anatomy.head_shape import CavityShape, HeadParameters, cavity_shape, head_grid
from ICHSegmenterLib.synthesis.anatomy.skull import outside_dura
from ICHSegmenterLib.synthesis.anatomy.skull_base import clinoids, orbital_roofs, petrous_ridges, raised
from ICHSegmenterLib.synthesis.fields import Coordinates, Field, Random, blend, cover, smooth_noise
from ICHSegmenterLib.synthesis.parts import Part, PartStreams
from ICHSegmenterLib.synthesis.pathology.chronic import paint_old_infarcts, paint_white_matter_lucency

VENTRICLE_WIDTH = 0.8
"""The ventricles of a plain head are so much narrower; here the caudate nuclei bulge into them."""
RIM_MM = 3.0
"""Gray matter under the surface of a brain without folds."""
RELIEF: dict[Part, Callable[[HeadParameters, CavityShape, Random], Field]] = {
    Part.ORBITAL_ROOFS: orbital_roofs,
    Part.PETROUS_RIDGES: petrous_ridges,
    Part.CLINOIDS: clinoids,
}
TISSUE: dict[Part, Callable[[Canvas, Random], None]] = {
    Part.DEEP_NUCLEI: paint_deep_nuclei,
    Part.WHITE_MATTER_LUCENCY: paint_white_matter_lucency,
    Part.OLD_INFARCT: paint_old_infarcts,
}
INCLUSIONS: dict[Part, Callable[[Canvas, Random], None]] = {
    Part.TENTORIUM: paint_tentorium,
    Part.FALX: paint_falx,
    Part.CALCIFIED_FALX: paint_falx_calcification,
    Part.SAGITTAL_SINUS: paint_sagittal_sinus,
    Part.STRAIGHT_SINUS: paint_straight_sinus,
    Part.TRANSVERSE_SINUS: paint_transverse_sinus,
    Part.SIGMOID_SINUS: paint_sigmoid_sinus,
    Part.PLEXUS: paint_plexus,
    Part.CALCIFIED_PLEXUS: paint_plexus_calcification,
    Part.PINEAL: paint_pineal,
    Part.CALCIFIED_PINEAL: paint_pineal_calcification,
    Part.BASAL_ARTERIES: paint_basal_arteries,
    Part.DENSE_ARTERY: paint_dense_artery,
}
"""Painted in this order, each over the ones before."""


def make_detailed_head(random: Random, head: HeadParameters, parts: Set[Part]) -> Head:
    """Build a head with these parts; equal generators give equal heads, and a part does not move the others."""
    streams = PartStreams(random)
    shape = cavity_shape(head, random)
    shape = raised(shape, [rise(head, shape, streams[part]) for part, rise in RELIEF.items() if part in parts])
    hu = outside_dura(head, shape, random)
    canvas = blank_canvas(
        head, shape, random, Densities.draw(streams[Part.CONTRAST], is_enhanced=Part.CONTRAST in parts)
    )
    paint_parts(canvas, parts, streams)
    canvas.hu[:] += np.float32(0.8) * smooth_noise(random, shape.cavity.shape, 9.0)[shape.cavity]
    hu[shape.cavity] = canvas.hu
    csf, ventricles = np.zeros_like(hu), np.zeros_like(hu)
    csf[shape.cavity], ventricles[shape.cavity] = canvas.csf, canvas.ventricles
    return Head(head_grid(), hu, shape.cavity, np.maximum(shape.depth_mm, 0), csf, ventricles)


def blank_canvas(head: HeadParameters, shape: CavityShape, random: Random, densities: Densities) -> Canvas:
    """White matter, ventricles and nothing else at the points of the cavity."""
    points = template_points(head, shape.cavity, random)
    x, y, z = points
    wall = ventricle_distance((x * np.float32(VENTRICLE_WIDTH), y, z), head, random)
    wall -= np.float32(random.uniform(0, 0.8) + 1.6 * head.atrophy)
    wall = np.maximum(wall, -caudate_distance((np.abs(x), y, z)))  # it makes commas of the frontal horns
    hu = np.full_like(wall, head.white_hu)
    fluid = [np.zeros_like(wall) for _ in range(2)]
    depth = shape.depth_mm[shape.cavity]
    return Canvas(points, depth, _tent_height(points, random), wall, head, densities, hu, *fluid)


def paint_parts(canvas: Canvas, parts: Set[Part], streams: PartStreams) -> None:
    """Tissue, fluid, then vessels, membranes and calcium."""
    surface = _surface(canvas)
    rim = cover(surface - RIM_MM, 1.5) if Part.CORTICAL_RIBBON not in parts else cover(surface - 1.0, 1.5)
    blend(canvas.hu, rim, canvas.head.gray_hu)
    paint_hindbrain(canvas, streams[Part.DEEP_NUCLEI])
    canvas.ventricles[:] = cover(canvas.wall, 1.2)
    if Part.CORTICAL_RIBBON in parts:
        paint_cortical_ribbon(canvas, surface, streams[Part.CORTICAL_RIBBON])
    for part in (part for part in TISSUE if part in parts):
        TISSUE[part](canvas, streams[part])
    fluid = cover(surface, 1.2) * (1 - canvas.ventricles)
    blend(canvas.hu, fluid, canvas.head.csf_hu)
    np.maximum(canvas.csf, fluid, out=canvas.csf)
    blend(canvas.hu, canvas.ventricles, canvas.head.csf_hu)
    for part in (part for part in INCLUSIONS if part in parts):
        INCLUSIONS[part](canvas, streams[part])


def _tent_height(points: Coordinates, random: Random) -> Field:
    """Mm above the tentorium, whose two halves fall from the straight sinus to the petrous ridges."""
    x, y, z = points
    top, bottom = float(random.uniform(3, 10)), float(random.uniform(-23, -18))
    back = np.clip((y - 24) / 56, 0, 1)
    ridge = top - (top + 13) * back
    fall = (top - bottom) / 54 * (1 - 0.8 * back) * (np.sqrt(x * x + 16) - 4)
    height = z - (ridge - fall)
    in_front = y < -4 + 0.58 * np.abs(x)
    return np.where(in_front & (z > -45), np.maximum(height, 30), height).astype(np.float32)


def _surface(canvas: Canvas) -> Field:
    """Mm from the surface of the unfolded brain, negative in the fluid around it."""
    x, y, z = canvas.points
    head = canvas.head
    lifted = np.clip(0.75 + 0.45 * np.tanh(z / 30) - 0.25 * y / 80, 0.15, 1.3)  # a brain on its back sinks
    rim = 0.3 + 2.3 * head.atrophy * lifted
    between = np.where(z > falx_edge(canvas.points) - 2, np.abs(x) - (0.4 + 1.1 * head.atrophy), 99)
    edge = np.minimum(canvas.depth - rim, between)
    edge = np.minimum(edge, np.abs(canvas.tentorium) - 0.2 - 0.8 * head.atrophy)
    return np.asarray(np.minimum(edge, cistern_distance(canvas.points, head)), dtype=np.float32)
