"""DICOM Segmentation (SEG) objects by highdicom, which is optional: pip install highdicom."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ICHSegmenterLib import __version__
from ICHSegmenterLib.errors import DependencyError, OutputError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.labels import MORPHOLOGICALLY_ALTERED, Code, SegmentLabel
from ICHSegmenterLib.outputs.writer import ExamOutput
from ICHSegmenterLib.volume.dicom.files import list_dicom_files
from ICHSegmenterLib.volume.volume import Volume

logger = logging.getLogger(__name__)

SERIES_NUMBER = 900
"""Number of the SEG series, after all scans of a study."""

_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)

_ARTIFICIAL_INTELLIGENCE = Code("123110", "Artificial Intelligence", "DCM")

_MISSING_PACKAGE = "Writing DICOM SEG needs the package highdicom: pip install highdicom"
_NOT_FROM_DICOM = "DICOM SEG is written for volumes read from DICOM files of one slice each. Use segmentation.seg.nrrd."


def write(exam: ExamOutput) -> None:
    """Write `segmentation.dcm`; nothing for a detection, nor without a segment, which DICOM SEG cannot say."""
    segmentation, made_by = exam.result.segmentation, exam.result.provenance
    if segmentation is None or not segmentation.labelmap.any():
        logger.warning("no DICOM SEG: nothing is outlined, and the format needs one segment at least")
        return
    if exam.source is None:
        raise OutputError(_NOT_FROM_DICOM)
    write_dicom_seg(
        segmentation.labelmap,
        exam.volume,
        segmentation.labels,
        exam.source,
        exam.folder / "segmentation.dcm",
        algorithm=f"ICHSegmenter {made_by.method}",
        version=made_by.version,
    )


def check(volume: Volume, source: Path | None) -> None:
    """Say before an analysis whether a DICOM SEG can be written of this volume.

    Raises:
        DependencyError: highdicom is not installed.
        OutputError: The volume was not read from DICOM files of one slice each.
    """
    if importlib.util.find_spec("highdicom") is None:
        raise DependencyError(_MISSING_PACKAGE)
    if source is None or not _is_one_slice_a_file(volume):
        raise OutputError(_NOT_FROM_DICOM)


def write_dicom_seg(
    labelmap: NDArray[np.uint8],
    volume: Volume,
    labels: Sequence[SegmentLabel],
    source: Path | str,
    path: Path | str,
    *,
    algorithm: str = "ICHSegmenter",
    version: str = __version__,
) -> None:
    """Write value n of a labelmap as segment labels[n - 1] of a binary DICOM SEG; frames lie exactly on the slices.

    Args:
        labelmap: uint8 (slices, rows, columns) on the grid of `volume`.
        volume: Read from DICOM.
        labels: Of the labelmap's values; those that do not occur are left out.
        source: The folder that `volume` was read from; patient and study are copied from its files.
        path: File to write.
        algorithm: Name of what made the labelmap.
        version: Its version.

    Raises:
        ValueError: labelmap does not fit, or is empty (DICOM SEG cannot be).
        DependencyError: highdicom is not installed.
        OutputError: The volume did not come from `source`, or the file cannot be written.
    """
    if labelmap.dtype != np.uint8 or labelmap.shape != volume.geometry.shape:
        raise ValueError(f"labelmap must be uint8 {volume.geometry.shape}, got {labelmap.dtype} {labelmap.shape}")
    present = [(value, label) for value, label in enumerate(labels, start=1) if (labelmap == value).any()]
    if not present:
        raise ValueError("labelmap is empty; a DICOM SEG needs one segment at least")
    hd = _highdicom()
    described = _descriptions(hd, [label for _, label in present], algorithm, version)
    masks = np.stack([labelmap == value for value, _ in present], axis=-1)
    try:
        segmentation = hd.seg.Segmentation(
            source_images=_source_images(volume, Path(source)),
            pixel_array=masks,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=described,
            series_instance_uid=hd.UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="ICHSegmenter",
            manufacturer_model_name=algorithm,
            software_versions=version,
            device_serial_number="0",
            series_description=f"{algorithm} (research only)",
        )
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise OutputError(f"No DICOM SEG can be made of this series: {error}. Use segmentation.seg.nrrd.") from error
    with replacing(path) as temporary:
        segmentation.save_as(temporary)


def _highdicom() -> Any:
    try:
        import highdicom  # optional, and slow to load
    except ImportError as error:
        raise DependencyError(_MISSING_PACKAGE) from error
    return highdicom


def _descriptions(hd: Any, labels: Sequence[SegmentLabel], algorithm: str, version: str) -> list[Any]:
    """A highdicom SegmentDescription for each label, numbered from 1."""
    made_by = hd.AlgorithmIdentificationSequence(
        name=algorithm, version=version, family=_coded(_ARTIFICIAL_INTELLIGENCE)
    )
    return [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label.name,
            segmented_property_category=_coded(MORPHOLOGICALLY_ALTERED),
            segmented_property_type=_coded(label.type),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=made_by,
            anatomic_regions=[_coded(label.region)],
            display_color=hd.color.CIELabColor.from_rgb(*label.color),
        )
        for number, label in enumerate(labels, start=1)
    ]


def _coded(code: Code) -> Any:
    from pydicom.sr.coding import Code as DicomCode  # 40 ms, for those who write DICOM SEG

    return DicomCode(code.value, code.scheme, code.meaning)


def _source_images(volume: Volume, source: Path) -> list[Dataset]:
    """Headers of the volume's slices, in array order."""
    if not _is_one_slice_a_file(volume):
        raise OutputError(_NOT_FROM_DICOM)
    uids = volume.source.instance_uids
    listing = list_dicom_files(source if source.is_dir() else source.parent)
    paths = {str(file.header.get("SOPInstanceUID", "")): file.path for file in listing.files}
    missing = [uid for uid in uids if uid not in paths]
    if missing:
        raise OutputError(
            f"{len(missing)} of {len(uids)} slices are not in the given folder. Give the folder that was read."
        )
    return [_complete(pydicom.dcmread(paths[uid], stop_before_pixels=True)) for uid in uids]


def _is_one_slice_a_file(volume: Volume) -> bool:
    uids = volume.source.instance_uids
    return len(uids) > 0 and len(set(uids)) == len(uids)


def _complete(image: Dataset) -> Dataset:
    """The header with empty elements where anonymization removed what DICOM requires."""
    for keyword in _MAY_BE_EMPTY:
        if keyword not in image:
            setattr(image, keyword, "")
    return image
