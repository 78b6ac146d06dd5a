"""The walk of a slice network over an exam: batches of slices with brain, and zeros for the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.protocol import Phase
from ICHSegmenterLib.runtime.context import RunContext

CPU_BATCH_SIZE = 2
"""Larger batches are no faster on a CPU, need more memory, and make cancelling slower."""
GPU_BATCH_SIZE = 16


@dataclass(frozen=True, eq=False)
class SliceBatch:
    """Output of a network for some slices.

    Attributes:
        probabilities: label to (slices,) in [0, 1]; holds "any".
        maps: (slices, labels, crop, crop) in [0, 1] at the network's pixels, None if only values were asked for.
        uncertainty: (slices, crop, crop) in [0, 1], None if nothing was averaged.
    """

    probabilities: Mapping[str, NDArray[np.floating[Any]]]
    maps: NDArray[np.floating[Any]] | None = None
    uncertainty: NDArray[np.floating[Any]] | None = None


@runtime_checkable
class SliceNetwork(Protocol):
    """A predictor that judges single slices, so that an evaluation can look at its maps at the network's own pixels."""

    batch_size: int

    def predict_batch(self, exam: PreparedVolume, indices: Sequence[int]) -> SliceBatch:
        """What it says of these acquired slices, whether they hold brain or not."""
        ...


PredictBatch = Callable[[Sequence[int]], SliceBatch]
"""From acquired slice indices to what the network says of them."""


def default_batch_size(device: str, precision: str) -> int:
    """Slices at a time; one where a CPU needs more than half a second for a slice, so that cancelling is prompt."""
    if device != "cpu":
        return GPU_BATCH_SIZE
    return CPU_BATCH_SIZE if precision == "bfloat16" else 1


def predict_slices(
    exam: PreparedVolume, run: RunContext, batch_size: int, labels: Sequence[str], predict_batch: PredictBatch
) -> list[SlicePrediction]:
    """One prediction for every acquired slice, in array order; slices without brain are not shown to the network.

    Raises:
        CancelledError: between two batches.
    """
    empty = dict.fromkeys(labels, 0.0)
    predictions = [SlicePrediction(index, empty) for index in range(exam.volume.geometry.shape[0])]
    todo = exam.brain_slices
    run.report(0, len(todo), Phase.PREDICTING)
    for start in range(0, len(todo), batch_size):
        indices = todo[start : start + batch_size]
        batch = predict_batch(indices)
        maps = None if batch.maps is None else exam.restore(batch.maps, indices)
        uncertainty = None if batch.uncertainty is None else exam.restore(batch.uncertainty, indices)
        for number, index in enumerate(indices):
            predictions[index] = SlicePrediction(
                index,
                {label: float(batch.probabilities[label][number]) for label in labels},
                None if maps is None else maps[number],
                None if uncertainty is None else uncertainty[number],
            )
        run.report(start + len(indices), len(todo), Phase.PREDICTING)
    return predictions
