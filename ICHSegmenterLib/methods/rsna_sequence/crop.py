"""The random crop of the slice-and-sequence transformer's training: an area, a ratio of sides, a bicubic resize.

Re-creates the augmentation of Shang et al., arXiv 2205.07556 (PaddlePaddle/Research, Apache-2.0): the ratio is drawn
evenly, sides may change places, and where ten tries do not fit, the largest central square is taken.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import DependencyError
from ICHSegmenterLib.methods.rsna_sequence.input import Bytes, without_black_edge

TRIES = 10
SIDE_RATIOS = (3 / 4, 4 / 3)

Box = tuple[int, int, int, int]
"""(first row, first column, rows, columns)."""


def random_box(rows: int, columns: int, random: np.random.Generator, areas: tuple[float, float]) -> Box:
    """A box in an image; areas are shares of it, and those above 1 never fit."""
    for _ in range(TRIES):
        area = random.uniform(*areas) * rows * columns
        ratio = random.uniform(*SIDE_RATIOS)
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if random.random() < 0.5:
            width, height = height, width
        if 0 < width <= columns and 0 < height <= rows:
            top, left = int(random.integers(rows - height + 1)), int(random.integers(columns - width + 1))
            return top, left, height, width
    side = min(rows, columns)
    return (rows - side) // 2, (columns - side) // 2, side, side


def randomly_cropped(
    pixels: Bytes, side: int, random: np.random.Generator, areas: tuple[float, float]
) -> NDArray[np.uint8]:
    """One slice (rows, columns, windows) without its black edge, cropped and resized: (windows, side, side).

    Raises:
        DependencyError: OpenCV is missing.
    """
    try:
        import cv2  # only training needs it here
    except ImportError as error:
        raise DependencyError(
            "The authors' crop (augmentation.crop_rule=aspect) is resized by the Python package "
            "'opencv-python-headless', which is not installed: pip install 'ichsegmenter[torch]', or take the even one."
        ) from error
    head = without_black_edge(pixels)
    top, left, height, width = random_box(head.shape[0], head.shape[1], random, areas)
    box = np.ascontiguousarray(head[top : top + height, left : left + width])
    resized = cv2.resize(box, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(resized.reshape(side, side, -1).transpose(2, 0, 1))
