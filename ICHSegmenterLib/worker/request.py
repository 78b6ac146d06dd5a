"""The request to analyze one exam, checked at the border."""

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
class AnalyzeRequest:
    """One exam to analyze; the fields are those of the protocol.

    Attributes:
        job: Folder with `hu.npy` (slices, rows, columns), where results go too.
        mask_name: File in `job` with a mask of the same shape, empty to find the brain ourselves.
    """

    job: Path
    method: str
    geometry: VolumeGeometry
    source: VolumeSource
    weights: tuple[Path, ...]
    device: str
    precision: str
    threshold: float | None
    save_maps: bool
    mask_name: str

    @classmethod
    def of(cls, message: Message) -> AnalyzeRequest:
        """Read the fields of a message.

        Raises:
            ValueError: A field is absent or of the wrong type.
            VolumeError: The geometry is impossible.
        """
        threshold = message.get("threshold")
        return cls(
            job=Path(text(message, "job")),
            method=text(message, "method"),
            geometry=_geometry(message.get("geometry")),
            source=_source(message.get("source") or {}),
            weights=tuple(Path(path) for path in texts(message, "weights")),
            device=text(message, "device", "auto"),
            precision=text(message, "precision", "auto"),
            threshold=None if threshold is None else float(threshold),
            save_maps=bool(message.get("save_maps", False)),
            mask_name=Path(message.get("brain_mask") or "").name,
        )

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
