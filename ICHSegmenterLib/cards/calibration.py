"""The calibration of a method: how its pieces of blood become probabilities, and where its two operating points lie."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

PIECE_FEATURES = (
    "log_volume",
    "mean_logit",
    "max_logit",
    "mean_hu",
    "contrast_hu",
    "extent",
    "log_area",
    "skull_distance",
    "midplane_distance",
    "height",
    "height_squared",
)
"""Features of a piece that `analysis.verdict.scores` computes; all in log10 mL, logits, HU / 10, cm, log10 mm2."""
EXAM_FEATURES = ("top_logit", "second_logit", "log_blood", "slice_logit")
"""Features of an exam: the two most probable pieces, the expected volume, and what a detector without pieces says."""
NO_FEATURES: Mapping[str, float] = MappingProxyType({})
NO_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType({})
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class LogisticModel:
    """A logistic regression over named features.

    Attributes:
        intercept: Logit where all features are 0.
        weights: Feature to its weight; what is not named does not count.
        ranges: Feature to the lowest and highest value seen in fitting; others are clipped to them.
    """

    intercept: float
    weights: Mapping[str, float] = field(default_factory=lambda: NO_FEATURES)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=lambda: NO_RANGES)

    def __post_init__(self) -> None:
        numbers = [self.intercept, *self.weights.values(), *(edge for pair in self.ranges.values() for edge in pair)]
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("calibration holds numbers that are not finite")
        for name in self.weights:
            if name not in (*PIECE_FEATURES, *EXAM_FEATURES):
                known = ", ".join((*PIECE_FEATURES, *EXAM_FEATURES))
                raise ValueError(f"calibration has no feature {str(name)[:60]!r}; known are {known}")

    def to_json(self) -> dict[str, Any]:
        """Plain data, rounded."""
        return {
            "intercept": round(self.intercept, 5),
            "weights": {name: round(weight, 5) for name, weight in self.weights.items()},
            "ranges": {name: [round(edge, 4) for edge in pair] for name, pair in self.ranges.items()},
        }


@dataclass(frozen=True)
class Cuts:
    """An operating point: the probabilities from which an exam is called, and a piece is drawn, 0 to 1."""

    exam: float
    piece: float

    def __post_init__(self) -> None:
        if not (0.0 <= self.exam <= 1.0 and 0.0 <= self.piece <= 1.0):
            raise ValueError(f"calibration cuts must lie between 0 and 1, got {self.exam} and {self.piece}")


@dataclass(frozen=True)
class Calibration:
    """How to read a method as a probability.

    Attributes:
        exam: Model of the exam over `EXAM_FEATURES`.
        screening, confirming: The two operating points, sensitivity first and specificity first.
        population: The exams that it was fitted on, in words; exams: how many.
        expected_error: Expected calibration error of the exam's probability in cross-validation.
        pieces: Model of a piece over `PIECE_FEATURES`; None for a method that only detects.
        low_cut: Value of the map down to which voxels belong to one piece; None: half of the map's threshold.
        sensitivity, specificity: Of the screening and of the confirming point, in cross-validation.
        weights: SHA-256 of the weight files that it was fitted with, for no others; empty if the method has none.
    """

    exam: LogisticModel
    screening: Cuts
    confirming: Cuts
    population: str
    exams: int
    expected_error: float
    pieces: LogisticModel | None = None
    low_cut: float | None = None
    sensitivity: tuple[float, float] | None = None
    specificity: tuple[float, float] | None = None
    weights: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.screening.exam > self.confirming.exam or self.screening.piece > self.confirming.piece:
            raise ValueError("calibration.screening must not lie above calibration.confirming")
        if self.low_cut is not None and not 0.0 < self.low_cut <= 1.0:
            raise ValueError(f"calibration.low_cut must lie between 0 and 1, got {self.low_cut}")
        for digest in self.weights:
            if not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
                raise ValueError(f"calibration.weights must be SHA-256 digests, got {str(digest)[:80]!r}")

    def holds_for(self, digests: Iterable[str]) -> bool:
        """True for the weights that it was fitted with, by their SHA-256; for any if it names none."""
        return not self.weights or sorted(digests) == sorted(self.weights)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the card."""
        plain: dict[str, Any] = {
            "exam": self.exam.to_json(),
            "pieces": None if self.pieces is None else self.pieces.to_json(),
            "low_cut": self.low_cut,
            "population": self.population,
            "exams": self.exams,
            "expected_error": round(self.expected_error, 5),
        }
        for key in ("screening", "confirming"):
            cuts: Cuts = getattr(self, key)
            plain[key] = {"exam": round(cuts.exam, 6), "piece": round(cuts.piece, 6)}
        for key in ("sensitivity", "specificity"):
            pair = getattr(self, key)
            plain[key] = None if pair is None else [round(value, 4) for value in pair]
        plain["weights"] = list(self.weights)
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Calibration:
        """The calibration that `to_json` wrote, read from a foreign card.

        Raises:
            ValueError, TypeError: A key is missing, unknown or of the wrong kind.
        """
        if unknown := set(plain) - set(cls.__dataclass_fields__):
            raise ValueError(f"calibration has unknown keys: {', '.join(sorted(map(str, unknown)))[:100]}")
        required = ("exam", "screening", "confirming", "population", "exams", "expected_error")
        if absent := [key for key in required if key not in plain]:
            raise ValueError(f"calibration.{', calibration.'.join(absent)} must be given")
        if type(plain["population"]) is not str or type(plain["exams"]) is not int:
            raise ValueError("calibration.population must be a text and calibration.exams a whole number")
        pieces, low_cut = plain.get("pieces"), plain.get("low_cut")
        return cls(
            exam=_model(plain["exam"], "exam"),
            screening=_cuts(plain["screening"], "screening"),
            confirming=_cuts(plain["confirming"], "confirming"),
            population=plain["population"],
            exams=plain["exams"],
            expected_error=_number(plain["expected_error"], "expected_error"),
            pieces=None if pieces is None else _model(pieces, "pieces"),
            low_cut=None if low_cut is None else _number(low_cut, "low_cut"),
            sensitivity=_pair(plain.get("sensitivity"), "sensitivity"),
            specificity=_pair(plain.get("specificity"), "specificity"),
            weights=_digests(plain.get("weights", [])),
        )


