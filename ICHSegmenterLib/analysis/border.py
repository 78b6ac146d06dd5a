"""The way back over the border: results of axial slices on the grid that was acquired.

`AxialView.at_border` is the way in: sagittal and coronal exams are turned once, before anything looks at them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.volume import Volume


def as_acquired(result: AnalysisResult, view: AxialView, volume: Volume) -> AnalysisResult:
    """The masks of an axial view back on the acquired grid; the detection keeps speaking of axial slices.

    Args:
        result: Of `view.volume(volume)`.
        view: `AxialView.at_border` of the volume.
        volume: The exam as acquired.
    """
    if view.is_identity or result.segmentation is None:
        return result
    axial = result.segmentation
    maps = axial.soft_maps
    segmentation = replace(
        axial,
        labelmap=np.ascontiguousarray(view.undo(axial.labelmap)),
        geometry=volume.geometry,
        soft_maps=None if maps is None else np.stack([view.undo(label_map) for label_map in maps]),
        below_threshold=None
        if axial.below_threshold is None
        else np.ascontiguousarray(view.undo(axial.below_threshold)),
        uncertainty=None if axial.uncertainty is None else np.ascontiguousarray(view.undo(axial.uncertainty)),
    )
    return replace(result, segmentation=segmentation)
