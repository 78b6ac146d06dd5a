"""The DICOM files that a volume was read from: by Slicer's database, or in a folder that the panel opened.

Folders are remembered for the session only: their names are often patients', and a scene is passed on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

UIDS_ATTRIBUTE = "DICOM.instanceUIDs"
"""As Slicer's DICOM reader writes it on a volume."""
MAX_FOLDERS = 64

_folders: dict[str, Path] = {}
"""Instance UIDs of an exam, as the attribute holds them, to the folder that was opened."""


@dataclass(frozen=True)
class SliceFiles:
    """Where the files of an exam's slices lie.

    Attributes:
        files: Their paths, if Slicer's database knows them.
        folder: Else the folder that holds them, None if unknown; instanceUids: which of its files they are.
    """

    files: tuple[str, ...] = ()
    folder: Path | None = None
    instanceUids: tuple[str, ...] = ()

    @property
    def areKnown(self) -> bool:
        """True if the exam has DICOM files."""
        return bool(self.files) or self.folder is not None

    def fields(self) -> dict[str, Any]:
        """Of the worker's request of a report."""
        folder = "" if self.folder is None else str(self.folder)
        return {"slice_files": list(self.files), "slice_folder": folder, "instance_uids": list(self.instanceUids)}


def sliceFilesOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> SliceFiles:
    """The files that a volume was read from."""
    text = volumeNode.GetAttribute(UIDS_ATTRIBUTE) or ""
    uids = text.split()
    database = getattr(slicer, "dicomDatabase", None)
    if uids and database is not None and database.isOpen:
        files = [database.fileForInstance(uid) for uid in uids]
        if all(files):
            return SliceFiles(tuple(files))
    folder = _folders.get(text)
    return SliceFiles() if folder is None else SliceFiles((), folder, tuple(uids))


def remember(volumeNode: slicer.vtkMRMLScalarVolumeNode, path: Path) -> None:
    """Keep the folder, or the folder of the file, that a DICOM exam was read from."""
    text = volumeNode.GetAttribute(UIDS_ATTRIBUTE)
    if not text:
        return
    while len(_folders) >= MAX_FOLDERS:
        del _folders[next(iter(_folders))]
    _folders[text] = path if path.is_dir() else path.parent
