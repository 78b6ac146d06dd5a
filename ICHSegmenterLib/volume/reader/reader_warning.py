"""Warnings of the readers of files: a code, its numbers, and one sentence in English.

The panel translates by code; `ReaderWarning.text` is the one place with English words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from ICHSegmenterLib.notices.notice import Notice, Words


class ReaderCode(str, Enum):
    """Codes of warnings; the value travels and stays."""

    OTHER_SERIES = "other_series"
    REPEATED_SLICES = "repeated_slices"
    TWO_PASSES = "two_passes"
    MISSING_SLICE = "missing_slice"
    MISSING_SLICES = "missing_slices"
    UNEQUAL_STEPS = "unequal_steps"
    NO_RESCALE = "no_rescale"
    PADDING_IN_TISSUE = "padding_in_tissue"
    CONTRAST_AGENT = "contrast_agent"
    LOSSY = "lossy"
    NO_NUMBER = "no_number"
    NO_ORIENTATION = "no_orientation"
    INSERTED = "inserted"
    AUGMENTED = "augmented"
    SENTENCE = "sentence"


_MISSING = " to be missing ({gaps} along the slice normal). Volumes there are estimates; export the series again."
SENTENCES: Mapping[ReaderCode, str] = {
    ReaderCode.OTHER_SERIES: "Read {series}; not read: {others}.",
    ReaderCode.REPEATED_SLICES: (
        "Slices were repeated at {positions} mm along the slice normal; the latest acquisition was used."
    ),
    ReaderCode.TWO_PASSES: (
        "The series was made in two passes, one between the slices of the other: {passes}. They were read as one scan, "
        "which is right if the head did not move between them; if the passes do not fit together, export one of them "
        "as its own series."
    ),
    ReaderCode.MISSING_SLICE: "1 slice seems" + _MISSING,
    ReaderCode.MISSING_SLICES: "{count} slices seem" + _MISSING,
    ReaderCode.UNEQUAL_STEPS: (
        "Unequal slice spacing: steps of {least:.2f} to {most:.2f} mm. Positions and volumes take it into account."
    ),
    ReaderCode.NO_RESCALE: (
        "The files lack RescaleSlope and RescaleIntercept; stored values were taken as Hounsfield units."
    ),
    ReaderCode.PADDING_IN_TISSUE: "PixelPaddingValue lies among tissue values and was ignored.",
    ReaderCode.CONTRAST_AGENT: (
        "The scan was made with contrast agent: vessels and dura are bright and may be taken for blood. "
        "Prefer the scan without contrast."
    ),
    ReaderCode.LOSSY: "The images were compressed with loss; faint bleeds may be blurred.",
    ReaderCode.NO_NUMBER: "Voxels without a number (NaN or infinite) were taken as air.",
    ReaderCode.NO_ORIENTATION: "The NIfTI file does not say left from right; its axes were taken as RAS.",
    ReaderCode.INSERTED: "Hemorrhage was inserted: not a real exam.",
    ReaderCode.AUGMENTED: "The scan was augmented: not a real exam.",
    ReaderCode.SENTENCE: "{sentence}",
}
"""English sentence of each code, with the names of its parameters."""


def series_words(series: Mapping[str, Any]) -> str:
    """A series in English.

    Args:
        series: number, slices, thickness_mm, step_mm, plane, kernel, has_contrast, rejected; unknown ones 0 or empty.
    """
    count = series["slices"]
    thick = f" of {series['thickness_mm']:g} mm" if series["thickness_mm"] > 0 else ""
    apart = f" every {series['step_mm']:.3g} mm" if series["step_mm"] > 0 else ""
    parts = [f"series {series['number']}"]
    parts += [f"{count} slice{'s' if count > 1 else ''}{thick}{apart}"] * (count > 0)
    parts += [series["plane"]] * bool(series["plane"]) + [f"kernel {series['kernel']}"] * bool(series["kernel"])
    parts += ["with contrast agent"] * series["has_contrast"]
    return ", ".join(parts) + (f" ({series['rejected']})" if series["rejected"] else "")


def pass_words(one: Mapping[str, Any]) -> str:
    """A pass of a scan in English; it holds slices, step_mm, first_mm, last_mm and name."""
    return "{slices} slices {step_mm:.1f} mm apart from {first_mm:.1f} to {last_mm:.1f} mm ({name})".format(**one)


ENGLISH: Words = {
    "series": series_words,
    "others": lambda others: "; ".join(map(series_words, others)),
    "positions": lambda positions: ", ".join(f"{position:.1f}" for position in positions),
    "passes": lambda passes: " and ".join(map(pass_words, passes)),
    "gaps": lambda gaps: ", ".join(f"between {low:.1f} and {high:.1f} mm" for low, high in gaps),
}


@dataclass(frozen=True)
class ReaderWarning(Notice):
    """One warning about a file."""

    code: ReaderCode

    codes: ClassVar[type[Enum]] = ReaderCode
    sentences: ClassVar[Mapping[ReaderCode, str]] = SENTENCES
    words: ClassVar[Words] = ENGLISH

    @classmethod
    def from_json(cls, data: Any) -> ReaderWarning:
        """The warning that `to_json` wrote; a text, as scenes of older versions hold it, stays that.

        Raises:
            ValueError: This version does not know the code, or it is no warning.
        """
        if isinstance(data, str):
            return cls(ReaderCode.SENTENCE, {"sentence": data})
        return super().from_json(data)
