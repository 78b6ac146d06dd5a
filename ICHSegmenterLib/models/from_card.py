"""The network of a model card, filled from a weight file."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ICHSegmenterLib.errors import WeightsCorruptError, WeightsError, WeightsMissingError
from ICHSegmenterLib.model_cards import ModelCard
from ICHSegmenterLib.models.checkpoint import load_checkpoint
from ICHSegmenterLib.models.factory import create_model
from ICHSegmenterLib.models.unet import VARIANTS


def load_network(card: ModelCard, path: Path) -> nn.Module:
    """The network, in evaluation mode; a U-Net file may be of either variant.

    Raises:
        WeightsError: The file does not fit.
    """
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
