"""What decides the numbers of a result, and how a result that is there already came about differently."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ICHSegmenterLib.analysis.analyze import configured
from ICHSegmenterLib.analysis.combine import check_pair
from ICHSegmenterLib.cards.json.version_1 import upgraded_options
from ICHSegmenterLib.cards.table import NO_CONFIG, ModelCard
from ICHSegmenterLib.errors import WeightsError
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.digests import named_digests

SHOWN_DIGITS = 8
"""Of a SHA-256, where people read it."""


@dataclass(frozen=True)
class Settings:
    """A method, or one that outlines and one that detects, with all that changes what they say.

    The fields are arguments of `analyze_together`.

    Attributes:
        method, weights, options, threshold, detection_threshold: As for `engine.analyze`.
        detector, detector_weights, detector_options: Of a second method that detects, empty without one.

    Raises:
        ModelNotFoundError: No such method.
        ValueError: An option or weights of no use, or two methods that cannot work together.
    """

    method: str
    weights: Sequence[Path] = ()
    options: Mapping[str, Any] = field(default_factory=lambda: NO_CONFIG)
    threshold: float | None = None
    detection_threshold: float | None = None
    detector: str = ""
    detector_weights: Sequence[Path] = ()
    detector_options: Mapping[str, Any] = field(default_factory=lambda: NO_CONFIG)

    def __post_init__(self) -> None:
        card = configured(self.method, self.options, self.weights)
        if self.detector:
            check_pair(card, configured(self.detector, self.detector_options, self.detector_weights))
        elif self.detector_weights or self.detector_options:
            raise ValueError("weights or options of a detector were given, but no detector; name it by --detector")

    def differences(self, result: Mapping[str, Any]) -> list[str]:
        """How a result differs in its making, such as "option tta=false instead of true"; empty if it does not.

        Weights are compared where this computer has those of the settings.

        Args:
            result: The content of `result.json`.

        Raises:
            KeyError, TypeError: It is no result.
        """
        used = result["provenance"]
        found, wanted = _pair(used["method"], used.get("detector", "")), _pair(self.method, self.detector)
        if found != wanted:
            return [f"{found} instead of {wanted}"]
        card = store.card_of(self.method, self.weights)
        deciding = store.card_of(self.detector, self.detector_weights) if self.detector else card
        told = _options(card, self.options, used.get("options", {}))
        if self.detector:
            told += _options(deciding, self.detector_options, used.get("detector_options", {}))
        if card.labelmap_rule != "argmax":
            told += _number("threshold", used["threshold"], self.threshold, card.threshold)
        told += _number(
            "detection threshold",
            result["detection_threshold"],
            self.detection_threshold,
            deciding.detection_threshold,
        )
        return told + self._other_weights(used["weights"])

    def _other_weights(self, found: Mapping[str, str]) -> list[str]:
        files: list[Path] = []
        try:
            files += store.find(store.card_of(self.method, self.weights), self.weights)
            if self.detector:
                files += store.find(store.card_of(self.detector, self.detector_weights), self.detector_weights)
        except WeightsError:  # what is done stays usable without them
            return []
        wanted = named_digests(files)
        same = set(found.values()) == set(wanted.values())
        return [] if same else [f"weights {_files(found)} instead of {_files(wanted)}"]


def _pair(method: str, detector: str) -> str:
    return f"{method} with detector {detector}" if detector else method


def _options(card: ModelCard, wanted: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    """The options that differ; what is not told, as by an earlier version, had its default."""
    defaults, found = card.option_values, upgraded_options(stored, card.wiring)
    return [
        f"option {name}={json.dumps(was)} of {card.name} instead of {json.dumps(now)}"
        for name in {**defaults, **found}
        if (was := found.get(name, defaults.get(name))) != (now := wanted.get(name, defaults.get(name)))
    ]


def _number(name: str, found: float | None, wanted: float | None, default: float | None) -> list[str]:
    now = default if wanted is None else wanted
    return [] if found == now else [f"{name} {found} instead of {now}"]


def _files(digests: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({digest[:SHOWN_DIGITS]})" for name, digest in digests.items()) or "none"
