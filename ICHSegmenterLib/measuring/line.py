"""A measured line between two points of the patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

DECIMALS = 4
"""Of a millimeter, as files keep them: what is computed from a line is the same before and after."""


@dataclass(frozen=True)
class Line:
    """A line that can be drawn.

    Attributes:
        start, end: (x, y, z), LPS mm.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]

    @classmethod
    def between(cls, start: ArrayLike, end: ArrayLike) -> Line:
        """The line between two points (3,), LPS mm, to a tenth of a micrometer."""
        return cls(kept_point(start), kept_point(end))

    @property
    def length_mm(self) -> float:
        """Its length."""
        return float(np.linalg.norm(np.subtract(self.end, self.start)))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"start_lps_mm": list(self.start), "end_lps_mm": list(self.end)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Line:
        """The line that `to_json` wrote."""
        return cls.between(plain["start_lps_mm"], plain["end_lps_mm"])


def kept_point(values: ArrayLike) -> tuple[float, float, float]:
    """A point (3,), LPS mm, to the digits that are kept."""
    x, y, z = np.round(np.asarray(values, dtype=np.float64), DECIMALS).tolist()
    return x, y, z
