"""What is read of a result for the page: value and verdict of the exam, and whether contrast medium was warned of."""

from __future__ import annotations

from enum import Enum

from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.results import AnalysisResult

CONTRAST_WORDS = ("contrast medium", "contrast agent")


class Verdict(str, Enum):
    """What an exam is called; a method with one threshold knows no `POSSIBLE`."""

    SUSPECTED = "suspected"
    POSSIBLE = "possible"
    NONE = "none found"


def verdict_of(result: AnalysisResult) -> Verdict:
    """The verdict: of the assessment by pieces of blood, or of the detection where a result has none."""
    assessment = getattr(result, "assessment", None)
    if assessment is not None:
        return Verdict(assessment.code.value.replace("_", " "))
    return Verdict.SUSPECTED if result.detection.is_positive else Verdict.NONE


def exam_value(result: AnalysisResult) -> tuple[float, str]:
    """How sure the method is of blood anywhere in the exam, in [0, 1], and whether that is a probability or a score."""
    assessment = getattr(result, "assessment", None)
    if assessment is not None:
        return float(assessment.probability), assessment.value_name
    return float(result.detection.exam_probabilities[ANY]), result.provenance.value_name


def is_contrast_warned(result: AnalysisResult) -> bool:
    """True if the reader is warned of contrast medium."""
    sentences = " ".join(result.provenance.warnings).lower()
    return any(words in sentences for words in CONTRAST_WORDS)
