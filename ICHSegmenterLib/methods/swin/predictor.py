"""HGI-SAM, Swin-SAM and Swin-GradCAM: detection by a Swin slice classifier, outlines from its attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.errors import WeightsError
from ICHSegmenterLib.labels import ANY, SUBTYPE_LABELS
from ICHSegmenterLib.methods.from_card import load_network
from ICHSegmenterLib.methods.packed_linear import pack_linear_layers
from ICHSegmenterLib.methods.slice_batches import SliceBatch, default_batch_size, predict_slices
from ICHSegmenterLib.methods.swin.attention_maps import HEMORRHAGE_CLASS, AttentionMapper
from ICHSegmenterLib.methods.swin.network import SwinClassifier
from ICHSegmenterLib.methods.test_time_augmentation import mirrored
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.protocol import Phase
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.runtime.device import torch_dtype

MapKind = Literal["hgi-sam", "swin-sam", "grad-cam"]


class SwinMapPredictor:
    """One classifier and one kind of map.

    Args:
        network: float32, filled with weights; it is moved to the device and precision, its gradients are turned off.
        map_kind: "hgi-sam" and "grad-cam" need two classes, "swin-sam" takes one, two or six.
        tta: It also sees the mirrored slices; probabilities and maps are averaged.
        inside_brain: Maps are zero outside the brain mask.
    """

    def __init__(
        self,
        network: SwinClassifier,
        *,
        map_kind: MapKind,
        device: str,
        precision: str,
        tta: bool = False,
        inside_brain: bool = True,
    ) -> None:
        self.device, self.tta, self.inside_brain = device, tta, inside_brain
        self.precision = precision
        self.batch_size = default_batch_size(device, precision)
        self.labels = SUBTYPE_LABELS if network.head.out_features == len(SUBTYPE_LABELS) else (ANY,)
        network = network.requires_grad_(False).eval().to(device=device, dtype=torch_dtype(precision))
        pack_linear_layers(network.swin)
        mapper = AttentionMapper(network)
        self._logits = mapper.logits
        self._maps = {"hgi-sam": mapper.hgi_sam, "swin-sam": mapper.swin_sam, "grad-cam": mapper.grad_cam}[map_kind]

    @classmethod
    def load(cls, card: ModelCard, weights: Sequence[Path], *, device: str, precision: str) -> SwinMapPredictor:
        """The predictor of a model card.

        Raises:
            WeightsError: not one file, or the file does not fit the network.
        """
        if len(weights) != 1:
            raise WeightsError(
                f"{card.title} uses one weight file, but {len(weights)} were given; name one.", Cause.UNWANTED_WEIGHTS
            )
        network = cast(SwinClassifier, load_network(card, weights[0]))
        kind = cast(MapKind, card.wiring["map_kind"])
        return cls(network, map_kind=kind, device=device, precision=precision, **card.option_values)

    def predict(self, exam: PreparedVolume, run: RunContext) -> list[SlicePrediction]:
        """Probabilities and one map for each slice with brain."""
        return predict_slices(exam, run, self.batch_size, self.labels, partial(self.predict_batch, exam))

    def predict_batch(self, exam: PreparedVolume, indices: Sequence[int]) -> SliceBatch:
        """Probabilities and maps of these acquired slices, at the network's pixels."""
        slices = torch.from_numpy(exam.batch(indices)).to(self.device)
        brain = torch.from_numpy(exam.mask_batch(indices)).to(self.device)
        brain = brain if self.inside_brain else torch.ones_like(brain)
        logits, maps = self._maps(slices, brain)
        views = [logits]
        if self.tta:
            logits, mirrored_maps = self._maps(mirrored(slices), mirrored(brain))
            views.append(logits)
            maps = (maps + mirrored(mirrored_maps)) / 2
        return SliceBatch(_mean_probabilities(views), maps[:, None].cpu().numpy())

    def detect(self, exam: PreparedVolume, run: RunContext) -> list[SlicePrediction]:
        """The same probabilities without maps; the attention matrices are never made, nor a gradient."""

        def detect_batch(indices: Sequence[int]) -> SliceBatch:
            slices = torch.from_numpy(exam.batch(indices)).to(self.device)
            views = [slices, mirrored(slices)] if self.tta else [slices]
            return SliceBatch(_mean_probabilities([self._logits(view) for view in views]))

        return predict_slices(exam, run, self.batch_size, self.labels, detect_batch)

    def predict_above(self, exam: PreparedVolume, run: RunContext, threshold: float) -> list[SlicePrediction]:
        """The probabilities of `detect`, and maps of the slices at or above a threshold."""
        predictions = self.detect(exam, run)
        positive = [each.index for each in predictions if each.probabilities[ANY] >= threshold]
        for start in range(0, len(positive), self.batch_size):
            indices = positive[start : start + self.batch_size]
            maps = self.predict_batch(exam, indices).maps
            if maps is not None:
                for index, restored in zip(indices, exam.restore(maps, indices), strict=True):
                    predictions[index] = replace(predictions[index], maps=restored)
            run.report(start + len(indices), len(positive), Phase.PREDICTING)
        return predictions


def _mean_probabilities(views: Sequence[torch.Tensor]) -> Mapping[str, NDArray[np.float32]]:
    """Label to mean probabilities (B,) of the logits (B, classes) of several views of the same slices."""
    each = [probabilities_of(logits) for logits in views]
    return {label: np.mean([values[label] for values in each], axis=0) for label in each[0]}


def probabilities_of(logits: torch.Tensor) -> Mapping[str, NDArray[np.float32]]:
    """Label to probabilities (B,) of logits (B, 1, 2 or 6): sigmoid, softmax of two classes, sigmoid of each."""
    classes = logits.shape[1]
    if classes == 2:
        return {ANY: logits.softmax(dim=1)[:, HEMORRHAGE_CLASS].cpu().numpy()}
    labels = {1: (ANY,), len(SUBTYPE_LABELS): SUBTYPE_LABELS}.get(classes)
    if labels is None:
        raise ValueError(f"classifiers have 1, 2 or {len(SUBTYPE_LABELS)} classes, this one has {classes}")
    return dict(zip(labels, logits.sigmoid().T.cpu().numpy(), strict=True))
