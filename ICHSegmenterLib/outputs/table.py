"""The one table of outputs, and the words that choose among them.

A new output is one module with a `write` function, and one line here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from ICHSegmenterLib.outputs import (
    identity,
    labelmap,
    labelmap_regular,
    maps,
    overview,
    pdf,
    report,
    result_json,
    seg_nrrd,
    slices_csv,
)
from ICHSegmenterLib.outputs.dicom import segmentation, structured_report
from ICHSegmenterLib.outputs.writer import Output
from ICHSegmenterLib.request import MAP
from ICHSegmenterLib.volume.volume import Volume

RESULT = "json"
"""The output that says that a folder is whole; always written, and last."""

OUTPUTS: dict[str, Output] = {
    "seg_nrrd": Output(seg_nrrd.write, files=("segmentation.seg.nrrd",), is_default=True),
    "labelmap": Output(labelmap.write, files=("labelmap.nii.gz",), is_default=True),
    "labelmap_regular": Output(labelmap_regular.write, files=("labelmap_regular.nii.gz",), is_default=True),
    MAP: Output(maps.write, files=("map.nii.gz", "uncertainty.nii.gz", "below_threshold.nii.gz"), needs_maps=True),
    "dicom_seg": Output(segmentation.write, files=(segmentation.FILE,), check=segmentation.check),
    "dicom_sr": Output(
        structured_report.write, files=(structured_report.FILE,), check=segmentation.check, refers_to=("dicom_seg",)
    ),
    "csv": Output(slices_csv.write, files=("slices.csv",), is_default=True),
    "overview": Output(overview.write, files=("overview.png", "thumbnail.jpg"), is_default=True),
    "report": Output(report.write, files=("report.html",), is_default=True),  # embeds the overview
    "pdf": Output(pdf.write, files=(pdf.FILE,), check=pdf.check),
    identity.NAME: Output(identity.write, files=(), check=identity.check),
    RESULT: Output(result_json.write, files=(result_json.DONE_FILE,), is_default=True),
}


def select(words: Iterable[str]) -> tuple[str, ...]:
    """The names of the outputs that a selection means, in the order of the table.

    Args:
        words: Names are written instead of the defaults; `+name` adds, `-name` takes away; several may stand in one
            word, with commas or spaces between them. Without any word: the defaults.

    Raises:
        ValueError: An unknown name, or `-json`.
    """
    words = [word for text in words for word in text.replace(",", " ").split()]
    signed = [(word[0] if word[0] in "+-" else "", _known(word.lstrip("+-"))) for word in words]
    named = {name for sign, name in signed if not sign}
    selected = named or {name for name, output in OUTPUTS.items() if output.is_default}
    for sign, name in signed:
        if sign == "-" and name == RESULT:
            raise ValueError(f"{result_json.DONE_FILE} says that a folder is whole; it cannot be left out")
        selected = selected - {name} if sign == "-" else selected | {name}
    if any(OUTPUTS[name].needs_maps for name in selected):
        selected |= {MAP}
    selected = selected.union(*(OUTPUTS[name].refers_to for name in selected))
    return (*(name for name in OUTPUTS if name in selected and name != RESULT), RESULT)


def check_outputs(names: Iterable[str], volume: Volume, source: Path | None) -> None:
    """Refuse before an analysis what could not be written after it.

    Args:
        names: As for `select`.
        volume: The exam.
        source: File or folder that it was read from.

    Raises:
        OutputError: An output cannot be made of this input.
        DependencyError: An output needs a package that is missing.
        ValueError: As of `select`.
    """
    for name in select(names):
        if check := OUTPUTS[name].check:
            check(volume, source)


def _known(name: str) -> str:
    key = name.replace("-", "_")
    if key not in OUTPUTS:
        close = difflib.get_close_matches(key, OUTPUTS, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ValueError(f"there is no output {name!r}.{hint} Outputs: {', '.join(OUTPUTS)}")
    return key
