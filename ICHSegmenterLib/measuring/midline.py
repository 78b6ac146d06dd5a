"""Midline shift: how far the septum between the lateral ventricles lies from the ideal midline of the skull.

The way of reports: on the slice that shows the septum pellucidum best, at a right angle to the line that the skull
gives. The septum is where two spaces of cerebrospinal fluid lie side by side with a thin wall of brain between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.measuring.level import PIXEL_MM, Level, levels
from ICHSegmenterLib.measuring.line import Line, kept_point
from ICHSegmenterLib.measuring.sagittal_plane import SagittalPlane, sagittal_plane
from ICHSegmenterLib.volume.volume import Volume

TISSUE_HU = (15.0, 60.0)
FLUID_BELOW_BRAIN_HU = 10.0
"""Cerebrospinal fluid is so much less dense than the brain of its slice: half of the difference to white matter."""
MIN_FLUID_HU = -10.0
"""Below are fat and air."""
SMOOTHING_MM = 1.0
SEARCHED_MM = 32.0
"""From the ideal midline to each side; further out lie the insular cisterns."""
MIN_HORN_MM, MAX_WALL_MM = 2.5, 16.0
"""Width of a ventricle, and of the wall between both, in a row of pixels."""
MAX_SHIFT_MM = 25.0
HALF_OF_LAST_DIGIT_MM = 0.05
"""A smaller shift is written as 0.0 mm, and goes to no side."""
MODE_MM = 2.0
"""Width of the votes that rows of a head give for the place of its septum."""
NEAR_MODE_MM = 5.0
EVERY = 2
"""Of the pixels of the ventricles along each axis, every so many-th is kept."""
MIN_ROWS_MM = 8.0
"""Length over which both ventricles must lie side by side."""
MAX_SPREAD_MM = 2.5
"""Rows of the slice that place the septum farther apart than this give no shift."""


class NoMidline(str, Enum):
    """Why no shift can be measured."""

    NO_SKULL = "no_skull"
    NO_SEPTUM = "no_septum"
    UNCERTAIN = "uncertain"


NO_MIDLINE_WORDS: Mapping[NoMidline, str] = {
    NoMidline.NO_SKULL: "too little of the skull was scanned to find its midline",
    NoMidline.NO_SEPTUM: "the lateral ventricles lie side by side on no slice, so there is no septum to measure",
    NoMidline.UNCERTAIN: "the septum cannot be followed on any slice",
}


@dataclass(frozen=True)
class Midline:
    """The shift of the midline.

    Attributes:
        ideal: The ideal midline on that slice, from anterior to posterior.
        septum: The point of the septum, (x, y, z) LPS mm.
        slice_index: Of the slice.
        spread_mm: Half of the range in which the middle half of the rows of the slice place the septum.
        asymmetry: Of the skull, 0 to 1.
    """

    ideal: Line
    septum: tuple[float, float, float]
    slice_index: int
    spread_mm: float
    asymmetry: float

    @property
    def shift(self) -> Line:
        """The line from the ideal midline to the septum, at a right angle."""
        return shift_line(self.ideal, self.septum)

    @property
    def shift_mm(self) -> float:
        """How far the septum is shifted."""
        return self.shift.length_mm

    @property
    def is_to_left(self) -> bool:
        """True if it is shifted towards the patient's left."""
        return self.shift.end[0] > self.shift.start[0]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "shift_mm": round(self.shift_mm, 4),
            "towards": "left" if self.is_to_left else "right",
            "slice_index": self.slice_index,
            "spread_mm": round(self.spread_mm, 4),
            "asymmetry": round(self.asymmetry, 4),
            "ideal": self.ideal.to_json(),
            "shift": self.shift.to_json(),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Midline:
        """What `to_json` wrote."""
        ideal, septum = Line.from_json(plain["ideal"]), Line.from_json(plain["shift"]).end
        return cls(ideal, septum, int(plain["slice_index"]), float(plain["spread_mm"]), float(plain["asymmetry"]))


