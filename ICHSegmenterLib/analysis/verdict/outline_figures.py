"""All outlined blood of an exam in the numbers that say whether it can be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.plausibility import OutlineFigures
from ICHSegmenterLib.preprocessing.blocks import dilate_in_plane
from ICHSegmenterLib.results import SegmentationResult
from ICHSegmenterLib.volume.components import CONNECTIVITY_26
from ICHSegmenterLib.volume.volume import Volume

TOUCHING_MM = 2.0


def outline_figures(
    segmentation: SegmentationResult, volume: Volume, brain_mask: NDArray[np.bool_]
) -> OutlineFigures | None:
    """The figures of an outline, None without blood.

    Args:
        segmentation: On the grid of the volume.
        volume: As acquired.
        brain_mask: bool (slices, rows, columns), the inside of the skull.
    """
    blood = segmentation.blood_mask
    if not blood.any():
        return None
    voxels_ml = volume.geometry.voxel_volumes_mm3 / 1000
    blood_ml = float(blood.sum(axis=(1, 2)) @ voxels_ml)
    brain_ml = float(brain_mask.sum(axis=(1, 2)) @ voxels_ml)
    used = np.flatnonzero(blood.any(axis=(1, 2)))
    first = used[0]
    radius = max(1, round(TOUCHING_MM / volume.geometry.pixel_spacing_mm[0]))
    rows, columns = _around(blood, (0, 2), radius), _around(blood, (0, 1), radius)
    pieces, count = ndimage.label(blood[first : used[-1] + 1, rows, columns], CONNECTIVITY_26)
    at_skull = dilate_in_plane(~brain_mask[used, rows, columns], radius)
    touching = np.unique(pieces[used - first][at_skull & blood[used, rows, columns]])
    sums = np.zeros(len(blood))
    sums[used] = (volume.hu[used] * blood[used]).sum(axis=(1, 2), dtype=np.float64)
    mean_hu = float((sums @ voxels_ml) / blood_ml)
    return OutlineFigures(blood_ml, blood_ml / max(brain_ml, 1e-3), int(count), len(touching) / count, mean_hu)


def _around(blood: NDArray[np.bool_], axes: tuple[int, int], margin: int) -> slice:
    """Of the axis that is left, from the first to the last place with blood, and so many more to each side."""
    places = np.flatnonzero(blood.any(axis=axes))
    return slice(max(0, int(places[0]) - margin), int(places[-1]) + 1 + margin)
