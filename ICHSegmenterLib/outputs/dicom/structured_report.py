"""`report.dcm`: a DICOM structured report of measurements (TID 1500) by highdicom, which refers to the DICOM SEG.

Its first group speaks of the exam: verdict, certainty, volume of all hemorrhage. Each finding has a group of its own,
with type and place by the codes of its segment.
"""

from __future__ import annotations

from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from ICHSegmenterLib.editing.location import Side
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.labels import MORPHOLOGICALLY_ALTERED, Code
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.outputs.dicom import authoring
from ICHSegmenterLib.outputs.dicom.segmentation import FILE as SEGMENTATION_FILE
from ICHSegmenterLib.outputs.dicom.segments import DicomSegment, DicomSegments
from ICHSegmenterLib.outputs.writer import ExamOutput
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.verdict import VerdictCode

FILE = "report.dcm"
SERIES_NUMBER = 901
"""Number of the series, after that of the SEG."""
PERCENT, DIGITS = 100, 3

HEAD_CT = Code("24725-4", "CT Head", "LN")
INTRACRANIAL_HEMORRHAGE = Code("1386000", "Intracranial hemorrhage")
VERDICTS = {
    VerdictCode.SUSPECTED: Code("415684004", "Suspected"),
    VerdictCode.POSSIBLE: Code("371930009", "Possible"),
    VerdictCode.NONE_FOUND: Code("260415000", "Not detected"),
}
SIDES = {Side.LEFT: Code("7771000", "Left"), Side.RIGHT: Code("24028007", "Right")}
VOLUME = Code("118565006", "Volume")
ATTENUATION = Code("112031", "Attenuation Coefficient", "DCM")
CERTAINTY = Code("111012", "Certainty of Finding", "DCM")
MEAN = Code("373098007", "Mean")
MILLILITER = Code("mL", "milliliter", "UCUM")
HOUNSFIELD_UNIT = Code("[hnsf'U]", "Hounsfield unit", "UCUM")
PERCENT_UNIT = Code("%", "percent", "UCUM")


def write(exam: ExamOutput) -> None:
    """Write `report.dcm`, also of an exam without blood; it refers to the `segmentation.dcm` beside it, if there is.

    Raises:
        OutputError: No report can be made of this series.
    """
    hd, path = authoring.import_highdicom(), exam.folder / SEGMENTATION_FILE
    outline = pydicom.dcmread(path) if path.is_file() else None
    try:
        with authoring.as_the_study_says():
            report = _report(hd, exam, outline)
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise OutputError(
            f"No structured report can be made of this series: {error}. Use report.pdf.", Cause.NO_DICOM_OBJECT
        ) from error
    with replacing(exam.folder / FILE) as temporary:
        report.save_as(temporary)


def _report(hd: Any, exam: ExamOutput, outline: Dataset | None) -> Any:
    """The report; outline is the SEG, None if nothing is outlined."""
    result, segmentation = exam.result, exam.result.segmentation
    name, version = authoring.algorithm_name(result.provenance), result.provenance.version
    groups = [_exam_group(hd, result)]
    if outline is not None and segmentation is not None:
        segments = DicomSegments.of(segmentation, exam.findings)
        groups += [_finding_group(hd, exam, segment, segments, outline) for segment in segments.segments]
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(
            observer_device_context=hd.sr.ObserverContext(
                observer_type=authoring.coded(Code("121007", "Device", "DCM")),
                observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
                    uid=_device_uid(name, version),
                    name=name,
                    manufacturer_name=authoring.MANUFACTURER,
                    model_name=name,
                    serial_number=version,
                ),
            )
        ),
        procedure_reported=authoring.coded(HEAD_CT),
        imaging_measurements=groups,
    )
    report = hd.sr.ComprehensiveSR(
        evidence=[*exam.scan_headers, *([] if outline is None else [outline])],
        content=content,
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=authoring.MANUFACTURER,
        is_complete=True,
    )
    report.SeriesDescription = f"{name} (research only)"[: authoring.MAX_TEXT]
    report.ManufacturerModelName, report.SoftwareVersions = name, version
    return report


