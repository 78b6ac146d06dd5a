"""U-Net of the HGI-SAM authors: outlines slice by slice, mean of the folds' probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from ICHSegmenterLib.errors import WeightsCorruptError, WeightsError, WeightsMissingError
from ICHSegmenterLib.inference.device import torch_dtype
from ICHSegmenterLib.inference.predictors.slice_batches import SliceBatch, default_batch_size, predict_slices
from ICHSegmenterLib.inference.run import Run
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.model_cards import ModelCard
from ICHSegmenterLib.models import create_model, load_checkpoint
from ICHSegmenterLib.models.unet import VARIANTS
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
    """

    def __init__(self, networks: Sequence[nn.Module], *, device: str, precision: str) -> None:
        if not networks:
            raise ValueError("an ensemble needs at least one network")
        self.device = device
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
        return cls([_load_fold(card, path) for path in weights], device=device, precision=precision)

    @torch.inference_mode()
    def predict(self, exam: PreparedVolume, run: Run) -> list[SlicePrediction]:
        """The foreground probability as map; the slice's value is above 0.5 exactly if the paper's rule detects."""

        def predict_batch(indices: Sequence[int]) -> SliceBatch:
            slices = torch.from_numpy(exam.batch(indices)).to(self.device, self._dtype)
            foreground = self._foreground(slices)
            return SliceBatch({ANY: slice_probability(foreground).cpu().numpy()}, foreground[:, None].cpu().numpy())

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


def _load_fold(card: ModelCard, path: Path) -> nn.Module:
    """A network of the card's variant, or of the other one if the file was saved from that."""
    if card.network != "unet":
        network = create_model(card.network, **card.network_config)
        load_checkpoint(network, path)
        return network
    errors = []
    for variant in sorted(VARIANTS, key=lambda variant: variant != card.network_config["variant"]):
        network = create_model("unet", variant=variant)
        try:
            load_checkpoint(network, path)
        except (WeightsCorruptError, WeightsMissingError):
            raise
        except WeightsError as error:
            errors.append(error)
        else:
            return network
    raise errors[0]
