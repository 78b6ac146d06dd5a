"""What the literature draws attention to in a hemorrhage: each criterion with its limit and its source.

They describe what was measured; they are no advice for one patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ICHSegmenterLib.editing.location import Region
from ICHSegmenterLib.labels import EDH, ICH, IPH, IVH, SDH
from ICHSegmenterLib.measuring.piece import PieceMeasures

ICH_SCORE = "Hemphill et al., Stroke 2001;32:891-897, doi 10.1161/01.STR.32.4.891 (ICH score)"
GUIDELINE = "Hemphill et al., Stroke 2015;46:2032-2060 (guideline)"
SUBDURAL = "Bullock et al., Neurosurgery 2006;58(3 Suppl):S16-24, PMID 16710968"
EPIDURAL = "Bullock et al., Neurosurgery 2006;58(3 Suppl):S7-15"
EXPANSION = "Dowlatshahi et al., Neurology 2011;76:1238-1244"


class Criterion(str, Enum):
    """A criterion of the literature."""

    PARENCHYMAL_VOLUME = "parenchymal_volume"
    VENTRICLES = "ventricles"
    INFRATENTORIAL = "infratentorial"
    CEREBELLAR_DIAMETER = "cerebellar_diameter"
    SUBDURAL_THICKNESS = "subdural_thickness"
    EPIDURAL_VOLUME = "epidural_volume"
    MIDLINE_SHIFT = "midline_shift"
    GROWTH = "growth"


@dataclass(frozen=True)
class Limit:
    """The limit of a criterion.

    Attributes:
        value: In `unit`; None if it is met by being there.
        unit: "mL", "mm", "%" or empty.
        words: What is met, with {value} and {limit}.
        source: Where it stands.
    """

    value: float | None
    unit: str
    words: str
    source: str


LIMITS: Mapping[Criterion, Limit] = {
    Criterion.PARENCHYMAL_VOLUME: Limit(
        30.0, "mL", "parenchymal bleed of {value:.0f} mL, {limit:.0f} or more", ICH_SCORE
    ),
    Criterion.VENTRICLES: Limit(None, "mL", "{value:.1f} mL of blood in the ventricles", ICH_SCORE),
    Criterion.INFRATENTORIAL: Limit(
        None, "mL", "parenchymal bleed of {value:.1f} mL in the posterior fossa", ICH_SCORE
    ),
    Criterion.CEREBELLAR_DIAMETER: Limit(
        30.0, "mm", "bleed of {value:.0f} mm in the posterior fossa, more than {limit:.0f}", GUIDELINE
    ),
    Criterion.SUBDURAL_THICKNESS: Limit(
        10.0, "mm", "subdural bleed {value:.0f} mm thick, more than {limit:.0f}", SUBDURAL
    ),
    Criterion.EPIDURAL_VOLUME: Limit(30.0, "mL", "epidural bleed of {value:.0f} mL, more than {limit:.0f}", EPIDURAL),
    Criterion.MIDLINE_SHIFT: Limit(5.0, "mm", "midline shift of {value:.1f} mm, more than {limit:.0f}", SUBDURAL),
    Criterion.GROWTH: Limit(6.0, "mL", "growth by {value:.1f} mL: more than {limit:.0f} mL or a third", EXPANSION),
}


@dataclass(frozen=True)
class Flag:
    """A criterion that is met.

    Attributes:
        criterion: Which one.
        value: What was measured, in the unit of its limit.
    """

    criterion: Criterion
    value: float

    @property
    def limit(self) -> Limit:
        """Its limit and source."""
        return LIMITS[self.criterion]

    @property
    def text(self) -> str:
        """What is met, in words."""
        return self.limit.words.format(value=self.value, limit=self.limit.value)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        limit = self.limit
        return {
            "code": self.criterion.value,
            "value": self.value,
            "limit": limit.value,
            "unit": limit.unit,
            "text": self.text,
            "source": limit.source,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Flag:
        """What `to_json` wrote."""
        return cls(Criterion(plain["code"]), float(plain["value"]))


def flags_of(pieces: Iterable[PieceMeasures], shift_mm: float | None) -> tuple[Flag, ...]:
    """The criteria that an exam meets.

    Args:
        pieces: Its blood. Pieces without a subtype count as parenchymal.
        shift_mm: Midline shift, None if it was not measured.
    """
    pieces = list(pieces)
    parenchymal = [piece for piece in pieces if piece.label in (IPH.key, ICH.key)]
    below_tentorium = [piece for piece in parenchymal if piece.region is Region.POSTERIOR_FOSSA]
    volume = sum(piece.volume_ml for piece in parenchymal)
    ventricular = sum(piece.volume_ml for piece in pieces if piece.label == IVH.key)
    epidural = sum(piece.volume_ml for piece in pieces if piece.label == EDH.key)
    thickness = max((piece.thickness.length_mm for piece in pieces if piece.label == SDH.key), default=0.0)
    diameter = max((piece.diameter.length_mm for piece in below_tentorium), default=0.0)
    limit = {criterion: entry.value or 0.0 for criterion, entry in LIMITS.items()}
    met = {
        Criterion.PARENCHYMAL_VOLUME: (volume >= limit[Criterion.PARENCHYMAL_VOLUME], volume),
        Criterion.VENTRICLES: (ventricular > 0, ventricular),
        Criterion.INFRATENTORIAL: (bool(below_tentorium), sum(piece.volume_ml for piece in below_tentorium)),
        Criterion.CEREBELLAR_DIAMETER: (diameter > limit[Criterion.CEREBELLAR_DIAMETER], diameter),
        Criterion.SUBDURAL_THICKNESS: (thickness > limit[Criterion.SUBDURAL_THICKNESS], thickness),
        Criterion.EPIDURAL_VOLUME: (epidural > limit[Criterion.EPIDURAL_VOLUME], epidural),
        Criterion.MIDLINE_SHIFT: ((shift_mm or 0.0) > limit[Criterion.MIDLINE_SHIFT], shift_mm or 0.0),
    }
    return tuple(Flag(criterion, value) for criterion, (is_met, value) in met.items() if is_met)
