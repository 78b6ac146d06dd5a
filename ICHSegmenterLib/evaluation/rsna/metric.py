"""The weighted multi-label log loss of RSNA 2019, as the authors of arXiv 2205.07556 compute it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.labels import SUBTYPE_LABELS

IGNORED = 255
"""The label of padding slices."""
COMPETITION_WEIGHTS = (1 / 7, 1 / 7, 1 / 7, 1 / 7, 1 / 7, 2 / 7)
AUTHORS_WEIGHTS = (0.142857, 0.142857, 0.142857, 0.142857, 0.142857, 0.285714)
"""The same, rounded; they sum to 0.999999."""


@dataclass(frozen=True)
class WeightedLogLoss:
    """The loss, lower is better.

    Attributes:
        total: Weighted sum of the classes.
        by_label: Label to its weighted part.
        slices: Slices that were counted.
    """

    total: float
    by_label: Mapping[str, float]
    slices: int


def weighted_log_loss(
    logits: NDArray[np.floating[Any]],
    labels: NDArray[np.floating[Any]],
    *,
    rows: NDArray[np.integer[Any]] | None = None,
    weights: tuple[float, ...] = COMPETITION_WEIGHTS,
) -> WeightedLogLoss:
    """Mean cross entropy of each class over its slices, weighted; computed from logits, so that nothing is clipped.

    Args:
        logits: (N, 6) in RSNA's order.
        labels: (N, 6): 0, 1, or 255 where a slice does not count.
        rows: (N,) meta rows: only the first of repeated slices counts.
        weights: Weights of the six classes.

    Raises:
        ValueError: Shapes do not fit, or no slice counts.
    """
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if z.shape != y.shape or z.ndim != 2 or z.shape[1] != len(weights):
        raise ValueError(f"logits and labels must both be (slices, {len(weights)}), got {z.shape} and {y.shape}")
    if rows is not None:
        first = np.sort(np.unique(rows, return_index=True)[1])
        z, y = z[first], y[first]
    counts = y != IGNORED
    if not counts.any(axis=0).all():
        raise ValueError("a class has no labeled slice, so its loss is not defined")
    each = np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
    means = np.array([each[counts[:, n], n].mean() for n in range(len(weights))]) * np.asarray(weights)
    by_label = dict(zip(SUBTYPE_LABELS, map(float, means), strict=True))
    return WeightedLogLoss(float(means.sum()), by_label, int(counts.any(axis=1).sum()))


def logits_of(probabilities: NDArray[np.floating[Any]], *, smallest: float = 1e-15) -> NDArray[np.float64]:
    """Probabilities, clipped to [smallest, 1 - smallest] as the competition's scoring does, as logits."""
    clipped = np.clip(np.asarray(probabilities, dtype=np.float64), smallest, 1.0 - smallest)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def score_submission(
    submission: Mapping[str, float], labels: Mapping[str, Sequence[int]], *, classes: Sequence[str]
) -> WeightedLogLoss:
    """The competition's loss of a submission against labels.

    Args:
        submission: `<slice id>_<class>` to probability.
        labels: Slice id to six of 0 and 1, in the order of `classes`.
        classes: RSNA's names.

    Raises:
        VolumeError: A slice of the submission has no label, or lacks some of its six lines.
    """
    slices = list(dict.fromkeys(key.rpartition("_")[0] for key in submission))
    unknown = [name for name in slices if name not in labels]
    if unknown or not slices:
        raise VolumeError(
            f"{len(unknown)} of {len(slices)} predicted slices have no label ({', '.join(unknown[:3])}). Name the "
            "label file of the same images."
        )
    lacking = [name for name in slices if any(f"{name}_{kind}" not in submission for kind in classes)]
    if lacking:
        raise VolumeError(
            f"{lacking[0]} does not have all {len(classes)} lines; the submission is damaged. Write it anew."
        )
    values = np.array([[submission[f"{name}_{kind}"] for kind in classes] for name in slices])
    return weighted_log_loss(logits_of(values), np.array([labels[name] for name in slices], dtype=np.float64))
