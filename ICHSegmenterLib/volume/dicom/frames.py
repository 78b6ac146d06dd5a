"""Look-up of a DICOM element: directly in the header, or in functional groups of a multi-frame file.

DICOM PS3.3, section C.7.6.16: an element stands in a group of one frame, else in the shared groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset

_GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleType": "PixelValueTransformationSequence",
    "ConvolutionKernel": "CTReconstructionSequence",
    "KVP": "CTXRayDetailsSequence",
}


def frames_of(header: Dataset) -> list[list[Dataset]]:
    """For each frame the data sets to look in, most specific first; one entry for a single-frame file."""
    frames = header.get("PerFrameFunctionalGroupsSequence")
    if not frames:
        return [[header]]
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    return [[frame, *shared, header] for frame in frames]


def look_up(headers: Sequence[Dataset], keyword: str) -> Any:
    """The value in the first place that has it, directly or in its functional group; None if nowhere or empty."""
    for header in headers:
        for holder in (header, *(header.get(_GROUPS.get(keyword, "")) or ())[:1]):
            value = holder.get(keyword)
            if value is not None and value != "":
                return value
    return None


def number_of(value: Any) -> float | None:
    """A finite number, or None if the value is absent or none."""
    try:
        number = None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return None
    return number if number is not None and math.isfinite(number) else None


def count_of(value: Any, *, default: int = 0) -> int:
    """A whole number, or the default if the value is absent or no number."""
    number = number_of(value)
    return default if number is None else int(number)


def values_of(element: Any) -> list[Any]:
    """The values of an element that may have none, one or several."""
    if element is None or element == "":
        return []
    return [element] if isinstance(element, str) or not hasattr(element, "__iter__") else list(element)


def text_of(element: Any) -> str:
    """One printable line of at most 64 characters; several values are joined by a slash."""
    joined = "/".join(str(value) for value in values_of(element))
    return "".join(character for character in joined if character.isprintable()).strip()[:64]
