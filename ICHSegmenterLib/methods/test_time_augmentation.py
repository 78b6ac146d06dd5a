"""Several looks at one slice: the mirror image of test-time augmentation, and how open their mean leaves it."""

from __future__ import annotations

import math

import torch


def mirrored(slices: torch.Tensor) -> torch.Tensor:
    """(..., rows, columns) with left and right exchanged; its own inverse.

    Hemorrhage is as likely on either side, so a network may be asked about both images and the mean be taken.
    """
    return slices.flip(-1)


def binary_entropy(probability: torch.Tensor) -> torch.Tensor:
    """Entropy in bits of "blood or not", same shape: 0 where the probability is 0 or 1, 1 where it is 0.5."""
    probability = probability.clamp(0.0, 1.0)  # a mean of softmax values may pass 1 by rounding
    other = 1.0 - probability
    nats = -(torch.special.xlogy(probability, probability) + torch.special.xlogy(other, other))
    return nats / math.log(2.0)
