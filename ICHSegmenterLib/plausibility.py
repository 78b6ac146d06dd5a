"""Results that cannot be: more blood, more pieces, or another density than a head can have. Plain data, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

MAX_BLOOD_ML, MAX_BRAIN_SHARE = 300.0, 0.25
"""The largest bleeds that people survive to be scanned with are about 150 mL; 95 % of bleeding exams have less than
118 mL (BHSD)."""
MAX_PIECES = 200
"""Blood is rarely in more than some ten pieces; noise is in hundreds."""
BLOOD_HU, MIN_DENSITY_ML = (25.0, 100.0), 1.0
"""Mean of all blood, from chronic subdural to the densest clot. Less than the volume says little about density."""
MAX_SKULL_SHARE, MIN_SKULL_PIECES = 0.8, 25
"""So many pieces that nearly all touch bone are its partial volume."""


class ImplausibleReason(str, Enum):
    """Why a result cannot be."""

    TOO_MUCH_BLOOD = "too_much_blood"
    TOO_MANY_PIECES = "too_many_pieces"
    DENSITY = "density"
    ALONG_BONE = "along_bone"


@dataclass(frozen=True)
class OutlineFigures:
    """All outlined blood of an exam in numbers.

    Attributes:
        blood_ml: Volume; brain_share: of the space inside the skull.
        pieces: Connected pieces; skull_share: those of them that touch the skull.
        mean_hu: Mean density.
    """

    blood_ml: float
    brain_share: float
    pieces: int
    skull_share: float
    mean_hu: float


@dataclass(frozen=True)
class Implausible:
    """A result that cannot be, and why.

    Attributes:
        reasons: At least one.
        figures: What the reasons rest on.
    """

    reasons: tuple[ImplausibleReason, ...]
    figures: OutlineFigures

    code = "implausible"

    @property
    def text(self) -> str:
        """What stands above the verdict."""
        figures = asdict(self.figures)
        said = ", ".join(_WORDS[reason].format(**figures) for reason in self.reasons)
        return f"This result is implausible: {said}. Do not use it; check the scan and the weights of the method."

    def to_json(self) -> dict[str, Any]:
        """Plain data for `result.json`."""
        parameters = {name: round(float(value), 4) for name, value in asdict(self.figures).items()}
        reasons = [reason.value for reason in self.reasons]
        return {"code": self.code, "reasons": reasons, "parameters": parameters, "text": self.text}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Implausible:
        """What `to_json` wrote."""
        figures = dict(plain["parameters"])
        figures["pieces"] = int(figures["pieces"])
        return cls(tuple(ImplausibleReason(reason) for reason in plain["reasons"]), OutlineFigures(**figures))


_WORDS: Mapping[ImplausibleReason, str] = {
    ImplausibleReason.TOO_MUCH_BLOOD: "{blood_ml:.0f} mL of blood, {brain_share:.0%} of the space inside the skull",
    ImplausibleReason.TOO_MANY_PIECES: "{pieces} pieces",
    ImplausibleReason.DENSITY: "a mean density of {mean_hu:.0f} HU, which blood does not have",
    ImplausibleReason.ALONG_BONE: "{skull_share:.0%} of {pieces} pieces along bone",
}


def implausible(figures: OutlineFigures) -> Implausible | None:
    """The verdict on the result itself, None for one that can be."""
    checks = {
        ImplausibleReason.TOO_MUCH_BLOOD: figures.blood_ml > MAX_BLOOD_ML or figures.brain_share > MAX_BRAIN_SHARE,
        ImplausibleReason.TOO_MANY_PIECES: figures.pieces > MAX_PIECES,
        ImplausibleReason.DENSITY: figures.blood_ml >= MIN_DENSITY_ML
        and not BLOOD_HU[0] <= figures.mean_hu <= BLOOD_HU[1],
        ImplausibleReason.ALONG_BONE: figures.pieces >= MIN_SKULL_PIECES and figures.skull_share > MAX_SKULL_SHARE,
    }
    reasons = tuple(reason for reason, applies in checks.items() if applies)
    return Implausible(reasons, figures) if reasons else None
