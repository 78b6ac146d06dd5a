"""Losses of SMART-Net: classification, segmentation, reconstruction, and agreement between the first two.

Re-creates Kyung et al., Med Image Anal 2022 (babbu3682/SMART-Net, MIT). All losses take logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ICHSegmenterLib.methods.smart_net.networks.upstream import TASKS, Task

CONSISTENCY_WEIGHT = 0.5
"""Weight in the authors' code; the paper's weight is not known (1 or 0.5)."""
CONSISTENCY_POOL = 16
MIN_VOXELS = 1e-7
"""Keeps the Dice of two empty masks finite."""


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - Dice of all pixels of the batch together, any shape; 0 if no pixel of the batch is positive."""
    if not masks.any():
        return logits.new_zeros(())
    probabilities = logits.sigmoid()
    both = (probabilities.sum() + masks.sum()).clamp(min=MIN_VOXELS)
    return 1.0 - 2.0 * (probabilities * masks).sum() / both


def segmentation_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Dice loss and binary cross-entropy of all pixels, one to one; slices (B, 1, H, W) or volumes (B, 1, H, W, D)."""
    return dice_loss(logits, masks) + functional.binary_cross_entropy_with_logits(logits, masks)


def consistency_loss(segmentation: Tensor, classification: Tensor) -> Tensor:
    """Squared difference between the slice's probability and what its map says of it, with gradients to both.

    The map speaks by the mean over blocks of the highest probability in 16 x 16 pixels. A block of blocks covers
    256 x 256 pixels; a larger slice has several, and each is compared with the slice's probability.

    Args:
        segmentation: Logits (B, 1, H, W), at least 256 x 256.
        classification: Logits (B, 1).

    Raises:
        ValueError: The slices are smaller.
    """
    least = CONSISTENCY_POOL**2
    if min(segmentation.shape[-2:]) < least:
        raise ValueError(f"the consistency loss needs slices of {least} x {least} pixels, got {segmentation.shape}")
    highest = functional.max_pool2d(segmentation.sigmoid(), CONSISTENCY_POOL)
    pooled = functional.avg_pool2d(highest, CONSISTENCY_POOL).flatten(1)
    return (pooled - classification.sigmoid()).square().mean()


def smart_net_terms(
    outputs: Mapping[Task, Tensor], targets: Mapping[Task, Tensor], *, consistency_weight: float = CONSISTENCY_WEIGHT
) -> dict[str, Tensor]:
    """The weighted terms of a variant's loss by name; their sum is minimized.

    Args:
        outputs: Of the network's tasks: logits (B, 1) for cls and (B, 1, H, W) for seg, a slice for rec.
        targets: 0 or 1 in the shape of the outputs; for rec the slices that the network saw.
        consistency_weight: Only a network with all three tasks has this term, as in the authors' code; 0 leaves it out.
    """
    terms = {}
    if "cls" in outputs:
        terms["cls"] = functional.binary_cross_entropy_with_logits(outputs["cls"], targets["cls"])
    if "seg" in outputs:
        terms["seg"] = segmentation_loss(outputs["seg"], targets["seg"])
    if "rec" in outputs:
        terms["rec"] = functional.l1_loss(outputs["rec"], targets["rec"])
    if set(outputs) == set(TASKS) and consistency_weight:
        terms["consistency"] = consistency_weight * consistency_loss(outputs["seg"], outputs["cls"])
    return terms


def by_task(outputs: Tensor | Sequence[Tensor], tasks: Sequence[Task]) -> dict[Task, Tensor]:
    """Outputs of `SmartNetUp`, named by its tasks."""
    tensors = (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
    return dict(zip(tasks, tensors, strict=True))
