"""An exam as SMART-Net sees it: one window, 256 x 256, contrast equalized slice by slice, normalized to 0 to 1.

Re-creates the deterministic data path of Kyung et al., Med Image Anal 2022 (babbu3682/SMART-Net, MIT). The authors'
arrays run to posterior, left, superior; the axial view's rows, columns and slices are the same three axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import DependencyError
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.spec import SmartNetPreprocessing, Window
from ICHSegmenterLib.volume.volume import Volume

Slices = NDArray[np.float32]
"""float32 (slices, rows, columns)."""


@dataclass(frozen=True, eq=False)
class SmartNetStack:
    """The slices that the network sees, and where they came from.

    Attributes:
        slices: float32 (kept slices, size, size) in [0, 1], from inferior to superior.
        indices: Acquired index of each.
        view: How acquired slices are turned to axial display.
        display_shape: (rows, columns) of an acquired slice on display.
    """

    slices: Slices
    indices: tuple[int, ...]
    view: AxialView
    display_shape: tuple[int, int]

    @classmethod
    def of(cls, volume: Volume, view: AxialView, preprocessing: SmartNetPreprocessing) -> SmartNetStack:
        """The stack of a volume whose acquired slices are axial.

        Raises:
            DependencyError: OpenCV is missing.
        """
        shown = windowed(view.apply(volume.hu), preprocessing.window)
        kept = shown_slices(shown) if preprocessing.drop_empty_ends else slice(0, len(shown))
        small = resized(shown[kept], (preprocessing.size, preprocessing.size))
        equal = equalized(as_bytes(small), preprocessing.clip_limit, preprocessing.tiles)
        count = len(shown)
        indices = tuple(view.acquired_index(k, count) for k in range(*kept.indices(count)))
        return cls(
            normalized(as_fractions(equal), preprocessing.normalize), indices, view, (shown.shape[1], shown.shape[2])
        )

    def restore(self, maps: NDArray[np.floating[Any]]) -> Slices:
        """Maps of the network's pixels (..., size, size) on the pixels of an acquired slice (..., rows, columns)."""
        on_display = resized(np.asarray(maps, dtype=np.float32), self.display_shape)
        return np.ascontiguousarray(self.view.undo_slices(on_display))


def windowed(hu: NDArray[np.float32], window: Window) -> Slices:
    """HU with the window's edges at 0 and 1, clipped; any shape."""
    low, high = window.edges
    return np.clip((hu - np.float32(low)) / np.float32(high - low), 0.0, 1.0, dtype=np.float32)


def shown_slices(slices: Slices) -> slice:
    """From the first to the last slice that is not empty; all slices if every one is empty."""
    shown = np.flatnonzero(slices.any(axis=(1, 2)))
    return slice(int(shown[0]), int(shown[-1]) + 1) if len(shown) else slice(0, len(slices))


def resized(slices: Slices, shape: tuple[int, int]) -> Slices:
    """(..., rows, columns) to another number of pixels, linearly, corner pixel on corner pixel.

    The pixels' centers map back exactly by the same function with the first shape.
    """
    column_low, column_share = _neighbors(slices.shape[-1], shape[1])
    row_low, row_share = _neighbors(slices.shape[-2], shape[0])
    across = _mixed(slices, column_low, column_share, axis=-1)
    return _mixed(across, row_low, row_share[:, None], axis=-2)


def as_bytes(slices: Slices) -> NDArray[np.uint8]:
    """[0, 1] to gray levels, rounded to the nearest, ties to even."""
    return np.clip(np.rint(slices * np.float32(255)), 0, 255).astype(np.uint8)


def as_fractions(slices: NDArray[np.uint8]) -> Slices:
    """Gray levels to [0, 1]."""
    return slices.astype(np.float32) / np.float32(255)


def equalized(slices: NDArray[np.uint8], clip_limit: float, tiles: int) -> NDArray[np.uint8]:
    """CLAHE of each slice (slices, rows, columns).

    Raises:
        DependencyError: OpenCV is missing.
    """
    try:
        import cv2  # only SMART-Net needs it, and the panel must load without it
    except ImportError as error:
        raise DependencyError(ErrorNotice(ErrorCode.PACKAGE_MISSING, {"package": "opencv-python-headless"})) from error
    clahe = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(tiles, tiles))
    return np.stack([clahe.apply(np.ascontiguousarray(one)) for one in slices])


def normalized(slices: Slices, over: Literal["slice", "volume"]) -> Slices:
    """Minimum to 0 and maximum to 1, of each slice or of all together; what is constant stays as it is."""
    axes = (1, 2) if over == "slice" else (0, 1, 2)
    least = slices.min(axis=axes, keepdims=True)
    width = slices.max(axis=axes, keepdims=True) - least
    flat = width == 0
    return np.where(flat, slices, (slices - least) / np.where(flat, np.float32(1), width))


def _neighbors(size: int, new_size: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The lower neighbor of each new pixel, and the share of the next one; in single precision, as torch does."""
    step = np.float32((size - 1) / (new_size - 1)) if new_size > 1 else np.float32(0)
    position = np.arange(new_size, dtype=np.float32) * step
    low = np.minimum(position.astype(np.intp), size - 1)
    return low, position - low.astype(np.float32)


def _mixed(slices: Slices, low: NDArray[np.intp], share: NDArray[np.float32], axis: int) -> Slices:
    """The two neighbors of each new pixel, added with one rounding: torch's sum, to the last bit.

    A product of single-precision numbers is exact in double precision, so no gray level differs from the authors'.
    """
    high = np.minimum(low + 1, slices.shape[axis] - 1)
    mixed = np.take(slices, low, axis).astype(np.float64)
    mixed *= 1 - share
    mixed += np.take(slices, high, axis) * share
    return mixed.astype(np.float32)
