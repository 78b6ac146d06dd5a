"""The detection of an exam: is there blood, on which slices, of which type. Plain data, readable without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ICHSegmenterLib.labels import ANY


@dataclass(frozen=True)
class SliceDetection:
    """Detection on one slice.

    Attributes:
        index: Position in the acquired array, from 0.
        position_mm: Along the slice normal.
        probabilities: Label to value in [0, 1]: of the likeliest piece of blood there, or of a method that only detects
            its own value, calibrated if it is.
        is_positive: Blood is drawn on it, or "any" of a method that values slices reaches the threshold.
        blood_ml: Blood segmented on this slice, 0 without segmentation.
        own_probabilities: What the network itself says of the slice, by its published rule; empty if that is the same.
    """

    index: int
    position_mm: float
    probabilities: Mapping[str, float]
    is_positive: bool
    blood_ml: float = 0.0
    own_probabilities: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data, rounded."""
        own = {"own_probabilities": _rounded(self.own_probabilities)} if self.own_probabilities else {}
        return {
            "index": self.index,
            "position_mm": round(self.position_mm, 4),
            "probabilities": _rounded(self.probabilities),
            "positive": self.is_positive,
            "blood_ml": round(self.blood_ml, 4),
            **own,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> SliceDetection:
        """The slice that `to_json` wrote."""
        return cls(
            plain["index"],
            plain["position_mm"],
            plain["probabilities"],
            plain["positive"],
            plain.get("blood_ml", 0.0),
            plain.get("own_probabilities", {}),
        )

    @property
    def own(self) -> Mapping[str, float]:
        """The network's own values."""
        return self.own_probabilities or self.probabilities


@dataclass(frozen=True)
class DetectionResult:
    """Is there blood, on which slices, of which type.

    Attributes:
        slices: One entry for every acquired slice, in array order.
        exam_probabilities: Label to value in [0, 1] for the exam.
        threshold: "any" of the exam at or above it is positive.
        key_slice: Index of the slice to look at first.
        slice_threshold: "any" of a slice at or above it is positive; None: the same as of the exam.
        own_threshold: The same of the slices' own values; None: the same.
        called_positive: The exam is positive; None: if its value reaches the threshold.
    """

    slices: tuple[SliceDetection, ...]
    exam_probabilities: Mapping[str, float]
    threshold: float
    key_slice: int
    slice_threshold: float | None = None
    own_threshold: float | None = None
    called_positive: bool | None = None

    @property
    def is_positive(self) -> bool:
        """True unless no hemorrhage was found in the exam."""
        if self.called_positive is not None:
            return self.called_positive
        return self.exam_probabilities[ANY] >= self.threshold

    @property
    def positive_slices(self) -> tuple[int, ...]:
        """Indices of slices with hemorrhage."""
        return tuple(one.index for one in self.slices if one.is_positive)

    def to_json(self) -> dict[str, Any]:
        """Plain data of the exam, rounded; of the slices each has its own."""
        return {
            "positive": self.is_positive,
            "probabilities": _rounded(self.exam_probabilities),
            "detection_threshold": self.threshold,
            "slice_threshold": self.slice_threshold,
            "own_threshold": self.own_threshold,
            "key_slice": self.key_slice,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> DetectionResult:
        """The detection that `to_json` wrote, with its "slices"; what is positive is read, not computed again."""
        return cls(
            tuple(SliceDetection.from_json(one) for one in plain["slices"]),
            plain["probabilities"],
            plain["detection_threshold"],
            plain["key_slice"],
            plain.get("slice_threshold"),
            plain.get("own_threshold"),
            bool(plain["positive"]),
        )


def key_slice_of(slices: Sequence[SliceDetection]) -> int:
    """Index of the slice to look at first.

    It is the positive slice with most blood, which counts by the slice's "any": much that is doubtful stands behind
    less that is sure. Without segmentation, or without a positive slice, it is the one with the highest "any"; of equal
    ones the first.
    """

    def importance(one: SliceDetection) -> tuple[bool, float, float]:
        any_value = one.probabilities[ANY]
        return one.is_positive, one.blood_ml * any_value, any_value

    return max(slices, key=importance).index


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {key: round(float(value), 6) for key, value in values.items()}
