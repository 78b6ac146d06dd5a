"""A head CT in memory: Hounsfield units on the acquired grid, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.reader.reader_warning import ReaderWarning


@dataclass(frozen=True)
class VolumeSource:
    """Source of a volume. Never holds a patient's name, identifier or birth date.

    Attributes:
        format: "DICOM", "NIfTI", "NRRD", "MetaImage", "Slicer" or "array".
        series_uid: SeriesInstanceUID, empty if unknown.
        series_number: SeriesNumber, 0 if unknown.
        kernel: Reconstruction kernel, empty if unknown.
        reader_warnings: For the reader of the result (contrast, missing slices, ...).
        instance_uids: SOPInstanceUID of each slice in array order, for DICOM SEG; empty if unknown.
        study_uid, frame_of_reference_uid: empty if unknown.
        has_contrast_agent: Whether the header names a contrast agent.
    """

    format: str = "array"
    series_uid: str = ""
    study_uid: str = ""
    frame_of_reference_uid: str = ""
    kernel: str = ""
    reader_warnings: tuple[ReaderWarning, ...] = ()
    instance_uids: tuple[str, ...] = ()
    has_contrast_agent: bool = False
    series_number: int = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """The sentences of the warnings, in English."""
        return tuple(warning.text for warning in self.reader_warnings)


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT volume.

    Attributes:
        hu: float32 (slices, rows, columns), Hounsfield units; pixel padding is already air. Read-only.
        geometry: The acquired grid.
        source: Where it came from.
    """

    hu: NDArray[np.float32]
    geometry: VolumeGeometry
    source: VolumeSource = field(default_factory=VolumeSource)

    def __post_init__(self) -> None:
        hu = np.asarray(self.hu)
        if hu.shape != self.geometry.shape:
            raise ValueError(f"hu has shape {hu.shape}, its geometry {self.geometry.shape}")
        view = hu.astype(np.float32, copy=False).view()
        view.setflags(write=False)
        object.__setattr__(self, "hu", view)
