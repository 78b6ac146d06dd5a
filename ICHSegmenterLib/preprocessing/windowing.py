"""HU to network channels: clip to window edges, then scale to [0, 1] as the published methods do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.preprocessing.in_plane import InPlaneGrid
from ICHSegmenterLib.preprocessing.spec import Window


def apply_windows(
    hu: NDArray[np.float32], windows: Sequence[Window], normalization: Literal["minmax", "window"] = "minmax"
) -> NDArray[np.float32]:
    """Turn slices into channels.

    Args:
        hu: float32 (slices, rows, columns), Hounsfield units.
        windows: One channel each.
        normalization: "minmax" maps the clipped values of each slice and channel from their own minimum and
            maximum to 0 and 1 and leaves a constant slice as it is; "window" maps the window edges to 0 and 1.

    Returns:
        float32 (slices, windows, rows, columns).
    """
    if hu.ndim != 3:
        raise ValueError(f"hu must be (slices, rows, columns), got shape {hu.shape}")
    channels = np.empty((hu.shape[0], len(windows), *hu.shape[1:]), dtype=np.float32)
    for channel, window in enumerate(windows):
        low, high = window.edges
        for values, out in zip(hu, channels[:, channel], strict=True):
            np.clip(values, low, high, out=out)
            least, most = (float(out.min()), float(out.max())) if normalization == "minmax" else (low, high)
            if most > least:
                out -= least
                out /= most - least
    return channels


def windowed_slices(
    hu: NDArray[np.float32],
    grid: InPlaneGrid,
    windows: Sequence[Window],
    normalization: Literal["minmax", "window"] = "minmax",
) -> NDArray[np.float32]:
    """Slices as a network sees them: windows of the acquired pixels, then resize and crop.

    One channel at a time, so that no array leaves the cache: the numbers of `apply_windows` and `InPlaneGrid.forward`
    in a third of the time.

    Args:
        hu: float32 (slices, rows, columns), Hounsfield units, of the grid's shape.
        grid: The network's pixels.
        windows, normalization: As for `apply_windows`.

    Returns:
        float32 (slices, windows, crop, crop).
    """
    result = np.empty((len(hu), len(windows), grid.crop, grid.crop), dtype=np.float32)
    for number, channels in enumerate(result):
        for window, channel in zip(windows, channels, strict=True):
            shown = apply_windows(hu[number : number + 1], (window,), normalization)
            channel[...] = grid.forward(shown)[0, 0]
    return result
