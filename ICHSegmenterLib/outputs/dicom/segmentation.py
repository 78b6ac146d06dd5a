"""DICOM Segmentation (SEG) objects by highdicom, which is optional: pip install highdicom."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from ICHSegmenterLib import __version__
from ICHSegmenterLib.cards.predictors import ARTIFICIAL_INTELLIGENCE
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.labels import MORPHOLOGICALLY_ALTERED, Code
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.outputs.dicom import authoring
from ICHSegmenterLib.outputs.dicom.scan import NOT_FROM_DICOM, is_one_slice_a_file
from ICHSegmenterLib.outputs.dicom.segments import DicomSegment, DicomSegments
from ICHSegmenterLib.outputs.writer import ExamOutput
from ICHSegmenterLib.volume.volume import Volume

logger = logging.getLogger(__name__)

FILE = "segmentation.dcm"
SERIES_NUMBER = 900
"""Number of the SEG series, after all scans of a study."""


@dataclass(frozen=True)
class Algorithm:
    """The maker of segments.

    Attributes:
        name: Of what made the labelmap; version: of that.
        family: As DICOM codes it (CID 7162).
        edited: Keys of the labels that a person changed since: these segments are SEMIAUTOMATIC.
    """

    name: str = authoring.MANUFACTURER
    version: str = __version__
    family: Code = ARTIFICIAL_INTELLIGENCE
    edited: Sequence[str] = ()


def write(exam: ExamOutput) -> None:
    """Write `segmentation.dcm`; nothing for a detection, nor without a segment, which DICOM SEG cannot say."""
    segmentation, made_by = exam.result.segmentation, exam.result.provenance
    if segmentation is None or not segmentation.labelmap.any():
        logger.warning("no DICOM SEG: nothing is outlined, and the format needs one segment at least")
        return
    algorithm = Algorithm(
        authoring.algorithm_name(made_by),
        made_by.version,
        authoring.algorithm_family(made_by),
        authoring.edited_keys(exam.result),
    )
    segments = DicomSegments.of(segmentation, exam.findings)
    write_dicom_seg(segments, exam.scan_headers, exam.folder / FILE, algorithm)


def check(volume: Volume, source: Path | None) -> None:
    """Say before an analysis whether a DICOM object can be written of this volume.

    Raises:
        DependencyError: highdicom is not installed.
        OutputError: The volume was not read from DICOM files of one slice each.
    """
    authoring.check_highdicom()
    if source is None or not is_one_slice_a_file(volume):
        raise OutputError(NOT_FROM_DICOM)


def write_dicom_seg(
    segments: DicomSegments, headers: Sequence[Dataset], path: Path | str, algorithm: Algorithm | None = None
) -> None:
    """Write a binary DICOM SEG; its frames lie exactly on the acquired slices.

    Args:
        segments: On the acquired grid; one at least.
        headers: Of the slices, as of `scan.scan_headers`; patient and study are copied from them.
        path: File to write.
        algorithm: What made the segments.

    Raises:
        ValueError: Slices and headers do not fit, or there is no segment (DICOM SEG cannot be).
        DependencyError: highdicom is not installed.
        OutputError: No SEG can be made of these headers, or the file cannot be written.
    """
    if len(segments.numbered) != len(headers):
        raise ValueError(f"the segments have {len(segments.numbered)} slices, but there are {len(headers)} headers")
    if not segments.segments:
        raise ValueError("nothing is outlined; a DICOM SEG needs one segment at least")
    hd, made_by = authoring.import_highdicom(), algorithm or Algorithm()
    try:
        with authoring.as_the_study_says():
            segmentation = hd.seg.Segmentation(
                source_images=list(headers),
                pixel_array=segments.numbered,
                segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=_descriptions(hd, segments.segments, made_by),
                series_instance_uid=hd.UID(),
                series_number=SERIES_NUMBER,
                sop_instance_uid=hd.UID(),
                instance_number=1,
                manufacturer=authoring.MANUFACTURER,
                manufacturer_model_name=made_by.name,
                software_versions=made_by.version,
                device_serial_number="0",
                series_description=f"{made_by.name} (research only)"[: authoring.MAX_TEXT],
            )
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise OutputError(
            f"No DICOM SEG can be made of this series: {error}. Use segmentation.seg.nrrd.", Cause.NO_DICOM_OBJECT
        ) from error
    with replacing(path) as temporary:
        segmentation.save_as(temporary)


def _descriptions(hd: Any, segments: Sequence[DicomSegment], algorithm: Algorithm) -> list[Any]:
    """A highdicom SegmentDescription for each segment."""
    made_by = hd.AlgorithmIdentificationSequence(
        name=algorithm.name, version=algorithm.version, family=authoring.coded(algorithm.family)
    )
    types = hd.seg.SegmentAlgorithmTypeValues
    return [
        hd.seg.SegmentDescription(
            segment_number=segment.number,
            segment_label=segment.name,
            segmented_property_category=authoring.coded(MORPHOLOGICALLY_ALTERED),
            segmented_property_type=authoring.coded(segment.label.type),
            algorithm_type=types.SEMIAUTOMATIC if segment.label.key in algorithm.edited else types.AUTOMATIC,
            algorithm_identification=made_by,
            anatomic_regions=[authoring.coded(segment.label.region)],
            display_color=hd.color.CIELabColor.from_rgb(*segment.label.color),
            tracking_id=segment.identifier,
            tracking_uid=hd.UID(),
        )
        for segment in segments
    ]
