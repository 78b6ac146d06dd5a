"""BLAST-CT: traumatic brain lesions in four classes, on a regular 1 mm grid, back on the acquired slices.

Monteiro et al., Lancet Digital Health 2020, doi:10.1016/S2589-7500(20)30085-6; original
https://github.com/biomedia-mira/blast_ct (Apache-2.0). Written anew.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.labels import ANY, SegmentLabel
from ICHSegmenterLib.methods.blast_ct.dense_tiling import DenseDeepMedic, predict_probabilities, tile_steps_for
from ICHSegmenterLib.methods.blast_ct.network import DeepMedic
from ICHSegmenterLib.methods.from_card import load_network
from ICHSegmenterLib.methods.partial_volume import bone_like_blood
from ICHSegmenterLib.methods.test_time_augmentation import binary_entropy
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.preprocessing.resample import from_regular, labelmap_to_regular, regular_grid, to_regular
from ICHSegmenterLib.preprocessing.spec import VolumePreprocessing
from ICHSegmenterLib.protocol import Phase
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.runtime.device import torch_dtype

CONTEXT_MM = 45.0
"""Reach of the network around a voxel: half of the coarsest path's 85 voxels, and its phase."""

EDGE_VOXELS = 2
"""Grid voxels computed around the brain, so that linear interpolation at its edge has all neighbors."""

DETECTION_AREA_MM2 = 50.0
"""A slice is as suspicious as the least suspicious part of its most suspicious 50 mm2: a spot of 8 mm.

One noisy voxel does not raise it, and it does not depend on the thickness of the slice.
"""

logger = logging.getLogger(__name__)

Voxel = TypeVar("Voxel", bound=np.generic)


class BlastCtPredictor:
    """One to twelve networks, averaged by probability.

    Attributes:
        device, precision: What it runs on.
        batch_size: Edge of a tile in steps of 30 voxels.
        tta: Each network also sees the head with left and right exchanged; no class of its training has a side.
    """

    def __init__(
        self,
        models: Sequence[DenseDeepMedic],
        labels: Sequence[SegmentLabel],
        preprocessing: VolumePreprocessing,
        *,
        device: str,
        precision: str,
        tta: bool = False,
    ) -> None:
        self.device, self.precision, self.tta = device, precision, tta
        self.batch_size = tile_steps_for(bytes_per_value=4 if precision == "float32" else 2)
        self._models, self._labels, self._preprocessing = tuple(models), tuple(labels), preprocessing
        self._blood = [n for n, label in enumerate(self._labels) if label.is_blood]

    @classmethod
    def load(cls, card: ModelCard, weights: Sequence[Path], *, device: str, precision: str) -> BlastCtPredictor:
        """One network for each weight file."""
        if not isinstance(card.preprocessing, VolumePreprocessing):
            raise ValueError(f"the card {card.name!r} does not say how to make a regular grid")
        models = []
        for path in weights:
            network = load_network(card, path)
            if not isinstance(network, DeepMedic):
                raise ValueError(f"the card {card.name!r} names {card.network!r}, which is not a DeepMedic")
            models.append(DenseDeepMedic.prepare(network, device=device, dtype=torch_dtype(precision)))
        return cls(models, card.labels, card.preprocessing, device=device, precision=precision, **card.option_values)

    def predict(self, exam: PreparedVolume, run: RunContext) -> list[SlicePrediction]:
        """Maps are (IPH, extra-axial, edema, IVH) probabilities inside the brain mask, without what is bone.

        "any" comes from blood alone.
        """
        geometry = exam.volume.geometry
        if not exam.brain_slices:
            return [self._nothing(k) for k in range(geometry.shape[0])]
        run.report(0, 1, Phase.RESAMPLING)
        grid = regular_grid(geometry, self._preprocessing.spacing_mm, mask=exam.brain_mask, margin_mm=CONTEXT_MM)
        image = network_input(to_regular(exam.volume, grid), self._preprocessing.hu_range)
        run.check()
        near_brain = grown(labelmap_to_regular(exam.brain_mask, geometry, grid), EDGE_VOXELS)
        logger.info(
            "BLAST-CT: %d networks on %s voxels, %d of them brain",
            len(self._models),
            grid.shape,
            np.count_nonzero(near_brain),
        )
        probabilities = self._probabilities(image, near_brain, run)
        maps = from_regular(probabilities[1:], grid, geometry, where=exam.brain_mask)
        run.check()
        bone = bone_like_blood(maps, exam.volume, self._blood)
        for n in self._blood:
            maps[n][bone] = 0
        return [self._slice(k, maps[:, k], exam) for k in range(geometry.shape[0])]

    def _probabilities(
        self, image: NDArray[np.float32], mask: NDArray[np.bool_], run: RunContext
    ) -> NDArray[np.float16]:
        """float16 (classes, z, y, x): the mean over the networks, and over both views if it is asked for."""

        def look(image: NDArray[np.float32], mask: NDArray[np.bool_], run: RunContext) -> NDArray[np.float16]:
            return predict_probabilities(image, self._models, mask=mask, tile_steps=self.batch_size, run=run)

        if not self.tta:
            return look(image, mask, run)
        mean = look(image, mask, _of_two(run, 0))
        mean += _mirrored(look(_mirrored(image), _mirrored(mask), _of_two(run, 1)))
        mean *= 0.5
        return mean

    def _slice(self, index: int, maps: NDArray[np.float32], exam: PreparedVolume) -> SlicePrediction:
        if index not in exam.brain_slices:
            return self._nothing(index)
        geometry = exam.volume.geometry
        pixel_mm2 = float(np.linalg.norm(np.cross(geometry.column_step, geometry.row_step)))
        uncertainty = None
        if self.tta or len(self._models) > 1:
            uncertainty = binary_entropy(torch.from_numpy(maps[self._blood].sum(axis=0))).numpy()
        return SlicePrediction(index, slice_probabilities(maps, self._labels, pixel_mm2), maps, uncertainty)

    def _nothing(self, index: int) -> SlicePrediction:
        keys = (ANY, *(label.key for label in self._labels if label.is_blood))
        return SlicePrediction(index, dict.fromkeys(keys, 0.0))


