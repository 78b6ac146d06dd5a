"""Maps to a labelmap on the acquired grid, and its volumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.analysis.verdict.outline import outline_voxels
from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.results import SegmentationResult, SegmentMeasurement
from ICHSegmenterLib.volume.components import CONNECTIVITY_26
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume


def assemble(
    predictions: Sequence[SlicePrediction],
    volume: Volume,
    card: ModelCard,
    *,
    threshold: float | None,
    detection_threshold: float,
    keep_maps: bool,
) -> SegmentationResult:
    """Masks of all slices as one labelmap, by the rule of the card.

    Args:
        predictions: One a slice, in array order.
        volume: The exam.
        card: Its labels and rule.
        threshold: A voxel belongs to the label with the highest map if that map is at or above it (rule "threshold"),
            or if all maps together are (rule "sum").
        detection_threshold: Slices below it stay empty if the card says `positive_slices_only`.
        keep_maps: Also return the maps, and the uncertainty where predictions have it.
    """
    voxels = outline_voxels(
        predictions, volume.geometry, card, threshold=threshold, detection_threshold=detection_threshold
    )
    soft, uncertainty = soft_maps(predictions, volume.geometry, card) if keep_maps else (None, None)
    return SegmentationResult(voxels.labelmap(voxels.labels), volume.geometry, card.labels, soft, uncertainty)


def soft_maps(
    predictions: Sequence[SlicePrediction], geometry: VolumeGeometry, card: ModelCard
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """float32 (labels, slices, rows, columns) of the maps, and (slices, rows, columns) of their uncertainty if any."""
    soft = np.zeros((len(card.labels), *geometry.shape), dtype=np.float32)
    uncertainty: NDArray[np.float32] | None = None
    if any(one.uncertainty is not None for one in predictions):
        uncertainty = np.zeros(geometry.shape, dtype=np.float32)
    for prediction in predictions:
        if prediction.maps is None:
            continue
        soft[:, prediction.index] = prediction.maps
        if uncertainty is not None and prediction.uncertainty is not None:
            uncertainty[prediction.index] = prediction.uncertainty
    return soft, uncertainty


def blood_per_slice_ml(segmentation: SegmentationResult) -> NDArray[np.float64]:
    """(slices,) mL of blood segments on each slice, each slice with its own extent."""
    voxels = segmentation.blood_mask.sum(axis=(1, 2))
    return np.asarray(voxels * segmentation.geometry.voxel_volumes_mm3 / 1000.0, dtype=np.float64)


def measure(segmentation: SegmentationResult, volume: Volume) -> tuple[SegmentMeasurement, ...]:
    """One measurement for each segment that has voxels, in the order of the labels."""
    measurements = []
    boxes = ndimage.find_objects(segmentation.labelmap, max_label=len(segmentation.labels))
    for value, (label, box) in enumerate(zip(segmentation.labels, boxes, strict=True), start=1):
        if box is None:
            continue
        mask = segmentation.labelmap[box] == value
        voxels = mask.sum(axis=(1, 2))
        volume_mm3 = float(voxels @ segmentation.geometry.voxel_volumes_mm3[box[0]])
        measurements.append(
            SegmentMeasurement(
                key=label.key,
                name=label.name,
                is_blood=label.is_blood,
                volume_ml=volume_mm3 / 1000.0,
                mean_hu=float(volume.hu[box][mask].mean()),
                first_slice=int(box[0].start),
                last_slice=int(box[0].stop) - 1,
                components=int(ndimage.label(mask, structure=CONNECTIVITY_26)[1]),
            )
        )
    return tuple(measurements)
