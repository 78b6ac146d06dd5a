"""The measures of an exam: its pieces of blood, its midline, and what the literature draws attention to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.editing.location import SkullFrame
from ICHSegmenterLib.labels import IVH, SegmentLabel
from ICHSegmenterLib.measuring.criteria import Flag, flags_of
from ICHSegmenterLib.measuring.midline import Midline, NoMidline, find_septum
from ICHSegmenterLib.measuring.piece import PieceMeasures, measure_piece
from ICHSegmenterLib.volume.components import components_in_steps
from ICHSegmenterLib.volume.volume import Volume

MIN_MEASURED_ML = 0.1
"""Smaller pieces are counted in no list of a reader."""
MAX_MEASURED = 30
"""The largest so many pieces are measured; exams with more are noise or subarachnoid blood in sulci."""


@dataclass(frozen=True)
class ExamMeasures:
    """An exam in the measures of a report.

    Attributes:
        pieces: Connected pieces of blood, the largest first.
        count: Of all pieces from `MIN_MEASURED_ML` on, the measured ones and those beyond `MAX_MEASURED`.
        midline: The shift, or why there is none.
    """

    pieces: tuple[PieceMeasures, ...]
    count: int
    midline: Midline | NoMidline

    @property
    def shift_mm(self) -> float | None:
        """The midline shift, None if it was not measured."""
        return self.midline.shift_mm if isinstance(self.midline, Midline) else None

    @cached_property
    def flags(self) -> tuple[Flag, ...]:
        """The criteria of the literature that are met."""
        return flags_of(self.pieces, self.shift_mm)

    @property
    def ventricular_ml(self) -> float:
        """Blood of the segment of intraventricular hemorrhage."""
        return sum(piece.volume_ml for piece in self.pieces if piece.label == IVH.key)

    @property
    def reaches_ventricles(self) -> bool | None:
        """True if blood is in a lateral ventricle or touches one; None if that is not known."""
        if self.ventricular_ml > 0:
            return True
        touching = [piece.touches_ventricle for piece in self.pieces if piece.touches_ventricle is not None]
        return any(touching) if touching or not self.pieces else None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        known = isinstance(self.midline, Midline)
        return {
            "count": self.count,
            "pieces": [piece.to_json() for piece in self.pieces],
            "midline": self.midline.to_json() if isinstance(self.midline, Midline) else None,
            "no_midline": None if known else NoMidline(self.midline).value,
            "ventricular_ml": round(self.ventricular_ml, 4),
            "reaches_ventricles": self.reaches_ventricles,
            "flags": [flag.to_json() for flag in self.flags],
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> ExamMeasures:
        """What `to_json` wrote."""
        midline = plain["midline"]
        return cls(
            tuple(PieceMeasures.from_json(piece) for piece in plain["pieces"]),
            int(plain["count"]),
            NoMidline(plain["no_midline"]) if midline is None else Midline.from_json(midline),
        )


def measure_exam(volume: Volume, labelmap: NDArray[np.uint8], labels: Sequence[SegmentLabel]) -> ExamMeasures:
    """Measure an exam.

    Args:
        volume: HU in axial slices, as acquired.
        labelmap: uint8 (slices, rows, columns), value n is labels[n - 1].
        labels: Of the labelmap; what is no blood is not measured.
    """
    values = [value for value, label in enumerate(labels, start=1) if label.is_blood]
    blood = np.isin(labelmap, values)
    septum = find_septum(volume, blood)
    skull = SkullFrame.of(volume.hu, volume.geometry)
    ventricles = septum.ventricles if len(septum.ventricles) else None
    voxels_ml = volume.geometry.voxel_volumes_mm3 / 1000
    listed = []
    for value in values:
        for piece in _components(labelmap == value):
            volume_ml = float(piece.mask.sum(axis=(1, 2)) @ voxels_ml[piece.box[0]])
            if volume_ml >= MIN_MEASURED_ML * (1 - 1e-9):
                listed.append((volume_ml, labels[value - 1].key, piece))
    listed.sort(key=lambda entry: -entry[0])
    measured = tuple(
        measure_piece(piece, key, volume.hu, volume.geometry, skull, ventricles)
        for _, key, piece in listed[:MAX_MEASURED]
    )
    return ExamMeasures(measured, len(listed), septum.midline)


def _components(mask: NDArray[np.bool_]) -> list[Any]:
    """All pieces of a mask at once."""
    steps = components_in_steps(mask)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return list(end.value)
