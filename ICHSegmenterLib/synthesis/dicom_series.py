"""Writes a volume as a plain DICOM CT series, one file a slice, for the demo and the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

STORED_OFFSET_HU = -1024
"""RescaleIntercept: stored value 0 is -1024 HU, as most scanners write."""
STORED_MAXIMUM = 4095
PATIENT_NAME = "Phantom"
NOT_A_PATIENT_ID = "PHANTOM"


def write_dicom_series(
    volume: Volume,
    folder: Path | str,
    *,
    seed: int = 0,
    modality: str = "CT",
    description: str = "Head phantom",
    kernel: str = "H31s",
    series_number: int = 2,
) -> list[Path]:
    """Write one file a slice; positions, tilt and unequal steps are those of the volume's geometry.

    Args:
        volume: HU, rounded to whole numbers from -1024 to 3071.
        folder: Made if absent.
        seed: Equal seeds give equal UIDs.
        modality: Modality in the header; the files claim to be CT images whatever it is.
        description: SeriesDescription.
        kernel: ConvolutionKernel.
        series_number: Another number is another series of the same study.

    Returns:
        The files in slice order.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    common = _common_header(volume.geometry, seed=seed, series_number=series_number)
    common.Modality, common.SeriesDescription, common.ConvolutionKernel = modality, description, kernel
    paths = []
    for index, hu in enumerate(volume.hu):
        path = folder / f"{index + 1:04d}.dcm"
        _slice(common, volume.geometry, index, hu, seed=seed).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _common_header(geometry: VolumeGeometry, *, seed: int, series_number: int) -> Dataset:
    """The header that all slices share."""
    _, rows, columns = geometry.shape
    between_rows, between_columns = geometry.pixel_spacing_mm
    header = Dataset()
    header.SOPClassUID = CTImageStorage
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.StudyInstanceUID = _uid(seed, "study")
    header.FrameOfReferenceUID = _uid(seed, "frame of reference")
    header.SeriesInstanceUID = _uid(seed, "series", series_number)
    header.SeriesNumber = series_number
    header.PatientName, header.PatientID = PATIENT_NAME, NOT_A_PATIENT_ID
    header.PatientBirthDate = header.PatientSex = header.PositionReferenceIndicator = ""
    header.StudyDate = header.StudyTime = header.AccessionNumber = header.ReferringPhysicianName = header.StudyID = ""
    header.Manufacturer, header.BodyPartExamined, header.PatientPosition = "ICHSegmenter", "HEAD", "HFS"
    header.AcquisitionNumber, header.KVP = 1, "120"
    header.GantryDetectorTilt = format_number_as_ds(geometry.tilt_deg)
    directions = (*(geometry.column_step / between_columns), *(geometry.row_step / between_rows))
    header.ImageOrientationPatient = _decimals(np.array(directions))
    header.PixelSpacing = _decimals(np.array([between_rows, between_columns]))
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = rows, columns
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 12, 11, 0
    header.RescaleIntercept, header.RescaleSlope, header.RescaleType = str(STORED_OFFSET_HU), "1", "HU"
    header.WindowCenter, header.WindowWidth = ["40", "600"], ["80", "2800"]
    return header


def _slice(common: Dataset, geometry: VolumeGeometry, index: int, hu: NDArray[np.float32], *, seed: int) -> FileDataset:
    uid = _uid(seed, "slice", common.SeriesNumber, index)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = common.SOPClassUID, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", common, file_meta=meta, preamble=b"\0" * 128)
    image.SOPInstanceUID, image.InstanceNumber = uid, index + 1
    image.ImagePositionPatient = _decimals(geometry.slice_origins[index])
    image.SliceLocation = format_number_as_ds(float(geometry.slice_positions_mm[index]))
    image.SliceThickness = format_number_as_ds(round(float(geometry.slice_extents_mm[index]), 3))
    stored = np.clip(np.rint(hu) - STORED_OFFSET_HU, 0, STORED_MAXIMUM).astype("<u2")
    image.PixelData = stored.tobytes()
    return image


def _uid(seed: int, *what: object) -> UID:
    return generate_uid(entropy_srcs=["ICHSegmenter phantom", str(seed), *(str(part) for part in what)])


def _decimals(numbers: NDArray[np.float64]) -> list[str]:
    """Decimal strings of at most 16 characters, as exact as that allows."""
    return [format_number_as_ds(float(number)) for number in numbers]
