"""From a predictor's name in a card to a loaded predictor. The table is literal, and nothing is imported before use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.requirement import missing_notice
from ICHSegmenterLib.errors import DependencyError
from ICHSegmenterLib.runtime.context import Predictor

_CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "blast_ct": "blast_ct.predictor:BlastCtPredictor",
        "hu_threshold": "hu_threshold.predictor:HuThresholdPredictor",
        "rsna_sequence": "rsna_sequence.predictor:RsnaSequencePredictor",
        "slab_unet": "unet.slab_predictor:SlabUnetPredictor",
        "smart_net_cls": "smart_net.volume_predictor:SmartNetClsPredictor",
        "smart_net_seg": "smart_net.volume_predictor:SmartNetSegPredictor",
        "smart_net_up": "smart_net.predictor:SmartNetUpPredictor",
        "swin_map": "swin.predictor:SwinMapPredictor",
        "unet": "unet.predictor:UnetPredictor",
    }
)
"""Predictor name, as in `cards.predictors`, to "module:Class" below `methods`."""

PREDICTOR_NAMES: tuple[str, ...] = tuple(_CLASSES)


def load_predictor(card: ModelCard, weights: Sequence[Path], *, device: str, precision: str) -> Predictor:
    """The predictor of a card, filled with weights.

    Raises:
        DependencyError: A package that the method needs is not installed; says how to install it.
        WeightsError: The files do not fit the card.
    """
    if lacking := card.missing_packages:
        raise DependencyError(missing_notice(card.title, lacking))
    module, _, name = _CLASSES[card.predictor].partition(":")
    predictor: type[Predictor] = getattr(import_module(f"ICHSegmenterLib.methods.{module}"), name)
    return predictor.load(card, weights, device=device, precision=precision)