def _mirrored(array: NDArray[Voxel]) -> NDArray[Voxel]:
    """(..., z, y, x) of a grid along the patient's axes with left and right exchanged."""
    return np.ascontiguousarray(array[..., ::-1])


def _of_two(run: RunContext, view: int) -> RunContext:
    """A run of the first (0) or second (1) view that reports how far both are."""
    return RunContext(lambda done, total, stage: run.report(view * total + done, 2 * total, stage.phase), run.cancelled)


def grown(mask: NDArray[np.bool_], voxels: int) -> NDArray[np.bool_]:
    """The mask (z, y, x) and what lies within so many steps of it; only its bounding box is looked at."""
    boxes = ndimage.find_objects(mask.view(np.uint8))
    if not boxes:
        return mask
    around = tuple(slice(max(0, axis.start - voxels), axis.stop + voxels) for axis in boxes[0])
    result = mask.copy()
    inner = result[around]
    for _ in range(voxels):  # along one axis after the other, each from the state before the step
        before = inner.copy()
        for axis in range(inner.ndim):
            grows, is_from = np.moveaxis(inner, axis, 0), np.moveaxis(before, axis, 0)
            grows[1:] |= is_from[:-1]
            grows[:-1] |= is_from[1:]
    return result


def network_input(hu: NDArray[np.float32], hu_range: tuple[float, float]) -> NDArray[np.float32]:
    """HU clipped to the range and mapped linearly to -1..1, same shape."""
    low, high = hu_range
    scaled = np.clip(hu, low, high)
    scaled -= low
    scaled *= 2.0 / (high - low)
    scaled -= 1.0
    return scaled


def slice_probabilities(
    maps: NDArray[np.floating[Any]],
    labels: Sequence[SegmentLabel],
    pixel_mm2: float,
) -> Mapping[str, float]:
    """Value of a slice for each blood class, and for blood of any class (edema never counts).

    The value is the probability that is reached on `DETECTION_AREA_MM2` of the slice: the highest p such that so much
    area has at least p. For "any" the probabilities of the blood classes are added in each pixel first.

    Args:
        maps: (labels, rows, columns).
        labels: Of the maps.
        pixel_mm2: Area of a pixel.
    """
    pixels = max(1, round(DETECTION_AREA_MM2 / pixel_mm2))
    blood = [n for n, label in enumerate(labels) if label.is_blood]
    values = {ANY: _reached_on(maps[blood].sum(axis=0), pixels)}
    values.update((labels[n].key, _reached_on(maps[n], pixels)) for n in blood)
    return values


def _reached_on(values: NDArray[np.floating[Any]], pixels: int) -> float:
    """The value of the pixel that comes n-th when sorted from the highest."""
    flat = values.ravel()
    if pixels > len(flat):
        return 0.0
    return float(np.clip(np.partition(flat, len(flat) - pixels)[len(flat) - pixels], 0.0, 1.0))
