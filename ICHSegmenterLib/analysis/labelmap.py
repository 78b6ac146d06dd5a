"""Maps to a labelmap on the acquired grid, and its volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.cards.table import LabelmapRule, ModelCard
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.results import SegmentationResult, SegmentMeasurement
from ICHSegmenterLib.volume.components import CONNECTIVITY_26
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
    geometry = volume.geometry
    labelmap = np.zeros(geometry.shape, dtype=np.uint8)
    soft = np.zeros((len(card.labels), *geometry.shape), dtype=np.float32) if keep_maps else None
    uncertainty: NDArray[np.float32] | None = None
    if keep_maps and any(one.uncertainty is not None for one in predictions):
        uncertainty = np.zeros(geometry.shape, dtype=np.float32)
    for prediction in predictions:
        if prediction.maps is None:
            continue
        if uncertainty is not None and prediction.uncertainty is not None:
            uncertainty[prediction.index] = prediction.uncertainty
        if soft is not None:
            soft[:, prediction.index] = prediction.maps
        if card.positive_slices_only and prediction.probabilities[ANY] < detection_threshold:
            continue
        labelmap[prediction.index] = _label_slice(prediction.maps, card.labelmap_rule, threshold)
    return SegmentationResult(labelmap, geometry, card.labels, soft, uncertainty)


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


def _label_slice(maps: NDArray[np.floating[Any]], rule: LabelmapRule, threshold: float | None) -> NDArray[np.uint8]:
    """(labels, rows, columns) to uint8 (rows, columns): the largest label where there is one at all."""
    best = maps.argmax(axis=0)
    if rule == "sum":
        is_labeled = maps.sum(axis=0, dtype=np.float32) >= threshold
    else:
        height = np.take_along_axis(maps, best[None], axis=0)[0]
        is_labeled = height > 1.0 - maps.sum(axis=0, dtype=np.float32) if rule == "argmax" else height >= threshold
    return np.where(is_labeled, best + 1, 0).astype(np.uint8)
