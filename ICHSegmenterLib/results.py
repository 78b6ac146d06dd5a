"""The result of an analysis: detection, segmentation, measurements, provenance. Plain data, readable without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import ResultError
from ICHSegmenterLib.labels import ANY, SEGMENT_LABELS, SegmentLabel
from ICHSegmenterLib.volume.geometry import VolumeGeometry

RESEARCH_NOTICE = "Research software, not a medical device: do not use it for diagnosis or treatment."
RESULT_FORMAT_VERSION = 1


@dataclass(frozen=True)
class SliceDetection:
    """Detection on one slice.

    Attributes:
        index: Position in the acquired array, from 0.
        position_mm: Along the slice normal.
        probabilities: Label to value in [0, 1].
        is_positive: "any" reaches the detection threshold.
        blood_ml: Blood segmented on this slice, 0 without segmentation.
    """

    index: int
    position_mm: float
    probabilities: Mapping[str, float]
    is_positive: bool
    blood_ml: float = 0.0


@dataclass(frozen=True)
class DetectionResult:
    """Is there blood, on which slices, of which type.

    Attributes:
        slices: One entry for every acquired slice, in array order.
        exam_probabilities: Label to value in [0, 1] for the exam: the highest of its slices, or the method's own.
        threshold: "any" at or above it is positive.
        key_slice: Index of the slice to look at first.
    """

    slices: tuple[SliceDetection, ...]
    exam_probabilities: Mapping[str, float]
    threshold: float
    key_slice: int

    @property
    def is_positive(self) -> bool:
        """True if the exam is: any slice of it, or the whole for methods that judge the exam."""
        return self.exam_probabilities[ANY] >= self.threshold

    @property
    def positive_slices(self) -> tuple[int, ...]:
        """Indices of slices with hemorrhage."""
        return tuple(one.index for one in self.slices if one.is_positive)


def key_slice_of(slices: Sequence[SliceDetection]) -> int:
    """Index of the slice to look at first.

    It is the positive slice with most blood; without segmentation, or without a positive slice, the one with the
    highest "any"; of equal ones the first.
    """
    return max(slices, key=lambda one: (one.is_positive, one.blood_ml, one.probabilities[ANY])).index


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
    """

    labelmap: NDArray[np.uint8]
    geometry: VolumeGeometry
    labels: tuple[SegmentLabel, ...]
    soft_maps: NDArray[np.float32] | None = None
    uncertainty: NDArray[np.float32] | None = None

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
    """

    geometry: VolumeGeometry
    detection: DetectionResult
    segmentation: SegmentationResult | None
    measurements: tuple[SegmentMeasurement, ...]
    provenance: Provenance

    @classmethod
    def from_json(
        cls,
        data: Mapping[str, Any],
        geometry: VolumeGeometry,
        labelmap: NDArray[np.uint8] | None = None,
        soft_maps: NDArray[np.float32] | None = None,
        uncertainty: NDArray[np.float32] | None = None,
    ) -> AnalysisResult:
        """The result that a worker sent as `to_json`, with its arrays.

        Args:
            data: From `to_json`.
            geometry: The acquired grid, exactly; the JSON rounds it.
            labelmap: uint8 (slices, rows, columns), None for detection-only methods.
            soft_maps: float32 (labels, slices, rows, columns), None unless asked for.
            uncertainty: float32 (slices, rows, columns), None unless maps of an ensemble or of flips were asked for.

        Raises:
            ResultError: It is incomplete, or of a format that this version does not know. One without a format, of
                before there were any, is read; what it does not hold has its default.
        """
        version = data.get("format", 0)
        if not isinstance(version, int) or version > RESULT_FORMAT_VERSION:
            raise ResultError(
                f"This result has format {version!r}; this version of ICHSegmenter reads up to "
                f"{RESULT_FORMAT_VERSION}. Update ICHSegmenter, or analyze the exam again."
            )
        try:
            detection, provenance = _detection(data), _provenance(data)
            measurements = tuple(SegmentMeasurement(**item) for item in data["measurements"])
            keys = [label["key"] for label in data["labels"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise ResultError(
                f"This result is incomplete ({type(error).__name__}: {error}); it was cut off or changed. Analyze the "
                "exam again."
            ) from error
        segmentation = None
        if labelmap is not None:
            labels = tuple(SEGMENT_LABELS[key] for key in keys)
            segmentation = SegmentationResult(labelmap, geometry, labels, soft_maps, uncertainty)
        return cls(geometry, detection, segmentation, measurements, provenance)

    def __repr__(self) -> str:
        return f"AnalysisResult({self.provenance.method}: {self.verdict})"

    @property
    def blood_ml(self) -> float:
        """Total volume of the blood segments."""
        return sum(one.volume_ml for one in self.measurements if one.is_blood)

    @property
    def verdict(self) -> str:
        """One sentence for the reader; slices are counted from 1, from the lowest position."""
        value = self.detection.exam_probabilities[ANY]
        word = self.provenance.value_name
        if not self.detection.is_positive:
            doubtful = f"; {self.blood_ml:.1f} mL too faint or small to count" if self.blood_ml >= 0.05 else ""
            return f"No hemorrhage found ({word} {value:.2f}){doubtful}."
        slices, total = len(self.detection.positive_slices), len(self.detection.slices)
        first = self.slice_number(self.detection.key_slice)
        text = f"Hemorrhage suspected ({word} {value:.2f}) on {slices} of {total} slices, most on slice {first}"
        if not slices:
            text = f"Hemorrhage suspected in the exam as a whole ({word} {value:.2f}), look first at slice {first}"
        return text + (f"; {self.blood_ml:.1f} mL segmented." if self.segmentation is not None else ".")

    def slice_number(self, index: int) -> int:
        """The number people see: 1 for the slice nearest to the feet, whichever way rows and columns run."""
        heights = self.geometry.slice_origins[:, 2]
        return index + 1 if heights[-1] >= heights[0] else len(heights) - index

    def to_json(self) -> dict[str, Any]:
        """Plain data for `result.json` and the worker protocol; no voxels."""
        slices = [
            {
                "index": one.index,
                "number": self.slice_number(one.index),
                "position_mm": round(one.position_mm, 4),
                "origin_lps_mm": [round(float(x), 4) for x in self.geometry.slice_origins[one.index]],
                "extent_mm": round(float(self.geometry.slice_extents_mm[one.index]), 4),
                "probabilities": {key: round(float(value), 6) for key, value in one.probabilities.items()},
                "positive": one.is_positive,
                "blood_ml": round(one.blood_ml, 4),
            }
            for one in self.detection.slices
        ]
        labels = () if self.segmentation is None else self.segmentation.labels
        return {
            "format": RESULT_FORMAT_VERSION,
            "notice": RESEARCH_NOTICE,
            "verdict": self.verdict,
            "positive": self.detection.is_positive,
            "probabilities": {key: round(float(v), 6) for key, v in self.detection.exam_probabilities.items()},
            "detection_threshold": self.detection.threshold,
            "key_slice": self.detection.key_slice,
            "blood_ml": round(self.blood_ml, 4),
            "measurements": [asdict(one) for one in self.measurements],
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
            "provenance": asdict(self.provenance),
        }


def _detection(data: Mapping[str, Any]) -> DetectionResult:
    slices = tuple(
        SliceDetection(
            item["index"], item["position_mm"], item["probabilities"], item["positive"], item.get("blood_ml", 0.0)
        )
        for item in data["slices"]
    )
    return DetectionResult(slices, data["probabilities"], data["detection_threshold"], data["key_slice"])


def _provenance(data: Mapping[str, Any]) -> Provenance:
    recorded = data["provenance"]
    return Provenance(**{**recorded, "warnings": tuple(recorded.get("warnings", ()))})