def shift_line(ideal: Line, septum: Iterable[float]) -> Line:
    """From the ideal midline to a point of the septum (3,), at a right angle."""
    start, point = np.asarray(ideal.start), np.asarray(tuple(septum), dtype=np.float64)
    along = np.asarray(ideal.end) - start
    foot = start + along * float((point - start) @ along) / max(float(along @ along), 1e-12)
    return Line.between(foot, point)


@dataclass(frozen=True, eq=False)
class Septum:
    """The septum of an exam and the spaces of fluid beside it.

    Attributes:
        midline: The shift, or why there is none to measure.
        ventricles: (n, 3) LPS mm of points in the lateral ventricles, as far as they lie side by side.
    """

    midline: Midline | NoMidline
    ventricles: NDArray[np.float64]


def find_septum(volume: Volume, blood: NDArray[np.bool_]) -> Septum:
    """The septum and the midline shift of an exam.

    Args:
        volume: HU in axial slices, gantry tilt and unequal distances as acquired.
        blood: bool (slices, rows, columns): all that is outlined; blood in a ventricle is no wall between two.
    """
    plane = sagittal_plane(volume)
    if plane is None:
        return _none(NoMidline.NO_SKULL)
    candidates = [rows for rows in map(_rows, levels(volume, plane, blood)) if len(rows.middles)]
    if not candidates:
        return _none(NoMidline.NO_SEPTUM)
    mode = _mode(candidates)
    enough = [rows for rows in (each.near(mode) for each in candidates) if rows.length_mm >= MIN_ROWS_MM]
    if not enough:
        return _none(NoMidline.NO_SEPTUM)
    clear = [rows for rows in enough if rows.spread_mm <= MAX_SPREAD_MM]
    if not clear:
        return _none(NoMidline.UNCERTAIN)
    best = max(clear, key=lambda rows: float(rows.weights.sum()))
    return Septum(best.midline(plane), np.concatenate([rows.ventricles() for rows in clear]))


