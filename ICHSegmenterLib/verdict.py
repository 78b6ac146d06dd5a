"""The verdict of an exam as data: its code, the probability behind it, the pieces of blood, and the one sentence.

Torch-free; it travels in the result. The panel phrases `VerdictStatement` in its own language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from typing import Any

MIN_PIECE_VOLUME_ML = 0.1
"""Nothing smaller is listed or drawn unless a request says otherwise: half of the subarachnoid pieces that readers
outlined in BHSD are larger than 0.18 mL, and what falls below are specks of noise and calcification."""


class VerdictCode(str, Enum):
    """The three verdicts."""

    SUSPECTED = "suspected"
    POSSIBLE = "possible"
    NONE_FOUND = "none_found"


class OperatingPoint(str, Enum):
    """Which pieces are drawn: sensitivity first, or specificity first."""

    SCREENING = "screening"
    CONFIRMING = "confirming"

    @classmethod
    def named(cls, name: str) -> OperatingPoint:
        """The operating point of this name.

        Raises:
            ValueError: There is none.
        """
        try:
            return cls(name)
        except ValueError as error:
            known = ", ".join(point.value for point in cls)
            raise ValueError(f"operating_point must be one of {known}, got {name!r}") from error


CAP_WORDS: dict[str, str] = {
    "contrast_in_header": "contrast agent in the header",
    "contrast_medium": "contrast medium",
    "implausible": "implausible result",
}
"""Reasons for which no verdict is confident: code to words. Any other code is shown with spaces for underscores."""


@dataclass(frozen=True)
class Piece:
    """A connected piece of blood of one subtype, measured in mm and mL.

    Attributes:
        subtype: Key of its label.
        subtype_probability: Share of that label among the blood that the method sees in the piece, 0 to 1.
        probability: That it is blood, 0 to 1; a score unless the method is calibrated.
        volume_ml: Of what is outlined.
        mean_probability, max_probability: Of the map over the outline; the maximum is reached by 0.05 mL at least, or
            half of a smaller piece.
        mean_hu: Mean density.
        contrast_hu: That minus the mean density of the brain 3 to 6 mm around it in its slices, 0 if there is none.
        extent_mm: Along the slice normal.
        area_mm2: Of the largest cross-section.
        skull_distance_mm: Mean distance of its voxels from the edge of the brain in their slice.
        midplane_distance_mm: Of its center of mass.
        relative_height: Of its center of mass, 0 the lowest brain of the exam and 1 the highest.
        first_slice, last_slice, key_slice: Acquired indices; the key slice has the largest cross-section.
        center_lps_mm: (x, y, z) of the center of mass.
    """

    subtype: str
    subtype_probability: float
    probability: float
    volume_ml: float
    mean_probability: float
    max_probability: float
    mean_hu: float
    contrast_hu: float
    extent_mm: float
    area_mm2: float
    skull_distance_mm: float
    midplane_distance_mm: float
    relative_height: float
    first_slice: int
    last_slice: int
    key_slice: int
    center_lps_mm: tuple[float, float, float]

    def to_json(self) -> dict[str, Any]:
        """Plain data, rounded."""
        return {key: _rounded(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Piece:
        """The piece that `to_json` wrote; fields of a later version are left out."""
        known = {one.name for one in fields(cls)}
        x, y, z = plain["center_lps_mm"]
        return cls(**{**{key: value for key, value in plain.items() if key in known}, "center_lps_mm": (x, y, z)})


@dataclass(frozen=True)
class Assessment:
    """The exam's verdict and what it rests on.

    Attributes:
        code: The verdict, after the caps.
        probability: That the exam holds blood, 0 to 1; a score unless `is_calibrated`.
        is_calibrated: The method's card says how to read it as a frequency.
        screening, confirming: Probabilities of the exam from which it is possible, and suspected.
        operating_point: Which pieces are drawn.
        min_volume_ml: Smaller pieces are neither listed nor drawn.
        pieces: Those that are drawn, the most probable first.
        below_threshold: Those that are not, the most probable first.
        caps: Codes of the reasons for which "suspected" was or would be lowered to "possible".
    """

    code: VerdictCode
    probability: float
    screening: float
    confirming: float
    is_calibrated: bool = False
    operating_point: OperatingPoint = OperatingPoint.SCREENING
    min_volume_ml: float = MIN_PIECE_VOLUME_ML
    pieces: tuple[Piece, ...] = ()
    below_threshold: tuple[Piece, ...] = ()
    caps: tuple[str, ...] = ()

    @property
    def is_positive(self) -> bool:
        """True unless nothing was found."""
        return self.code is not VerdictCode.NONE_FOUND

    def capped(self, reason: str) -> Assessment:
        """The assessment with one more reason, a code, for which no verdict is confident."""
        caps = tuple(dict.fromkeys((*self.caps, reason)))
        code = VerdictCode.POSSIBLE if self.code is VerdictCode.SUSPECTED else self.code
        return replace(self, code=code, caps=caps)

    @property
    def value_name(self) -> str:
        """The word "probability" of a calibrated method, else "score"."""
        return "probability" if self.is_calibrated else "score"

    def to_json(self) -> dict[str, Any]:
        """Plain data, rounded; the code is not computed from it again."""
        return {
            "code": self.code.value,
            "probability": round(self.probability, 6),
            "is_calibrated": self.is_calibrated,
            "operating_points": {"screening": round(self.screening, 6), "confirming": round(self.confirming, 6)},
            "operating_point": self.operating_point.value,
            "min_volume_ml": self.min_volume_ml,
            "pieces": [one.to_json() for one in self.pieces],
            "below_threshold": [one.to_json() for one in self.below_threshold],
            "caps": list(self.caps),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Assessment:
        """The assessment that `to_json` wrote."""
        return cls(
            VerdictCode(plain["code"]),
            plain["probability"],
            plain["operating_points"]["screening"],
            plain["operating_points"]["confirming"],
            plain["is_calibrated"],
            OperatingPoint(plain["operating_point"]),
            plain["min_volume_ml"],
            tuple(Piece.from_json(one) for one in plain["pieces"]),
            tuple(Piece.from_json(one) for one in plain["below_threshold"]),
            tuple(plain["caps"]),
        )


UNASSESSED = Assessment(VerdictCode.NONE_FOUND, 0.0, 0.5, 0.5)
"""Stands for the assessment that follows from a detection alone."""


def verdict_code(probability: float, screening: float, confirming: float, caps: Sequence[str] = ()) -> VerdictCode:
    """The verdict of an exam: suspected from `confirming`, possible from `screening`; caps leave no "suspected"."""
    if probability >= confirming and not caps:
        return VerdictCode.SUSPECTED
    return VerdictCode.POSSIBLE if probability >= min(screening, confirming) else VerdictCode.NONE_FOUND


@dataclass(frozen=True)
class VerdictStatement:
    """A verdict with all that a sentence about it needs, in any language.

    Attributes:
        code: The verdict.
        value_name: "probability" or "score"; value: of the exam.
        positive_slices, slices: How many of how many.
        look_at: Number of the slice to look at first, counted from 1, from the lowest.
        blood_ml: Outlined volume, None for a detection.
        below_pieces, below_ml: Pieces below the threshold.
        caps: Codes of the reasons for which no verdict is confident.
    """

    code: VerdictCode
    value_name: str
    value: float
    positive_slices: int
    slices: int
    look_at: int
    blood_ml: float | None
    below_pieces: int
    below_ml: float
    caps: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The verdict in English; the one text of command line, report, picture and tables."""
        value = f"({self.value_name} {self.value:.2f})"
        if self.code is VerdictCode.NONE_FOUND:
            return f"No hemorrhage found {value}{self._below}."
        text = f"Hemorrhage {self.code.value} {value} on {self.positive_slices} of {self.slices} slices, most on slice"
        if not self.positive_slices:
            text = f"Hemorrhage {self.code.value} in the exam as a whole {value}, look first at slice"
        text += f" {self.look_at}"
        if self.blood_ml is not None:
            text += f"; {self.blood_ml:.1f} mL segmented"
        if self.code is VerdictCode.POSSIBLE:
            text += self._below
        if self.caps:
            text += f"; no confident verdict: {', '.join(cap_words(cap) for cap in self.caps)}"
        return f"{text}."

    @property
    def _below(self) -> str:
        if not self.below_pieces:
            return ""
        noun = "piece" if self.below_pieces == 1 else "pieces"
        return f"; {self.below_pieces} {noun} of {self.below_ml:.1f} mL below threshold"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        plain = {key: _rounded(value) for key, value in asdict(self).items()}
        return {**plain, "code": self.code.value}


@dataclass(frozen=True)
class Edits:
    """Changes of a person to the segments of a result.

    Attributes:
        segments: Keys of the labels whose segments are not as the method made them.
        before: The sentence of the method's own verdict.
    """

    segments: tuple[str, ...]
    before: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"segments": list(self.segments), "before": self.before}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Edits:
        """The edits that `to_json` wrote."""
        return cls(tuple(plain["segments"]), plain["before"])

    def sentence(self, said: VerdictStatement, blood_ml: float) -> str:
        """The outline as it is now, in place of a verdict of the method.

        Args:
            said: The statement of the edited result.
            blood_ml: Volume of the outlined blood.
        """
        if not blood_ml:
            return "Edited by hand: no hemorrhage is outlined."
        return (
            f"Edited by hand: {blood_ml:.1f} mL of hemorrhage on {said.positive_slices} of {said.slices} slices, "
            f"most on slice {said.look_at}."
        )


def cap_words(code: str) -> str:
    """The words of a reason code."""
    return CAP_WORDS.get(code, code.replace("_", " "))


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_rounded(part) for part in value]
    return round(float(value), 4) if isinstance(value, float) else value
