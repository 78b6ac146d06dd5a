"""Output of a predictor: values and maps of each acquired slice. Readable without torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.labels import ANY


@dataclass(frozen=True, eq=False)
class SlicePrediction:
    """Prediction of one acquired slice.

    Attributes:
        index: Position in the acquired array, from 0.
        probabilities: Label ("any", "IPH", ...) to value in [0, 1]; always holds "any".
        maps: float (labels, rows, columns) in [0, 1] on the acquired slice, one a segment label of the card
            in its order, or None where there is nothing to outline.
        uncertainty: float (rows, columns) in [0, 1] on the acquired slice: entropy in bits of "blood or not" after the
            mean of several networks or flips; None if a single network looked once.
    """

    index: int
    probabilities: Mapping[str, float]
    maps: NDArray[np.floating[Any]] | None = None
    uncertainty: NDArray[np.floating[Any]] | None = None

    def __post_init__(self) -> None:
        if ANY not in self.probabilities:
            raise ValueError(f"slice {self.index}: probabilities must hold {ANY!r}, got {sorted(self.probabilities)}")


class ExamPredictions(list[SlicePrediction]):
    """Slice predictions of a method that judges the exam as a whole.

    Attributes:
        exam: Label to value in [0, 1], instead of the highest value of the slices.
    """

    def __init__(self, slices: Iterable[SlicePrediction], exam: Mapping[str, float]) -> None:
        super().__init__(slices)
        self.exam = exam
