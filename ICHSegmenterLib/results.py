"""The result of an analysis: detection, segmentation, measurements, provenance. Plain data, readable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.detections import DetectionResult, SliceDetection, key_slice_of
from ICHSegmenterLib.errors import ResultError
from ICHSegmenterLib.labels import ANY, SEGMENT_LABELS, SegmentLabel
from ICHSegmenterLib.measuring.exam import ExamMeasures
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.notices.run_notice import RunNotice
from ICHSegmenterLib.plausibility import Implausible
from ICHSegmenterLib.preprocessing.checks.findings import InputFinding
from ICHSegmenterLib.verdict import UNASSESSED, Assessment, Edits, VerdictCode, VerdictStatement
from ICHSegmenterLib.volume.geometry import VolumeGeometry

__all__ = [
    "RESEARCH_NOTICE",
    "RESULT_FORMAT_VERSION",
    "AnalysisResult",
    "DetectionResult",
    "Provenance",
    "SegmentMeasurement",
    "SegmentationResult",
    "SliceDetection",
    "assessment_of",
    "key_slice_of",
]

RESEARCH_NOTICE = "Research software, not a medical device: do not use it for diagnosis or treatment."
RESULT_FORMAT_VERSION = 3
"""3: the measures of a report. 2: an assessment by pieces of blood, and which of the slices' values are the method's
own. 1: without them."""


@dataclass(frozen=True, eq=False)
class SegmentationResult:
    """Labelmap of blood on the acquired grid.

    Attributes:
        labelmap: uint8 (slices, rows, columns); 0 background, n the n-th label.
        geometry: The acquired grid.
        labels: labels[n - 1] belongs to value n.
        soft_maps: float32 (labels, slices, rows, columns) in [0, 1] if asked for.
        uncertainty: float32 (slices, rows, columns) in [0, 1] if maps were asked for and several networks or flips
            were averaged: entropy in bits, 1 where they leave it open.
        below_threshold: bool (slices, rows, columns) if maps were asked for: pieces that are listed but not drawn.
    """

    labelmap: NDArray[np.uint8]
    geometry: VolumeGeometry
    labels: tuple[SegmentLabel, ...]
    soft_maps: NDArray[np.float32] | None = None
    uncertainty: NDArray[np.float32] | None = None
    below_threshold: NDArray[np.bool_] | None = None

    def mask(self, key: str) -> NDArray[np.bool_]:
        """bool (slices, rows, columns) of one segment, by its label key."""
        keys = [label.key for label in self.labels]
        if key not in keys:
            raise ValueError(f"no segment {key!r}; available: {', '.join(keys)}")
        return np.asarray(self.labelmap == keys.index(key) + 1)

    @property
    def blood_mask(self) -> NDArray[np.bool_]:
        """bool (slices, rows, columns) of all segments that are blood (edema is not)."""
        return np.isin(self.labelmap, [value for value, label in enumerate(self.labels, start=1) if label.is_blood])

    @property
    def blood_map(self) -> NDArray[np.float32] | None:
        """float32 (slices, rows, columns) in [0, 1]: the highest soft map of blood (edema is none), None without."""
        if self.soft_maps is None:
            return None
        is_blood = [label.is_blood for label in self.labels]
        return np.asarray(self.soft_maps[is_blood].max(axis=0, initial=0.0), dtype=np.float32)


@dataclass(frozen=True)
class SegmentMeasurement:
    """One segment in numbers.

    Attributes:
        key, name, is_blood: From its label.
        volume_ml: Voxel volumes summed, each slice with its own extent.
        mean_hu: Mean density in HU.
        first_slice, last_slice: Acquired indices.
        components: Number of separate pieces (26-connected).
    """

    key: str
    name: str
    is_blood: bool
    volume_ml: float
    mean_hu: float
    first_slice: int
    last_slice: int
    components: int


@dataclass(frozen=True)
class Provenance:
    """How a result came to be.

    Attributes:
        method, title: Which method; version: Of this program, not of the method.
        release: Which release of the authors' weights, empty if it is none.
        detector: The method that the detection comes from, empty if it is `method` itself.
        value_name: What the slice values are: "probability" or "score".
        weights: File name to SHA-256.
        options, detector_options: Every option of the method and of the detector, with the value it had.
        device, precision: What was really used.
        threshold: The map threshold that made the labelmap, None for argmax.
        seconds: Phase to wall time.
        warnings: Sentences for the reader (contrast, bone kernel, missing slices, memory fallback).
        series_uid: Of the input, if it was DICOM.
        created: UTC, ISO 8601.
        input: Number, size and digests of the files that were read, as `volume.input_files` writes them; empty if
            unknown.
        input_findings: What the check of the scan found; their sentences stand among the warnings.
        notices: What happened in the run; their sentences stand among the warnings.
    """

    method: str
    title: str
    version: str
    device: str
    precision: str
    value_name: str = "probability"
    weights: Mapping[str, str] = field(default_factory=dict)
    threshold: float | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    series_uid: str = ""
    created: str = ""
    detector: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    detector_options: Mapping[str, Any] = field(default_factory=dict)
    input: Mapping[str, Any] = field(default_factory=dict)
    release: str = ""
    input_findings: tuple[InputFinding, ...] = ()
    notices: tuple[RunNotice, ...] = ()

    @property
    def made_by(self) -> str:
        """Method with the release of its weights, and program with its version, for people."""
        return f"{self.title}{f' ({self.release})' if self.release else ''}, ICHSegmenter {self.version}"


@dataclass(frozen=True, eq=False)
class AnalysisResult:
    """Everything one analysis says about one exam.

    Attributes:
        geometry: The grid whose slices the detection speaks of: the acquired one, or its axial view if the exam was
            stored as sagittal or coronal slices.
        detection: Always present.
        segmentation: None for detection-only methods.
        measurements: One a non-empty segment.
        provenance: How it came to be.
        assessment: The verdict and the pieces of blood; that of the detection alone if none is given.
        implausible: Why the result cannot be; None if it can. It is said above the verdict.
        edits: What a person changed of the segments; None if they are as the method made them.
        measures: What a report names of the drawn blood and of the midline; None if nothing is drawn.
    """

    geometry: VolumeGeometry
    detection: DetectionResult
    segmentation: SegmentationResult | None
    measurements: tuple[SegmentMeasurement, ...]
    provenance: Provenance
    assessment: Assessment = UNASSESSED
    implausible: Implausible | None = None
    edits: Edits | None = None
    measures: ExamMeasures | None = None

    def __post_init__(self) -> None:
        if self.assessment is UNASSESSED:
            object.__setattr__(self, "assessment", assessment_of(self.detection))

    @classmethod
    def from_json(
        cls,
        data: Mapping[str, Any],
        geometry: VolumeGeometry,
        labelmap: NDArray[np.uint8] | None = None,
        soft_maps: NDArray[np.float32] | None = None,
        uncertainty: NDArray[np.float32] | None = None,
        below_threshold: NDArray[np.bool_] | None = None,
    ) -> AnalysisResult:
        """The result that a worker sent as `to_json`, with its arrays.

        Args:
            data: From `to_json`.
            geometry: The acquired grid, exactly; the JSON rounds it.
            labelmap: uint8 (slices, rows, columns), None for detection-only methods.
            soft_maps: float32 (labels, slices, rows, columns), None unless asked for.
            uncertainty: float32 (slices, rows, columns), None unless maps of an ensemble or of flips were asked for.
            below_threshold: bool (slices, rows, columns), None unless maps were asked for.

        Raises:
            ResultError: It is incomplete, or of a format that this version does not know. One without a format, of
                before there were any, is read; what it does not hold has its default.
        """
        version = data.get("format", 0)
        if not isinstance(version, int) or version > RESULT_FORMAT_VERSION:
            raise ResultError(
                f"This result has format {version!r}; this version of ICHSegmenter reads up to "
                f"{RESULT_FORMAT_VERSION}. Update ICHSegmenter, or analyze the exam again.",
                Cause.STORED_RESULT,
            )
        try:
            detection, provenance = DetectionResult.from_json(data), _provenance(data)
            measurements = tuple(SegmentMeasurement(**item) for item in data["measurements"])
            labels = tuple(SEGMENT_LABELS[label["key"]] for label in data["labels"])
            plain = data.get("assessment")
            assessment = assessment_of(detection) if plain is None else Assessment.from_json(plain)
            problem = None if data.get("implausible") is None else Implausible.from_json(data["implausible"])
            edits = None if data.get("edits") is None else Edits.from_json(data["edits"])
            measures = None if data.get("measures") is None else ExamMeasures.from_json(data["measures"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ResultError(
                f"This result is incomplete ({type(error).__name__}: {error}); it was cut off or changed. Analyze the "
                "exam again.",
                Cause.STORED_RESULT,
            ) from error
        segmentation = None
        if labelmap is not None:
            segmentation = SegmentationResult(labelmap, geometry, labels, soft_maps, uncertainty, below_threshold)
        return cls(geometry, detection, segmentation, measurements, provenance, assessment, problem, edits, measures)

    def __repr__(self) -> str:
        return f"AnalysisResult({self.provenance.method}: {self.verdict})"

    @property
    def blood_ml(self) -> float:
        """Total volume of the blood segments."""
        return sum(one.volume_ml for one in self.measurements if one.is_blood)

    @property
    def statement(self) -> VerdictStatement:
        """The verdict with all that a sentence about it needs; slices are counted from 1, from the lowest."""
        below = self.assessment.below_threshold
        return VerdictStatement(
            self.assessment.code,
            self.provenance.value_name,
            float(self.detection.exam_probabilities[ANY]),
            len(self.detection.positive_slices),
            len(self.detection.slices),
            self.slice_number(self.detection.key_slice),
            None if self.segmentation is None else self.blood_ml,
            len(below),
            sum(piece.volume_ml for piece in below),
            self.assessment.caps,
        )

    @property
    def verdict(self) -> str:
        """One sentence for the reader."""
        return self.statement.sentence if self.edits is None else self.edits.sentence(self.statement, self.blood_ml)

    def slice_number(self, index: int) -> int:
        """The number people see: 1 for the slice nearest to the feet, whichever way rows and columns run."""
        heights = self.geometry.slice_origins[:, 2]
        return index + 1 if heights[-1] >= heights[0] else len(heights) - index

    def to_json(self) -> dict[str, Any]:
        """Plain data for `result.json` and the worker protocol; no voxels."""
        slices = [
            {
                **one.to_json(),
                "number": self.slice_number(one.index),
                "origin_lps_mm": [round(float(x), 4) for x in self.geometry.slice_origins[one.index]],
                "extent_mm": round(float(self.geometry.slice_extents_mm[one.index]), 4),
            }
            for one in self.detection.slices
        ]
        labels = () if self.segmentation is None else self.segmentation.labels
        return {
            "format": RESULT_FORMAT_VERSION,
            "notice": RESEARCH_NOTICE,
            "implausible": None if self.implausible is None else self.implausible.to_json(),
            "edits": None if self.edits is None else self.edits.to_json(),
            "verdict": self.verdict,
            "statement": self.statement.to_json(),
            "assessment": self.assessment.to_json(),
            **self.detection.to_json(),
            "blood_ml": round(self.blood_ml, 4),
            "measurements": [asdict(one) for one in self.measurements],
            "measures": None if self.measures is None else self.measures.to_json(),
            "labels": [
                {"value": n, "key": one.key, "name": one.name, "color": list(one.color), "terminology": one.terminology}
                for n, one in enumerate(labels, start=1)
            ],
            "slices": slices,
            "geometry": {
                "shape": list(self.geometry.shape),
                "ijk_to_lps": np.round(self.geometry.affine, 6).tolist(),
                "column_step_mm": self.geometry.column_step.tolist(),
                "row_step_mm": self.geometry.row_step.tolist(),
                "regular": self.geometry.is_regular,
                "largest_deviation_mm": round(self.geometry.largest_deviation_mm, 4),
                "tilt_deg": round(self.geometry.tilt_deg, 3),
            },
            "input_findings": [finding.to_json() for finding in self.provenance.input_findings],
            "notices": [notice.to_json() for notice in self.provenance.notices],
            "provenance": asdict(replace(self.provenance, input_findings=(), notices=())),
        }


def assessment_of(detection: DetectionResult) -> Assessment:
    """The assessment of a detection without pieces: suspected, or none found, at its one threshold."""
    value = float(detection.exam_probabilities[ANY])
    code = VerdictCode.SUSPECTED if detection.is_positive else VerdictCode.NONE_FOUND
    return Assessment(code, value, detection.threshold, detection.threshold)


def _provenance(data: Mapping[str, Any]) -> Provenance:
    recorded = data["provenance"]
    findings = tuple(InputFinding.from_json(finding) for finding in data.get("input_findings", ()))
    notices = tuple(map(RunNotice.from_json, data.get("notices", ())))
    changed = {"warnings": tuple(recorded.get("warnings", ())), "input_findings": findings, "notices": notices}
    return Provenance(**{**recorded, **changed})