def published_calibration(method: str) -> Calibration | None:
    """The calibration of a method of the program with its published weights, None if it has none."""
    file = Path(__file__).parent / "calibrations" / f"{method}.json"
    return Calibration.from_json(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def _model(plain: Any, key: str) -> LogisticModel:
    parts = _object(plain, key, ("intercept", "weights", "ranges"))
    weights, ranges = (_object(parts.get(part, {}), f"{key}.{part}") for part in ("weights", "ranges"))
    pairs = {name: _pair(pair, f"{key}.ranges.{name}") for name, pair in ranges.items()}
    return LogisticModel(
        _number(parts.get("intercept"), f"{key}.intercept"),
        MappingProxyType({name: _number(value, f"{key}.weights.{name}") for name, value in weights.items()}),
        MappingProxyType({name: pair for name, pair in pairs.items() if pair is not None}),
    )


def _cuts(plain: Any, key: str) -> Cuts:
    parts = _object(plain, key, ("exam", "piece"))
    return Cuts(_number(parts.get("exam"), f"{key}.exam"), _number(parts.get("piece"), f"{key}.piece"))


def _pair(plain: Any, key: str) -> tuple[float, float] | None:
    if plain is None:
        return None
    if not isinstance(plain, list | tuple) or len(plain) != 2:
        raise ValueError(f"calibration.{key[:80]} must be two numbers, got {str(plain)[:60]!r}")
    return _number(plain[0], key), _number(plain[1], key)


def _digests(plain: Any) -> tuple[str, ...]:
    if not isinstance(plain, list | tuple):
        raise ValueError(f"calibration.weights must be a list, got {str(plain)[:60]!r}")
    return tuple(plain)


def _object(plain: Any, key: str, known: tuple[str, ...] | None = None) -> Mapping[str, Any]:
    if not isinstance(plain, Mapping):
        raise ValueError(f"calibration.{key} must be an object, got {str(plain)[:60]!r}")
    if known is not None and (unknown := set(plain) - set(known)):
        raise ValueError(f"calibration.{key} has unknown keys: {', '.join(sorted(map(str, unknown)))[:100]}")
    return plain


def _number(value: Any, key: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"calibration.{key[:80]} must be a number, got {str(value)[:60]!r}")
    return float(value)
