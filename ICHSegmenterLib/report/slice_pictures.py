"""One slice with the true and the predicted outline, pixel by pixel, as the network sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from ICHSegmenterLib.files import replacing

TRUTH_COLOR, OUTLINE_COLOR = (53, 196, 106), (255, 75, 62)
"""Green for truth, red for the prediction, as in the pictures of an evaluation."""


def draw_slice(gray: NDArray[np.uint8], truth: NDArray[np.bool_], outlined: NDArray[np.bool_], path: Path) -> Path:
    """Write a PNG of two panels: the slice, and the slice with both outlines.

    Args:
        gray: (rows, columns) in a window.
        truth, outlined: bool of the same shape.
        path: To write.
    """
    plain = np.repeat(gray[..., None], 3, axis=-1)
    drawn = plain.copy()
    drawn[_border(outlined)] = OUTLINE_COLOR
    drawn[_border(truth)] = TRUTH_COLOR
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        Image.fromarray(np.concatenate([plain, drawn], axis=1)).save(draft, format="PNG")
    return path


def draw_reconstruction(seen: NDArray[np.float32], reconstructed: NDArray[np.float32], path: Path) -> Path:
    """Write a PNG of three panels: what the network saw, what it made of it, and how far they differ.

    Args:
        seen, reconstructed: (rows, columns) in [0, 1]; what lies beyond is shown at the ends.
        path: To write.
    """
    panels = (seen, reconstructed, np.abs(reconstructed - seen))
    gray = np.concatenate([np.rint(np.clip(panel, 0, 1) * 255).astype(np.uint8) for panel in panels], axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        Image.fromarray(gray).save(draft, format="PNG")
    return path


def _border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(mask & ~ndimage.binary_erosion(mask))
