"""Loaded methods kept warm, so that a second exam starts at once."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ICHSegmenterLib.analysis.kept_predictions import KeptPredictions
from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.json.writer import card_facts
from ICHSegmenterLib.methods.table import load_predictor
from ICHSegmenterLib.request import check_device_request
from ICHSegmenterLib.runtime.context import Predictor
from ICHSegmenterLib.runtime.device import CLASSICAL, Device, choose_device

MAX_WARM_PREDICTORS = 2
"""A Swin classifier holds 350 MB; more than two methods in turn are rare."""

Key = tuple[str, tuple[tuple[str, int], ...], str, str]


class Session:
    """Predictors by card, weights, device and precision; the least recently used one is dropped first.

    Attributes:
        predictions: What methods predicted for the last exam; None where every exam comes once.
    """

    def __init__(self, *, keeps_predictions: bool = False) -> None:
        self.predictions: KeptPredictions[Any] | None = KeptPredictions() if keeps_predictions else None
        self._predictors: OrderedDict[Key, Predictor] = OrderedDict()
        self._devices: dict[tuple[str, str], Device] = {}

    def device(self, card: ModelCard, requested: str, precision: str) -> Device:
        """The probed processor for a method; each is probed once.

        A classical method runs on the CPU whichever processor is named, but the name must be one.
        """
        if not card.needs_weights:
            check_device_request(requested, precision)
            return CLASSICAL
        if (requested, precision) not in self._devices:
            self._devices[requested, precision] = choose_device(requested, precision)
        return self._devices[requested, precision]

    def predictor(self, card: ModelCard, weights: Sequence[Path], device: Device) -> Predictor:
        """A predictor ready to run, loaded now or kept from before.

        Raises:
            WeightsCorruptError: A file does not fit the network.
        """
        files = tuple((str(path), path.stat().st_mtime_ns) for path in weights)
        key = (json.dumps(card_facts(card)), files, device.name, device.precision)
        if key not in self._predictors:
            while len(self._predictors) >= MAX_WARM_PREDICTORS:
                self._predictors.popitem(last=False)
            self._predictors[key] = load_predictor(card, weights, device=device.name, precision=device.precision)
        self._predictors.move_to_end(key)
        return self._predictors[key]

    def drop(self, predictor: Predictor) -> None:
        """Forget one predictor, freeing its memory."""
        self._predictors = OrderedDict((key, kept) for key, kept in self._predictors.items() if kept is not predictor)

    def free(self) -> None:
        """Forget all predictors and what they predicted."""
        self._predictors.clear()
        if self.predictions is not None:
            self.predictions.clear()
