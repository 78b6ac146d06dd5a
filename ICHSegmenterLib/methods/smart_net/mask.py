"""A bleed mask as SMART-Net learns it: squashed to the network's pixels, without specks.

Re-creates the authors' label path (Kyung et al., Med Image Anal 2022; babbu3682/SMART-Net, MIT).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.preprocessing.in_plane import sampled_index
from ICHSegmenterLib.preprocessing.spec import MaskSampling

Masks = NDArray[np.bool_]
"""bool (slices, rows, columns) in axial display."""

MIN_VOXELS = 3
"""Pieces with fewer voxels are specks."""


def resized_mask(masks: Masks, size: int, sampling: MaskSampling = "center") -> Masks:
    """(slices, rows, columns) to (slices, size, size); the authors' sampling is "floor"."""
    rows, columns = (sampled_index(count, size, sampling) for count in masks.shape[1:])
    return np.asarray(masks[:, rows[:, None], columns])


def without_specks(masks: Masks) -> Masks:
    """The mask without small pieces; voxels of a volume touch at faces and edges, not at corners."""
    pieces, count = ndimage.label(masks, structure=ndimage.generate_binary_structure(3, 2))
    voxels = np.bincount(pieces.ravel(), minlength=count + 1)
    return np.asarray(masks & (voxels >= MIN_VOXELS)[pieces])
