"""The published formulas of the losses in double precision, for the tests of training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EPS = float(np.finfo(np.float32).eps)
TOLERANCE = 64 * EPS
"""Relative: losses are means of numbers after a handful of rounded operations each, summed pairwise or in hundreds."""
UNKNOWN = -1
"""A label that is not known."""


def logits_of(*shape: int, seed: int = 0, spread: float = 2.0) -> Array:
    """Random logits, exact in single precision, of easy and of hard samples."""
    return np.random.default_rng(seed).normal(0, spread, shape).astype(np.float32).astype(np.float64)


def slope(loss: Callable[[Array], float], logits: Array, step: float = 1e-5) -> Array:
    """Central differences of a loss in double precision."""
    gradient = np.zeros_like(logits)
    for index in np.ndindex(logits.shape):
        moved = np.zeros_like(logits)
        moved[index] = step
        gradient[index] = (loss(logits + moved) - loss(logits - moved)) / (2 * step)
    return gradient


def log_probabilities(logits: Array) -> Array:
    """Of the classes along axis 1."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def cross_entropy(logits: Array, classes: NDArray[np.int64], weights: Array) -> float:
    """Mean over slices or pixels, each with the weight of its true class."""
    costs = -np.take_along_axis(log_probabilities(logits), classes[:, None], axis=1)[:, 0]
    return float((costs * weights[classes]).sum() / weights[classes].sum())


def binary_entropy(logits: Array, truth: NDArray[np.int64]) -> Array:
    """-log of the probability of what is true."""
    return np.asarray(np.logaddexp(0.0, np.where(truth == 1, -logits, logits)))


def focal(logits: Array, truth: NDArray[np.int64]) -> float:
    """Mean of -(1 - p)^2 log p, with p of what is true, and without weights of the classes."""
    probability = 1 / (1 + np.exp(np.where(truth == 1, -logits, logits)))
    return float(np.mean(-((1 - probability) ** 2) * np.log(probability)))


def dice_loss(probabilities: Array, truth: Array, axes: tuple[int, ...], smooth: float = 1e-5) -> float:
    """1 - Dice, mean over what `axes` leave; MONAI's smoothing keeps it finite without blood."""
    both, sizes = (probabilities * truth).sum(axis=axes), (probabilities + truth).sum(axis=axes)
    return float(np.mean(1 - (2 * both + smooth) / (sizes + smooth)))


def log_loss(logits: Array, labels: NDArray[np.int64]) -> float:
    """Known labels only, "any" twice; divided by their number plus 1e-5, not by the sum of weights."""
    known = labels != UNKNOWN
    weights = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 2.0])
    return float((binary_entropy(logits, labels) * weights * known).sum() / (known.sum() + 1e-5))
