"""Which slices a picture shows, and the part of them that holds the head."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.results import AnalysisResult

LOWEST_SHOWN, HIGHEST_SHOWN = 0.2, 0.9
"""Part of the stack from which slices are shown when few are positive: below lies the neck, above the vertex."""
HEAD_HU = -200.0
COARSE_PIXELS, MARGIN_PIXELS = 4, 8


def slices_to_show(result: AnalysisResult, count: int) -> list[int]:
    """Acquired indices, lowest slice first: the positive slices with most blood, then evenly spread others."""
    slices = result.detection.slices
    ranked = sorted(
        (one for one in slices if one.is_positive), key=lambda each: (-each.blood_ml, -each.probabilities[ANY])
    )
    indices = [result.detection.key_slice, *(one.index for one in ranked)]
    inner = np.linspace(LOWEST_SHOWN, HIGHEST_SHOWN, count) * (len(slices) - 1)
    lowest_first = sorted((one.index for one in slices), key=result.slice_number)
    indices += [lowest_first[round(float(x))] for x in inner]
    return sorted(list(dict.fromkeys(indices))[:count], key=result.slice_number)


def display_slice(acquired: NDArray[Any], view: AxialView, index: int) -> NDArray[Any]:
    """Slice `index` of the detection, anterior up and the patient's right at the left."""
    return view.apply_to_slices(acquired[index]) if view.keeps_slices else view.apply(acquired)[index]


def head_box(slices: list[NDArray[np.float32]]) -> tuple[slice, slice]:
    """Rows and columns that hold the head on all these slices, without the head rest."""
    coarse = np.max([pixels[::COARSE_PIXELS, ::COARSE_PIXELS] for pixels in slices], axis=0) > HEAD_HU
    pieces, count = ndimage.label(ndimage.binary_opening(coarse, iterations=2))
    if count == 0:
        return slice(None), slice(None)
    rows, columns = np.nonzero(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)
    return (_with_margin(rows), _with_margin(columns))


def _with_margin(coarse: NDArray[np.intp]) -> slice:
    low, high = int(coarse.min()) * COARSE_PIXELS, (int(coarse.max()) + 1) * COARSE_PIXELS
    return slice(max(0, low - MARGIN_PIXELS), high + MARGIN_PIXELS)
