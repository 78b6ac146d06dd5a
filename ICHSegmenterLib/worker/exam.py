"""The exam of a request: its voxels in the job folder, its grid and its origin in the message."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.labels import SEGMENT_LABELS
from ICHSegmenterLib.measuring.follow_up import OutlinedExam
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.protocol import VOXEL_FILE, Message, read_geometry, read_source, read_text, read_texts
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.hounsfield import with_air_for_padding
from ICHSegmenterLib.volume.volume import Volume, VolumeSource


@dataclass(frozen=True)
class Exam:
    """An exam in a job folder.

    Attributes:
        job: Folder with `hu.npy` (slices, rows, columns), where results go too.
        geometry, source: Of the voxels.
        mask_name: File in `job` with a brain mask of the same shape, empty to find the brain ourselves.
    """

    job: Path
    geometry: VolumeGeometry
    source: VolumeSource
    mask_name: str = ""

    @classmethod
    def from_message(cls, message: Message) -> Exam:
        """The exam that a request is about.

        Raises:
            ValueError: A field is absent or of the wrong type.
            VolumeError: The geometry is impossible.
        """
        return cls(
            job=Path(read_text(message, "job")),
            geometry=read_geometry(message.get("geometry")),
            source=read_source(message.get("source") or {}),
            mask_name=Path(message.get("brain_mask") or "").name,
        )

    def volume(self) -> Volume:
        """The exam, with air where the scanner wrote padding (-3024, NaN).

        Raises:
            VolumeError: The file cannot be read, or does not fit the geometry.
        """
        hu = self._array(VOXEL_FILE)
        if hu.shape != self.geometry.shape:
            raise VolumeError(
                f"The voxels have shape {hu.shape}, the geometry says {self.geometry.shape}.", Cause.DATA_MISMATCH
            )
        if hu.dtype.kind not in "iuf":
            raise VolumeError(f"The voxels are {hu.dtype}, not numbers in Hounsfield units.", Cause.DATA_MISMATCH)
        hu = with_air_for_padding(np.asarray(hu, dtype=np.float32))
        hu.setflags(write=False)
        return Volume(hu, self.geometry, self.source)

    def brain_mask(self) -> NDArray[np.bool_] | None:
        """The mask that came with the request, None without one."""
        return np.asarray(self._array(self.mask_name), dtype=bool) if self.mask_name else None

    def outlined(self, outline: Message) -> OutlinedExam:
        """The exam with an outline.

        Args:
            outline: `labelmap`, the name of a uint8 file in the job folder, and `labels`, keys of its values.

        Raises:
            ValueError: A field is absent or of the wrong type, or a label is not known.
            VolumeError: A file cannot be read, or does not fit the geometry.
        """
        labelmap, keys = self._array(Path(read_text(outline, "labelmap")).name), read_texts(outline, "labels")
        if labelmap.shape != self.geometry.shape or labelmap.dtype != np.uint8:
            raise VolumeError(
                f"The outline is {labelmap.dtype} {labelmap.shape}, not uint8 {self.geometry.shape}.",
                Cause.DATA_MISMATCH,
            )
        unknown = [key for key in keys if key not in SEGMENT_LABELS]
        if unknown:
            raise ValueError(f"'labels' holds {unknown[0]!r}, which is none of {', '.join(SEGMENT_LABELS)}")
        return OutlinedExam(self.volume(), labelmap, tuple(SEGMENT_LABELS[key] for key in keys))

    def _array(self, name: str) -> NDArray[Any]:
        try:
            array: NDArray[Any] = np.load(self.job / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise VolumeError(
                f"The voxels in {name} cannot be read ({error}); start the analysis again.", Cause.DATA_MISMATCH
            ) from error
        return array
