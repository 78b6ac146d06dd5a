"""U-Net of the HGI-SAM authors: outlines slice by slice, mean of the folds' probabilities, with or without subtypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.errors import WeightsMissingError
from ICHSegmenterLib.labels import ANY, SUBTYPE_LABELS
from ICHSegmenterLib.methods.from_card import load_network
from ICHSegmenterLib.methods.partial_volume import bone_like_blood
from ICHSegmenterLib.methods.slice_batches import SliceBatch, default_batch_size, predict_slices
from ICHSegmenterLib.methods.test_time_augmentation import binary_entropy, mirrored
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.runtime.device import torch_dtype

BACKGROUND = 0
"""The class without blood; the others are hemorrhage, or its five subtypes in the order of `SUBTYPE_LABELS`."""
MIN_PIXELS = 11
"""Detection rule of the paper: a slice bleeds if more than ten foreground pixels are found at the network's size."""


class UnetPredictor:
    """An ensemble of slice segmentation networks with two classes, or with six.

    Args:
        networks: float32, filled with weights; they are moved to the device and precision.
        with_subtypes: They have six classes: background and the subtypes.
        tta: Each network also sees the mirrored slices.
        suppress_bone: Bone that looks like blood is taken out, as of slices that are part brain, part vertex.
        min_pixels: A slice bleeds from so many pixels of blood, at the network's size.

    Attributes:
        inside_brain: Nothing outside the brain mask is blood.
    """

    inside_brain = True

    def __init__(
        self,
        networks: Sequence[nn.Module],
        *,
        device: str,
        precision: str,
        with_subtypes: bool = False,
        tta: bool = False,
        suppress_bone: bool = False,
        min_pixels: int = MIN_PIXELS,
    ) -> None:
        if not networks:
            raise ValueError("an ensemble needs at least one network")
        if min_pixels < 1:
            raise ValueError(f"min_pixels must be at least 1, got {min_pixels}")
        self.device, self.tta, self.suppress_bone, self.min_pixels = device, tta, suppress_bone, min_pixels
        self.precision = precision
        self.labels = SUBTYPE_LABELS if with_subtypes else (ANY,)
        self.batch_size = default_batch_size(device, precision)
        self._dtype = torch_dtype(precision)
        self._networks = [
            network.requires_grad_(False).eval().to(device=device, dtype=self._dtype) for network in networks
        ]

    @classmethod
    def load(cls, card: ModelCard, weights: Sequence[Path], *, device: str, precision: str) -> UnetPredictor:
        """The predictor of a model card; each file may be of either U-Net variant.

        Raises:
            WeightsError: no file, or a file does not fit.
        """
        if not weights:
            raise WeightsMissingError(
                f"{card.title} needs at least one weight file; download or import one.", Cause.WEIGHTS_MISSING
            )
        networks = [load_network(card, path) for path in weights]
        options = dict(card.option_values)
        inside_brain = bool(options.pop("inside_brain", True))
        predictor = cls(networks, device=device, precision=precision, with_subtypes=card.knows_subtypes, **options)
        predictor.inside_brain = inside_brain
        return predictor

    @torch.inference_mode()
    def predict(self, exam: PreparedVolume, run: RunContext) -> list[SlicePrediction]:
        """Each class of blood as a map; the slice's value is above 0.5 exactly if the paper's rule detects."""
        predictions = predict_slices(exam, run, self.batch_size, self.labels, partial(self.predict_batch, exam))
        return self._without_bone(predictions, exam) if self.suppress_bone else predictions

    @torch.inference_mode()
    def predict_batch(self, exam: PreparedVolume, indices: Sequence[int]) -> SliceBatch:
        """Values and maps of these acquired slices, at the network's pixels."""
        slices = torch.from_numpy(exam.batch(indices)).to(self.device, self._dtype)
        views = [self._blood(slices)]
        if self.tta:
            views.append(mirrored(self._blood(mirrored(slices))))
        blood = torch.stack(views).mean(dim=0)
        if self.inside_brain:  # outside the skull nothing bleeds intracranially
            blood = blood * torch.from_numpy(exam.mask_batch(indices)).to(self.device)[:, None]
        several = len(views) * len(self._networks) > 1
        uncertainty = binary_entropy(blood.sum(dim=1)).cpu().numpy() if several else None
        values = {label: value.cpu().numpy() for label, value in self._values(blood).items()}
        return SliceBatch(values, blood.cpu().numpy(), uncertainty)

    def _without_bone(self, predictions: list[SlicePrediction], exam: PreparedVolume) -> list[SlicePrediction]:
        """The same without what is bone; slices that lose something are valued again."""
        blood = np.zeros((1, *exam.volume.geometry.shape), dtype=np.float32)
        for prediction in predictions:
            if prediction.maps is not None:
                blood[0, prediction.index] = prediction.maps.sum(axis=0)
        bone = bone_like_blood(blood, exam.volume, [0])
        kept = list(predictions)
        for k, prediction in enumerate(predictions):
            if prediction.maps is None or not bone[k].any():
                continue
            maps = np.where(bone[k], 0, prediction.maps).astype(np.float32)
            seen = torch.from_numpy(exam.grid.forward(exam.view.apply_to_slices(maps)))
            values = {
                label: min(float(value), prediction.probabilities[label])
                for label, value in self._values(seen[None]).items()
            }
            kept[k] = replace(prediction, probabilities=values, maps=maps)
        return kept

    def _values(self, blood: torch.Tensor) -> dict[str, torch.Tensor]:
        """Value (B,) of each label of probabilities (B, classes of blood, H, W); that of `ANY` is of their sum."""
        label_maps = (*blood.unbind(dim=1), blood.sum(dim=1))[-len(self.labels) :]
        values = (slice_probability(maps, self.min_pixels) for maps in label_maps)
        return dict(zip(self.labels, values, strict=True))

    def _blood(self, slices: torch.Tensor) -> torch.Tensor:
        """Mean probabilities float32 (B, classes of blood, H, W) of the networks."""
        total = torch.zeros((), device=slices.device)
        for network in self._networks:
            total = total + network(slices).float().softmax(dim=1)[:, BACKGROUND + 1 :]
        return total / len(self._networks)


def slice_probability(blood: torch.Tensor, min_pixels: int = MIN_PIXELS) -> torch.Tensor:
    """Value of each slice (B,) of probabilities of blood (B, H, W).

    It is the highest probability that at least `min_pixels` pixels reach, so that thresholding it is the
    paper's rule, at any threshold.

    Raises:
        ValueError: A slice has fewer pixels.
    """
    pixels = blood.shape[1:].numel()
    if min_pixels > pixels:
        raise ValueError(f"min_pixels is {min_pixels}, but the network sees only {pixels} of a slice")
    return blood.flatten(1).topk(min_pixels, dim=1).values[:, -1]
