"""A result as the scene keeps it: the content of `result.json` in a text node, and what the import adds to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from json import JSONDecodeError
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.agreement import Agreement
from ICHSegmenterLib.errors import ResultError
from ICHSegmenterLib.labels import ANY, SEGMENT_LABELS, SUBTYPE_LABELS, SegmentLabel
from ICHSegmenterLib.results import AnalysisResult, SliceDetection
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.reader.reader_warning import ReaderWarning

CERTAIN_SUBTYPE = 0.5
"""From this probability on a slice without segments gets the name of its likeliest subtype."""
MAX_PARSED = 32
"""Results that stay parsed."""
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class SliceFocus:
    """The largest bleed of a slice.

    Attributes:
        column, row: Its middle, in pixels.
        type: Key of its label, empty if it is no blood.
    """

    column: int
    row: int
    type: str


@dataclass(frozen=True)
class SliceRow:
    """A slice in the words of the panel.

    Attributes:
        index: Position in the array, from 0.
        number: As people count: 1 is nearest to the feet.
        value: Value of "any", 0 to 1.
        isPositive: It reaches the detection threshold.
        type: Key of the largest segment there, else of the likeliest subtype if it is certain, else empty.
        bloodMl: Blood segmented there.
        subtypes: Label to value, 0 to 1, of the subtypes that the method tells apart; in their usual order.
    """

    index: int
    number: int
    value: float
    isPositive: bool
    type: str
    bloodMl: float
    subtypes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class StoredResult:
    """A result in the scene.

    Attributes:
        analysis: The result without its arrays; its segments are nodes of the scene.
        verdict: One sentence for the reader.
        isPositive: True if the exam is.
        labels: All that the method can outline, in the order of values.
        focuses: Slice index to its largest bleed.
        segmentIds: Label key to the identifier of its segment.
        agreement: How far the methods agree, if this is their vote; else None.
        readerWarnings: What the reader of the exam said; their sentences stand among those of the result.
    """

    analysis: AnalysisResult
    verdict: str
    isPositive: bool
    labels: tuple[SegmentLabel, ...] = ()
    focuses: Mapping[int, SliceFocus] = field(default_factory=dict)
    segmentIds: Mapping[str, str] = field(default_factory=dict)
    agreement: Agreement | None = None
    readerWarnings: tuple[ReaderWarning, ...] = ()

    @classmethod
    def fromJson(cls, plain: Mapping[str, Any]) -> StoredResult:
        """The result that `withImport` completed.

        Raises:
            ResultError: It is incomplete, or of a format that this version does not read.
        """
        try:
            analysis = AnalysisResult.from_json(plain, _geometry(plain))
            agreement = plain.get("agreement")
            return cls(
                analysis,
                plain["verdict"],
                plain["positive"],
                tuple(SEGMENT_LABELS[label["key"]] for label in plain["labels"]),
                {entry["index"]: SliceFocus(*entry["focus"], entry["type"]) for entry in _withFocus(plain)},
                plain.get("segment_ids", {}),
                None if agreement is None else Agreement.from_json(agreement),
                tuple(map(ReaderWarning.from_json, plain.get("reader_warnings", ()))),
            )
        except (KeyError, TypeError, ValueError) as error:
            text = _("This result is incomplete ({error}); it was cut off or changed. Analyze the exam again.")
            raise ResultError(text.format(error=f"{type(error).__name__}: {error}")) from error

    @classmethod
    def fromNode(cls, resultNode: slicer.vtkMRMLTextNode) -> StoredResult:
        """The result that a text node holds.

        Raises:
            ResultError: It is incomplete, or of a format that this version does not read.
        """
        try:
            return _parsed(resultNode.GetText() or "")
        except JSONDecodeError as error:
            text = _("{name} holds no result ({error}). Analyze the exam again.")
            raise ResultError(text.format(name=resultNode.GetName(), error=error)) from error

    @property
    def slices(self) -> tuple[SliceRow, ...]:
        """All slices as the run made them, the one nearest to the feet first."""
        return self.slicesWith({slice_.index: slice_.blood_ml for slice_ in self._detected}, self.focuses)

    def slicesWith(self, bloodMl: Mapping[int, float], focuses: Mapping[int, SliceFocus]) -> tuple[SliceRow, ...]:
        """All slices with the blood that is outlined now, the one nearest to the feet first.

        Args:
            bloodMl: Slice index to mL, where there is blood.
            focuses: Slice index to its largest bleed.
        """
        rows = (
            SliceRow(
                detected.index,
                self.analysis.slice_number(detected.index),
                detected.probabilities[ANY],
                detected.is_positive,
                self._type(detected, focuses),
                bloodMl.get(detected.index, 0.0),
                {key: detected.probabilities[key] for key in SUBTYPE_LABELS[:-1] if key in detected.probabilities},
            )
            for detected in self._detected
        )
        return tuple(sorted(rows, key=lambda row: row.number))

    def pointRas(self, index: int, focuses: Mapping[int, SliceFocus] | None = None) -> np.ndarray:
        """RAS mm (3,): the middle of the bleed of a slice, else of the slice; of the bleeds now, if they are given."""
        _, rows, columns = self.analysis.geometry.shape
        focus = (self.focuses if focuses is None else focuses).get(index)
        column, row = (focus.column, focus.row) if focus else ((columns - 1) / 2, (rows - 1) / 2)
        return self.analysis.geometry.ijk_to_lps((column, row, index)) * LPS_TO_RAS

    @property
    def _detected(self) -> tuple[SliceDetection, ...]:
        return self.analysis.detection.slices

    def _type(self, detected: SliceDetection, focuses: Mapping[int, SliceFocus]) -> str:
        if detected.index in focuses:
            return focuses[detected.index].type
        subtypes = {key: value for key, value in detected.probabilities.items() if key != ANY}
        likeliest = max(subtypes, key=subtypes.get, default=ANY)
        return likeliest if subtypes.get(likeliest, 0.0) >= CERTAIN_SUBTYPE else ""


@lru_cache(maxsize=MAX_PARSED)
def _parsed(text: str) -> StoredResult:
    """A result is read often, and never changes."""
    return StoredResult.fromJson(json.loads(text))


def withImport(
    plain: Mapping[str, Any],
    focuses: Mapping[int, SliceFocus],
    segmentIds: Mapping[str, str],
    agreement: Agreement | None = None,
    readerWarnings: Sequence[ReaderWarning] = (),
) -> dict[str, Any]:
    """Content of `result.json`, completed by what an import adds; `StoredResult.fromJson` reads it."""
    slices = []
    for entry in plain["slices"]:
        focus = focuses.get(entry["index"])
        slices.append({**entry, "focus": [focus.column, focus.row], "type": focus.type} if focus else entry)
    compared = {} if agreement is None else {"agreement": agreement.to_json()}
    warnings = [warning.to_json() for warning in readerWarnings]
    return {**plain, "slices": slices, "segment_ids": dict(segmentIds), "reader_warnings": warnings, **compared}


def _withFocus(plain: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [entry for entry in plain["slices"] if "focus" in entry]


def _geometry(plain: Mapping[str, Any]) -> VolumeGeometry:
    """The grid of the detection, to the digits of `result.json`."""
    grid, origins = plain["geometry"], [entry["origin_lps_mm"] for entry in plain["slices"]]
    _, rows, columns = grid["shape"]
    return VolumeGeometry((len(origins), rows, columns), grid["column_step_mm"], grid["row_step_mm"], origins)