def _exam_group(hd: Any, result: AnalysisResult) -> Any:
    """The exam as a whole (TID 1501)."""
    measurements = [_measurement(hd, CERTAINTY, PERCENT * result.assessment.probability, PERCENT_UNIT)]
    if result.segmentation is not None:
        measurements.append(_measurement(hd, VOLUME, result.blood_ml, MILLILITER))
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=hd.UID(), identifier="Exam"),
        finding_type=authoring.coded(INTRACRANIAL_HEMORRHAGE),
        algorithm_id=_algorithm(hd, result),
        measurements=measurements,
        qualitative_evaluations=[
            hd.sr.QualitativeEvaluation(
                name=authoring.coded(INTRACRANIAL_HEMORRHAGE), value=authoring.coded(VERDICTS[result.assessment.code])
            )
        ],
    )


def _finding_group(hd: Any, exam: ExamOutput, segment: DicomSegment, segments: DicomSegments, outline: Dataset) -> Any:
    """A finding (TID 1411), tracked by the identifiers of its segment."""
    volume_ml, mean_hu = segments.measure(segment, exam.volume)
    measurements = [
        _measurement(hd, VOLUME, volume_ml, MILLILITER),
        _measurement(hd, ATTENUATION, mean_hu, HOUNSFIELD_UNIT, derivation=MEAN),
    ]
    if segment.finding is not None and segment.finding.judged is not None:
        certainty = PERCENT * segment.finding.judged.probability
        measurements.append(_measurement(hd, CERTAINTY, certainty, PERCENT_UNIT))
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=outline.SegmentSequence[segment.number - 1].TrackingUID, identifier=segment.identifier
        ),
        referenced_segment=_reference(hd, exam, segment, segments, outline),
        finding_category=authoring.coded(MORPHOLOGICALLY_ALTERED),
        finding_type=authoring.coded(segment.label.type),
        finding_sites=[_site(hd, segment)],
        algorithm_id=_algorithm(hd, exam.result),
        measurements=measurements,
    )


def _site(hd: Any, segment: DicomSegment) -> Any:
    """The place that its label means, and the side if there is one."""
    side = None if segment.finding is None or segment.finding.side is None else SIDES.get(segment.finding.side)
    return hd.sr.FindingSite(
        authoring.coded(segment.label.region), laterality=None if side is None else authoring.coded(side)
    )


def _reference(hd: Any, exam: ExamOutput, segment: DicomSegment, segments: DicomSegments, outline: Dataset) -> Any:
    """The reference to a segment of the SEG, and to the slices that it was drawn on."""
    images = [exam.scan_headers[index] for index in segments.slices_of(segment)]
    return hd.sr.ReferencedSegment(
        sop_class_uid=outline.SOPClassUID,
        sop_instance_uid=outline.SOPInstanceUID,
        segment_number=segment.number,
        source_images=[hd.sr.SourceImageForSegmentation(image.SOPClassUID, image.SOPInstanceUID) for image in images],
    )


def _measurement(hd: Any, name: Code, value: float, unit: Code, *, derivation: Code | None = None) -> Any:
    return hd.sr.Measurement(
        name=authoring.coded(name),
        value=round(value, DIGITS),
        unit=authoring.coded(unit),
        derivation=None if derivation is None else authoring.coded(derivation),
    )


def _algorithm(hd: Any, result: AnalysisResult) -> Any:
    """What made the finding (TID 4019), with all options that it ran with."""
    used = result.provenance
    parameters = [f"{key}={value}" for key, value in used.options.items()]
    if used.threshold is not None:
        parameters.append(f"threshold={used.threshold:g}")
    if used.detector:
        parameters.append(f"detector={used.detector}")
    if result.edits is not None:
        parameters.append("edited by hand")
    return hd.sr.AlgorithmIdentification(
        name=authoring.algorithm_name(used),
        version=used.version,
        parameters=parameters or None,
        family=authoring.coded(authoring.algorithm_family(used)),
        manufacturer=authoring.MANUFACTURER,
    )


def _device_uid(name: str, version: str) -> str:
    """The same for the same program and method, wherever it runs."""
    return str(generate_uid(entropy_srcs=[authoring.MANUFACTURER, name, version]))
