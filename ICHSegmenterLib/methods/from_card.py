"""The network of a model card, filled from a weight file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.checkpoints.checkpoint import load_checkpoint
from ICHSegmenterLib.errors import WeightsCorruptError, WeightsError, WeightsMissingError
from ICHSegmenterLib.methods.unet.network import VARIANTS
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.runtime.networks import create_model


def load_network(card: ModelCard, path: Path) -> nn.Module:
    """The network, in evaluation mode; a U-Net file may be of either variant.

    Raises:
        WeightsError: The file does not fit.
    """
    return load_network_and_config(card, path)[0]


def load_network_and_config(card: ModelCard, path: Path) -> tuple[nn.Module, Mapping[str, Any]]:
    """The network and the configuration that the file turned out to be of.

    Raises:
        WeightsError: The file does not fit.
    """
    errors = []
    for config in _configs(card):
        network = _built(card, config)
        try:
            load_checkpoint(network, path)
        except (WeightsCorruptError, WeightsMissingError):
            raise
        except WeightsError as error:
            errors.append(error)
        else:
            return network, config
    raise errors[0]


def _built(card: ModelCard, config: Mapping[str, Any]) -> nn.Module:
    """The network of a card, whose configuration may be anyone's."""
    try:
        return create_model(card.network, **config)
    except (ValueError, TypeError, AssertionError, ArithmeticError, IndexError, RuntimeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise WeightsError(
            f"{card.name}: no {card.network} can be built from the network_config of its card ({reason}). Correct the "
            "card, or use one that belongs to the file.",
            Cause.CARD,
        ) from error


def _configs(card: ModelCard) -> list[Mapping[str, Any]]:
    """Configurations that a file of this method may have, the card's own first."""
    if card.network != "unet":
        return [card.network_config]
    others = [variant for variant in VARIANTS if variant != card.network_config.get("variant", VARIANTS[0])]
    return [card.network_config, *({**card.network_config, "variant": variant} for variant in others)]
