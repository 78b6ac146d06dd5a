"""The requests to analyze one exam, by one method or by several, checked at the border."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.hounsfield import with_air_for_padding
from ICHSegmenterLib.volume.volume import Volume, VolumeSource
from ICHSegmenterLib.worker.channel import Message

VOXEL_FILE = "hu.npy"


@dataclass(frozen=True)
class ExamRequest:
    """One exam and how to look at it; the fields are those of the protocol.

    Attributes:
        job: Folder with `hu.npy` (slices, rows, columns), where results go too.
        mask_name: File in `job` with a mask of the same shape, empty to find the brain ourselves.
    """

    job: Path
    geometry: VolumeGeometry
    source: VolumeSource
    device: str
    precision: str
    save_maps: bool
    mask_name: str

    def volume(self) -> Volume:
        """The exam, with air where the scanner wrote padding (-3024, NaN).

        Raises:
            VolumeError: The file cannot be read, or does not fit the geometry.
        """
        hu = self._array(VOXEL_FILE)
        if hu.shape != self.geometry.shape:
            raise VolumeError(f"The voxels have shape {hu.shape}, the geometry says {self.geometry.shape}.")
        if hu.dtype.kind not in "iuf":
            raise VolumeError(f"The voxels are {hu.dtype}, not numbers in Hounsfield units.")
        hu = with_air_for_padding(np.asarray(hu, dtype=np.float32))
        hu.setflags(write=False)
        return Volume(hu, self.geometry, self.source)

    def brain_mask(self) -> NDArray[np.bool_] | None:
        """The mask that came with the request, None without one."""
        return np.asarray(self._array(self.mask_name), dtype=bool) if self.mask_name else None

    def _array(self, name: str) -> NDArray[Any]:
        try:
            array: NDArray[Any] = np.load(self.job / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise VolumeError(f"The voxels in {name} cannot be read ({error}); start the analysis again.") from error
        return array


@dataclass(frozen=True)
class AnalyzeRequest(ExamRequest):
    """One exam for one method, or for one that outlines and one that detects.

    Attributes:
        detector: Name of the method that detects and names segments, empty if `method` does.
        weights, options, threshold: Of `method`.
        detector_weights, detector_options: Of the detector; without one, what the message says of them is dropped.
        detection_threshold: Of the detector, or of `method` without one.
    """

    method: str
    weights: tuple[Path, ...]
    options: Mapping[str, Any]
    threshold: float | None
    detection_threshold: float | None
    detector: str
    detector_weights: tuple[Path, ...]
    detector_options: Mapping[str, Any]

    @classmethod
    def of(cls, message: Message) -> AnalyzeRequest:
        """Read the fields of a message.

        Raises:
            ValueError: A field is absent or of the wrong type.
            VolumeError: The geometry is impossible.
        """
        detector = text(message, "detector") if message.get("detector") else ""
        detector_weights, detector_options = _paths(message, "detector_weights"), _object(message, "detector_options")
        return cls(
            **_exam(message),
            method=text(message, "method"),
            weights=_paths(message, "weights"),
            options=_object(message, "options"),
            threshold=_number(message, "threshold"),
            detection_threshold=_number(message, "detection_threshold"),
            detector=detector,
            detector_weights=detector_weights if detector else (),
            detector_options=detector_options if detector else {},
        )


@dataclass(frozen=True)
class CompareRequest(ExamRequest):
    """One exam for several methods.

    Attributes:
        methods: Names, in the order of the answer.
        weights: Method to the files to use instead of the installed ones.
        options: Method to other values for its options.
    """

    methods: tuple[str, ...]
    weights: Mapping[str, tuple[Path, ...]]
    options: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, message: Message) -> CompareRequest:
        """Read the fields of a message.

        Raises:
            ValueError: A field is absent or of the wrong type.
            VolumeError: The geometry is impossible.
        """
        weights, options = _object(message, "weights"), _object(message, "options")
        return cls(
            **_exam(message),
            methods=tuple(texts(message, "methods")),
            weights={method: _paths(weights, method) for method in weights},
            options={method: _object(options, method) for method in options},
        )


def text(message: Message, field: str, default: str | None = None) -> str:
    """A field that must be a string."""
    value = message.get(field, default)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{field!r} must be a text, got {value!r}")
    return value


def texts(message: Message, field: str) -> list[str]:
    """A field that must be a list of strings; absent means empty."""
    value = message.get(field) or []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{field!r} must be a list of texts, got {value!r}")
    return value


def _exam(message: Message) -> dict[str, Any]:
    """The fields of an `ExamRequest`."""
    return {
        "job": Path(text(message, "job")),
        "geometry": _geometry(message.get("geometry")),
        "source": _source(message.get("source") or {}),
        "device": text(message, "device", "auto"),
        "precision": text(message, "precision", "auto"),
        "save_maps": bool(message.get("save_maps", False)),
        "mask_name": Path(message.get("brain_mask") or "").name,
    }


def _paths(message: Message, field: str) -> tuple[Path, ...]:
    return tuple(Path(path) for path in texts(message, field))


def _number(message: Message, field: str) -> float | None:
    value = message.get(field)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"{field!r} must be a number, got {value!r}")
    return None if value is None else float(value)


def _object(message: Message, field: str) -> Mapping[str, Any]:
    value = message.get(field) or {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{field!r} must be an object, got {value!r}")
    return value


def _geometry(fields: Any) -> VolumeGeometry:
    if not isinstance(fields, Mapping):
        raise ValueError(f"'geometry' must be an object, got {fields!r}")
    try:
        slices, rows, columns = (int(size) for size in fields["shape"])
        return VolumeGeometry(
            (slices, rows, columns), fields["column_step"], fields["row_step"], fields["slice_origins"]
        )
    except KeyError as error:
        raise ValueError(f"'geometry' lacks {error}") from error
    except (ValueError, TypeError) as error:
        raise VolumeError(f"The geometry of the volume is impossible: {error}.") from error


def _source(fields: Mapping[str, Any]) -> VolumeSource:
    return VolumeSource(
        format=str(fields.get("format") or "Slicer"),
        series_uid=str(fields.get("series_uid") or ""),
        kernel=str(fields.get("kernel") or ""),
        warnings=tuple(str(warning) for warning in fields.get("warnings") or ()),
    )