def _none(reason: NoMidline) -> Septum:
    return Septum(reason, np.zeros((0, 3)))


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of a level where two spaces of fluid lie side by side.

    Attributes:
        spaces: int (rows, columns) of the level, numbers of the spaces, 0 outside.
        rows: (n,) int; middles: (n,) of the wall between them, mm to the left of the ideal midline.
        weights: (n,) width of the narrower one, mm.
        beside: int (n, 2) numbers of the spaces on both sides.
    """

    level: Level
    spaces: NDArray[np.int32]
    rows: NDArray[np.intp]
    middles: NDArray[np.float64]
    weights: NDArray[np.float64]
    beside: NDArray[np.intp]

    def near(self, middle: float) -> _Rows:
        """In each row the wall that is nearest to a place, where that is near enough."""
        kept: dict[int, int] = {}
        for n in np.argsort(np.abs(self.middles - middle), kind="stable"):
            if abs(self.middles[n] - middle) <= NEAR_MODE_MM:
                kept.setdefault(int(self.rows[n]), int(n))
        index = np.array(sorted(kept.values()), dtype=np.intp)
        numbers = (self.rows[index], self.middles[index], self.weights[index], self.beside[index])
        return _Rows(self.level, self.spaces, *numbers)

    @property
    def length_mm(self) -> float:
        """Length over which the spaces lie side by side."""
        return len(self.rows) * PIXEL_MM

    @property
    def spread_mm(self) -> float:
        low, high = np.percentile(self.middles, (25, 75))
        return float(high - low) / 2

    def ventricles(self) -> NDArray[np.float64]:
        """(n, 3) LPS mm of some pixels of the spaces."""
        rows, columns = np.nonzero(np.isin(self.spaces[::EVERY, ::EVERY], np.unique(self.beside)))
        return self.level.lps(rows * EVERY, columns * EVERY)

    def midline(self, plane: SagittalPlane) -> Midline:
        """The shift that these rows say."""
        level, rows = self.level, len(self.level.hu)
        middle, row = float(np.median(self.middles)), float(np.median(self.rows))
        column = (level.hu.shape[1] - 1) / 2
        ideal = Line.between(level.lps(0, column), level.lps(rows - 1, column))
        septum = kept_point(level.lps(row, column + middle / PIXEL_MM))
        return Midline(ideal, septum, level.slice_index, self.spread_mm, plane.asymmetry)


def _rows(level: Level) -> _Rows:
    """All pairs of neighboring spaces of fluid, row by row."""
    hu = ndimage.gaussian_filter(level.hu, SMOOTHING_MM / PIXEL_MM)
    tissue = hu[(hu > TISSUE_HU[0]) & (hu < TISSUE_HU[1]) & (level.blood < 0.5)]
    edge = (float(np.median(tissue)) if tissue.size else 0.0) - FLUID_BELOW_BRAIN_HU
    fluid = (hu < edge) & (hu > MIN_FLUID_HU) & (level.blood < 0.5)
    middle, reach = hu.shape[1] // 2, int(SEARCHED_MM / PIXEL_MM)
    fluid[:, : middle - reach] = fluid[:, middle + reach + 1 :] = False
    wide = ndimage.binary_opening(fluid, np.ones((1, int(MIN_HORN_MM / PIXEL_MM))))
    spaces = np.asarray(ndimage.label(wide)[0], dtype=np.int32)
    steps = np.diff(wide.astype(np.int8), axis=1, prepend=0, append=0)
    pairs = [
        (row, *pair)
        for row in np.flatnonzero((steps == 1).sum(axis=1) > 1)
        for pair in _pairs(hu[row], np.flatnonzero(steps[row] == 1), np.flatnonzero(steps[row] == -1), edge)
    ]
    rows, middles, weights, ends, begins = np.array(pairs, dtype=np.float64).reshape(-1, 5).T
    at = rows.astype(np.intp)
    beside = np.stack([spaces[at, columns.astype(np.intp)] for columns in (ends, begins)], axis=1)
    return _Rows(level, spaces, at, middles, weights, beside.astype(np.intp))


def _pairs(
    hu: NDArray[np.float32], starts: NDArray[np.intp], stops: NDArray[np.intp], edge: float
) -> list[tuple[float, float, int, int]]:
    """Neighboring spaces of a row.

    Returns:
        Of each two the middle of the wall between them in mm, the width of the narrower one in mm, and the columns
        beside the wall.
    """
    pairs = []
    for n in range(len(starts) - 1):
        end, begin = int(stops[n]) - 1, int(starts[n + 1])
        right, left = _crossing(hu, end, edge), _crossing(hu, begin - 1, edge)
        middle = ((right + left) / 2 - len(hu) // 2) * PIXEL_MM
        is_tissue = float(hu[end : begin + 1].max()) < TISSUE_HU[1]
        if (left - right) * PIXEL_MM <= MAX_WALL_MM and abs(middle) <= MAX_SHIFT_MM and is_tissue:
            pairs.append((middle, float(min(end + 1 - starts[n], stops[n + 1] - begin)) * PIXEL_MM, end, begin))
    return pairs


def _crossing(hu: NDArray[np.float32], at: int, edge: float) -> float:
    """The column between `at` and the next one where the density is that of the edge."""
    here, there = float(hu[at]), float(hu[at + 1])
    return at + (edge - here) / (there - here) if there != here else at + 0.5


def _mode(candidates: list[_Rows]) -> float:
    """The place for which most rows of all levels vote."""
    middles = np.concatenate([rows.middles for rows in candidates])
    weights = np.concatenate([rows.weights for rows in candidates])
    places = np.arange(-MAX_SHIFT_MM, MAX_SHIFT_MM + 0.25, 0.5)
    votes = np.exp(-(((places[:, None] - middles) / MODE_MM) ** 2) / 2) @ weights
    return float(places[int(votes.argmax())])
