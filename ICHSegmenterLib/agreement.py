"""How far several methods agree on one exam, in numbers: the content of `agreement.json`. Plain data, no voxels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ICHSegmenterLib.errors import Failure, ResultError
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.protocol import read_notice
from ICHSegmenterLib.results import RESEARCH_NOTICE, AnalysisResult

AGREEMENT_FORMAT_VERSION = 1
MAJORITY = 0.5
"""A voxel is blood by vote if more than this fraction of the outlining methods say so."""


@dataclass(frozen=True)
class MethodSummary:
    """The statement of one of the compared methods.

    Attributes:
        title: As people see it.
        verdict: One sentence; code: of the three verdicts, empty in comparisons of before there were three.
        is_positive: Of the exam.
        value_name: "probability" or "score".
        value: Of "any" for the exam, 0 to 1.
        positive_slices: How many.
        seconds: Of all phases.
        blood_ml: None if it outlines nothing.
        segments_ml: Label key to volume.
    """

    title: str
    verdict: str
    is_positive: bool
    value_name: str
    value: float
    positive_slices: int
    seconds: float
    blood_ml: float | None = None
    segments_ml: Mapping[str, float] = field(default_factory=dict)
    code: str = ""

    @classmethod
    def from_result(cls, result: AnalysisResult) -> MethodSummary:
        """The summary of a result."""
        outlines = result.segmentation is not None
        return cls(
            title=result.provenance.title,
            verdict=result.verdict,
            is_positive=result.detection.is_positive,
            value_name=result.provenance.value_name,
            value=float(result.detection.exam_probabilities[ANY]),
            positive_slices=len(result.detection.positive_slices),
            seconds=sum(result.provenance.seconds.values()),
            blood_ml=result.blood_ml if outlines else None,
            segments_ml={segment.key: segment.volume_ml for segment in result.measurements} if outlines else {},
            code=result.assessment.code.value,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, rounded."""
        plain: dict[str, Any] = {
            "title": self.title,
            "verdict": self.verdict,
            "code": self.code,
            "positive": self.is_positive,
            "value_name": self.value_name,
            "any": round(self.value, 6),
            "positive_slices": self.positive_slices,
            "seconds": round(self.seconds, 3),
        }
        if self.blood_ml is not None:
            plain["blood_ml"] = round(self.blood_ml, 4)
            plain["segments_ml"] = {key: round(volume, 4) for key, volume in self.segments_ml.items()}
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> MethodSummary:
        """The summary that `to_json` wrote."""
        return cls(
            title=plain["title"],
            verdict=plain["verdict"],
            is_positive=plain["positive"],
            value_name=plain["value_name"],
            value=plain["any"],
            positive_slices=plain["positive_slices"],
            seconds=plain["seconds"],
            blood_ml=plain.get("blood_ml"),
            segments_ml=plain.get("segments_ml", {}),
            code=plain.get("code", ""),
        )


@dataclass(frozen=True)
class PairAgreement:
    """How far two methods outline the same blood: Dice, 0 to 1; 1 also where neither finds any."""

    first: str
    second: str
    dice: float


@dataclass(frozen=True)
class Agreement:
    """The answers of several methods to one exam, and how far they agree.

    Attributes:
        methods: Name to summary, in the order asked for; only those that succeeded.
        failures: The methods that did not, by name.
        pairs: Dice of the blood of every two methods that outline.
        outlining: Names of the methods that outlined, in order; they vote.
        vote_ml: Volume that more than `MAJORITY` of them call blood.
    """

    methods: Mapping[str, MethodSummary]
    failures: tuple[Failure, ...]
    pairs: tuple[PairAgreement, ...]
    outlining: tuple[str, ...]
    vote_ml: float

    def dice(self, first: str, second: str) -> float:
        """Dice of two outlining methods, in either order; 1 with itself.

        Raises:
            ValueError: They were not compared.
        """
        if first == second:
            return 1.0
        values = [pair.dice for pair in self.pairs if {pair.first, pair.second} == {first, second}]
        if not values:
            raise ValueError(f"{first} and {second} were not compared; compared: {', '.join(self.outlining)}")
        return values[0]

    def to_json(self) -> dict[str, Any]:
        """Plain data for `agreement.json` and the worker protocol."""
        return {
            "format": AGREEMENT_FORMAT_VERSION,
            "notice": RESEARCH_NOTICE,
            "methods": {name: summary.to_json() for name, summary in self.methods.items()},
            "failures": [
                {
                    "method": failure.method,
                    "error": failure.kind,
                    "message": failure.message,
                    "notice": None if failure.notice is None else failure.notice.to_json(),
                }
                for failure in self.failures
            ],
            "dice": [{"first": pair.first, "second": pair.second, "dice": round(pair.dice, 6)} for pair in self.pairs],
            "vote": {"of": list(self.outlining), "more_than": MAJORITY, "blood_ml": round(self.vote_ml, 4)},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Agreement:
        """The agreement that `to_json` wrote; one without a format is of before there were any.

        Raises:
            ResultError: It is incomplete, or of a format that this version does not know.
        """
        version = data.get("format", 0)
        if not isinstance(version, int) or version > AGREEMENT_FORMAT_VERSION:
            raise ResultError(
                f"This comparison has format {version!r}; this version of ICHSegmenter reads up to "
                f"{AGREEMENT_FORMAT_VERSION}. Update ICHSegmenter, or compare the methods again.",
                Cause.STORED_RESULT,
            )
        try:
            return cls(
                methods={name: MethodSummary.from_json(plain) for name, plain in data["methods"].items()},
                failures=tuple(map(_failure, data["failures"])),
                pairs=tuple(PairAgreement(plain["first"], plain["second"], plain["dice"]) for plain in data["dice"]),
                outlining=tuple(data["vote"]["of"]),
                vote_ml=data["vote"]["blood_ml"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ResultError(
                f"This comparison is incomplete ({type(error).__name__}: {error}); it was cut off or changed. Compare "
                "the methods again.",
                Cause.STORED_RESULT,
            ) from error


def _failure(plain: Mapping[str, Any]) -> Failure:
    notice = read_notice(plain.get("notice"))
    return Failure(plain["error"], plain["message"], method=plain["method"], notice=notice)
