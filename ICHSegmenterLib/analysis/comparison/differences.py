"""How a result that is there already came about differently from what a request would make now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ICHSegmenterLib.cards.json.version_1 import upgraded_options
from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.errors import WeightsError
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.digests import named_digests

SHOWN_DIGITS = 8
"""Digits of a SHA-256 where people read it."""


def differences(request: AnalysisRequest, result: Mapping[str, Any]) -> list[str]:
    """How a result differs in its making, such as "option tta=false instead of true"; empty if it does not.

    Weights are compared where this computer has those of the request. Device and precision do not count.

    Args:
        request: What would be run now.
        result: The content of `result.json`.

    Raises:
        KeyError, TypeError: It is no result.
    """
    used = result["provenance"]
    before, now = _pair(used["method"], used.get("detector", "")), _pair(request.method, request.detector)
    if before != now:
        return [f"{before} instead of {now}"]
    card = store.card_of(request.method, request.weights)
    deciding = store.card_of(request.detector, request.detector_weights) if request.detector else card
    changes = _options(card, request.options, used.get("options", {}))
    if request.detector:
        changes += _options(deciding, request.detector_options, used.get("detector_options", {}))
    if card.labelmap_rule != "argmax":
        changes += _number("threshold", used["threshold"], request.threshold, card.threshold)
    changes += _number(
        "detection threshold",
        result.get("own_threshold", result["detection_threshold"]),
        request.detection_threshold,
        deciding.detection_threshold,
    )
    changes += _judgement(request, result)
    return changes + _other_weights(request, used["weights"])


def _judgement(request: AnalysisRequest, result: Mapping[str, Any]) -> list[str]:
    """Operating point and minimum volume; a result of before there were any was made otherwise, and is kept."""
    if "assessment" not in result:
        return []
    used = result["assessment"]
    point, volume_ml = used["operating_point"], used["min_volume_ml"]
    changes = _number("minimum volume", volume_ml, request.min_volume_ml, None)
    if point != request.operating_point.value:
        changes.append(f"operating point {point} instead of {request.operating_point.value}")
    return changes


def _other_weights(request: AnalysisRequest, used: Mapping[str, str]) -> list[str]:
    files: list[Path] = []
    try:
        files += store.find(store.card_of(request.method, request.weights), request.weights)
        if request.detector:
            files += store.find(store.card_of(request.detector, request.detector_weights), request.detector_weights)
    except WeightsError:  # what is done stays usable without them
        return []
    current = named_digests(files)
    same = set(used.values()) == set(current.values())
    return [] if same else [f"weights {_files(used)} instead of {_files(current)}"]


def _pair(method: str, detector: str) -> str:
    return f"{method} with detector {detector}" if detector else method


def _options(card: ModelCard, requested: Mapping[str, Any], used: Mapping[str, Any]) -> list[str]:
    """The options that differ; what is not recorded, as by an earlier version, had its default."""
    defaults, used = card.option_values, upgraded_options(used, card.wiring)
    return [
        f"option {name}={json.dumps(was)} of {card.name} instead of {json.dumps(now)}"
        for name in {**defaults, **used}
        if (was := used.get(name, defaults.get(name))) != (now := requested.get(name, defaults.get(name)))
    ]


def _number(name: str, used: float | None, requested: float | None, default: float | None) -> list[str]:
    now = default if requested is None else requested
    return [] if used == now else [f"{name} {used} instead of {now}"]


def _files(digests: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({digest[:SHOWN_DIGITS]})" for name, digest in digests.items()) or "none"
