"""U-Net of the HGI-SAM authors: outlines slice by slice, mean of the folds' probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from ICHSegmenterLib.errors import WeightsMissingError
from ICHSegmenterLib.inference.averaging import binary_entropy, mirrored
from ICHSegmenterLib.inference.device import torch_dtype
from ICHSegmenterLib.inference.predictors.slice_batches import SliceBatch, default_batch_size, predict_slices
from ICHSegmenterLib.inference.run import Run
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.model_cards import ModelCard
from ICHSegmenterLib.models.from_card import load_network
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.results import SlicePrediction

FOREGROUND = 1
"""The class of hemorrhage; class 0 is background."""
MAX_IGNORED_PIXELS = 10
"""Detection rule of the paper: a slice bleeds if more foreground pixels than this are found at the network's size."""


class UnetPredictor:
    """An ensemble of slice segmentation networks with two classes.

    Args:
        networks: float32, filled with weights; they are moved to the device and precision.
        tta: Each network also sees the mirrored slices.
    """

    def __init__(self, networks: Sequence[nn.Module], *, device: str, precision: str, tta: bool = False) -> None:
        if not networks:
            raise ValueError("an ensemble needs at least one network")
        self.device, self.tta = device, tta
        self.precision = precision
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
            raise WeightsMissingError(f"{card.title} needs at least one weight file; download or import one.")
        networks = [load_network(card, path) for path in weights]
        return cls(networks, device=device, precision=precision, **card.predictor_config)

    @torch.inference_mode()
    def predict(self, exam: PreparedVolume, run: Run) -> list[SlicePrediction]:
        """The foreground probability as map; the slice's value is above 0.5 exactly if the paper's rule detects."""

        def predict_batch(indices: Sequence[int]) -> SliceBatch:
            slices = torch.from_numpy(exam.batch(indices)).to(self.device, self._dtype)
            views = [self._foreground(slices)]
            if self.tta:
                views.append(mirrored(self._foreground(mirrored(slices))))
            brain = torch.from_numpy(exam.mask_batch(indices)).to(self.device)
            foreground = torch.stack(views).mean(dim=0) * brain  # outside the skull nothing bleeds intracranially
            doubt = binary_entropy(foreground).cpu().numpy() if len(views) * len(self._networks) > 1 else None
            values = {ANY: slice_probability(foreground).cpu().numpy()}
            return SliceBatch(values, foreground[:, None].cpu().numpy(), doubt)

        return predict_slices(exam, run, self.batch_size, (ANY,), predict_batch)

    def _foreground(self, slices: torch.Tensor) -> torch.Tensor:
        """Mean foreground probability float32 (B, H, W) of the networks."""
        total = torch.zeros((), device=slices.device)
        for network in self._networks:
            total = total + network(slices).float().softmax(dim=1)[:, FOREGROUND]
        return total / len(self._networks)


def slice_probability(foreground: torch.Tensor) -> torch.Tensor:
    """Value of each slice (B,) of foreground probabilities (B, H, W).

    It is the highest probability that more than `MAX_IGNORED_PIXELS` pixels reach, so that thresholding it is the
    paper's rule, at any threshold.
    """
    return foreground.flatten(1).topk(MAX_IGNORED_PIXELS + 1, dim=1).values[:, -1]
