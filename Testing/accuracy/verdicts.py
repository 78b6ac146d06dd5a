"""What is read of a result for the page: value and verdict of the exam, and whether contrast medium was warned of."""

from __future__ import annotations

from enum import Enum

from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.results import AnalysisResult


class Verdict(str, Enum):
    """What an exam is called; a method with one threshold knows no `POSSIBLE`."""

    SUSPECTED = "suspected"
    POSSIBLE = "possible"
    NONE = "none found"


def verdict_of(result: AnalysisResult) -> Verdict:
    """The verdict."""
    return Verdict.SUSPECTED if result.detection.is_positive else Verdict.NONE


def exam_value(result: AnalysisResult) -> float:
    """The probability (or score) of blood anywhere in the exam, in [0, 1]."""
    return float(result.detection.exam_probabilities[ANY])


def is_contrast_warned(result: AnalysisResult) -> bool:
    """True if the reader is warned of contrast medium."""
    return any("contrast" in sentence.lower() for sentence in result.provenance.warnings)
