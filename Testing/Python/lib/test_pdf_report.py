"""The report on paper, read back from the bytes of the PDF: pages, words, pictures, and no patient unless asked."""

from __future__ import annotations

import re
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from head_volumes import gantry_geometry, head, set_elements, write_head
from ICHSegmenterLib.analysis.labelmap import measure
from ICHSegmenterLib.errors import DependencyError, OutputError
from ICHSegmenterLib.labels import IPH, SAH
from ICHSegmenterLib.outputs.table import check_outputs
from ICHSegmenterLib.outputs.write import write_outputs
from ICHSegmenterLib.report.drawing.sheet import RIGHT, Sheets, shortened, wrapped
from ICHSegmenterLib.results import (
    RESEARCH_NOTICE,
    AnalysisResult,
    DetectionResult,
    Provenance,
    SegmentationResult,
    SliceDetection,
)
from ICHSegmenterLib.verdict import Edits
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

GEOMETRY = gantry_geometry(slices=8, size=40)


def result_of(volume: Volume, bleeds: int = 1) -> AnalysisResult:
    """A result with so many bleeds of 27 voxels."""
    labelmap = np.zeros(volume.geometry.shape, np.uint8)
    for bleed in range(bleeds):
        row, column = divmod(bleed, 8)
        labelmap[2:5, 4 + 4 * row : 7 + 4 * row, 4 + 4 * column : 7 + 4 * column] = 1
    segmentation = SegmentationResult(labelmap, volume.geometry, (IPH, SAH))
    slices = tuple(
        SliceDetection(k, 10.0 * k, {"any": 0.93 if labelmap[k].any() else 0.02}, bool(labelmap[k].any()))
        for k in range(len(labelmap))
    )
    return AnalysisResult(
        geometry=volume.geometry,
        detection=DetectionResult(slices, {"any": 0.93}, threshold=0.5, key_slice=3),
        segmentation=segmentation,
        measurements=measure(segmentation, volume),
        provenance=Provenance("hu-threshold", "HU threshold", "9.9", "cpu", "float32", created="2026-01-02T03:04:05"),
    )


def streams(path: Path) -> list[bytes]:
    """All streams of a PDF, unpacked."""
    found = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", path.read_bytes(), re.DOTALL)
    unpacked = []
    for data in found:
        try:
            unpacked.append(zlib.decompressobj().decompress(data))  # whose last byte may look like an end of line
        except zlib.error:
            unpacked.append(data)
    return unpacked


def text_of(path: Path) -> str:
    """The words of a PDF, a space after each piece of text; letters are of one byte or of two, as Matplotlib likes."""
    pieces = []
    for stream in streams(path):
        for block in re.findall(rb"BT\b(.*?)\bET\b", stream, re.DOTALL) if b" Tf" in stream else ():
            strings = re.findall(rb"\(((?:\\.|[^\\)])*)\)", block, re.DOTALL)
            letters = re.sub(rb"\\(.)", rb"\1", b"".join(strings), flags=re.DOTALL).replace(b"\0", b"")
            pieces.append(letters.decode("latin-1"))
    return " ".join(pieces)


def pages_of(path: Path) -> int:
    return len(re.findall(rb"/Type /Page\b", path.read_bytes()))


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """A DICOM series of somebody."""
    files = write_head(tmp_path / "ct", GEOMETRY)
    set_elements(files, PatientName="Doesnotexist^Jane", PatientID="ID-4711-0815", AccessionNumber="ACC-98765")
    set_elements(files, PatientBirthDate="19700131")
    return tmp_path / "ct"


def write(series: Path, *outputs: str, bleeds: int = 1, edits: Edits | None = None) -> dict[str, Path]:
    volume = read_volume(series)
    result = replace(result_of(volume, bleeds), edits=edits)
    return write_outputs(result, volume, series.parent / "out", outputs=outputs, source=series)


def test_the_report_holds_verdict_findings_method_limits_and_the_notice_once(series: Path) -> None:
    path = write(series, "pdf")["report.pdf"]
    text = text_of(path)
    assert pages_of(path) in (1, 2)
    for words in (
        "Hemorrhage suspected (probability 0.93) on 3 of 8 slices",
        "HU threshold, ICHSegmenter 9.9",
        "Intraparenchymal hemorrhage",
        "Limits: No learning: misses bleeds below 50 HU",
        "Does not see: blood below 50 HU",
        "page 1 of",
    ):
        assert words in text
    assert text.count(RESEARCH_NOTICE) == 1


def test_the_milliliters_on_paper_are_those_of_the_outline(series: Path) -> None:
    text = text_of(write(series, "pdf", bleeds=2)["report.pdf"])
    ml = 27 * 3.2 * 3.2 * 10.0 / 1000
    numbers = re.findall(r"(?<![\d.])\d+\.\d\d(?![\d.])", text)  # not the parts of a UID
    assert numbers.count(f"{ml:.2f}") == 2  # a finding each
    assert numbers.count(f"{2 * ml:.2f}") == 2  # the segment and the total


def test_six_slices_are_pictured(series: Path) -> None:
    path = write(series, "pdf")["report.pdf"]
    assert len(re.findall(rb"/Subtype /Image\b", path.read_bytes())) == 6


def test_no_patient_is_named_unless_asked(series: Path) -> None:
    for files in (write(series, "pdf", "report", "overview"), write(series, "+pdf")):
        for path in files.values():
            words = text_of(path) if path.suffix == ".pdf" else path.read_bytes().decode("latin-1")
            assert not any(secret in words for secret in ("Doesnotexist", "4711-0815", "19700131", "ACC-98765"))
    files = write(series, "pdf", "report", "identity")
    for words in (text_of(files["report.pdf"]), files["report.html"].read_text()):
        for part in ("Doesnotexist Jane", "ID-4711-0815", "19700131", "ACC-98765"):
            assert part in words
    assert "Doesnotexist" not in files["result.json"].read_text()


def test_an_exam_that_names_nobody_cannot_be_asked_for_its_patient() -> None:
    with pytest.raises(OutputError, match="Leave identity out"):
        check_outputs(["+identity"], head(GEOMETRY), Path("head.nii.gz"))


def test_a_long_list_of_findings_goes_on_on_the_next_page_under_its_heading(series: Path) -> None:
    path = write(series, "pdf", bleeds=64)["report.pdf"]
    assert pages_of(path) >= 3
    assert text_of(path).count("Mean HU") >= 3  # of segments, and of the findings on each page


def test_after_edits_the_report_says_so_and_what_was_before(series: Path) -> None:
    files = write(series, "pdf", "report", edits=Edits(("IPH",), "Hemorrhage possible (score 0.40)."))
    for words in (text_of(files["report.pdf"]), files["report.html"].read_text()):
        assert "Edited by hand: 2.8 mL of hemorrhage on 3 of 8 slices" in words
        assert "before: Hemorrhage possible (score 0.40)." in words


def test_equal_results_give_equal_pages(series: Path) -> None:
    first = write(series, "pdf")["report.pdf"].read_bytes()
    assert write(series, "pdf")["report.pdf"].read_bytes() == first


def test_a_missing_matplotlib_is_named_before_the_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DependencyError, match="pip install matplotlib"):
        check_outputs(["+pdf"], head(GEOMETRY), None)


def test_lines_are_broken_at_spaces_and_a_long_word_within() -> None:
    assert wrapped("one two", 9, 1000) == ["one two"]
    lines = wrapped("a sentence of several words " + "x" * 80, 9, 100)
    assert " ".join(lines).replace(" ", "") == ("a sentence of several words " + "x" * 80).replace(" ", "")
    assert len(lines) > 4
    assert shortened("a long cell of a table", 9, 40).endswith("…")
    assert shortened("cell", 9, 400) == "cell"


def test_a_paragraph_that_does_not_fit_begins_the_next_page(tmp_path: Path) -> None:
    sheets = Sheets("footer")
    sheets.space(RIGHT * 1.3)
    before = sheets.y
    sheets.text("words " * 300)
    assert sheets.y < before
    sheets.save(tmp_path / "two.pdf", "Two")
    assert pages_of(tmp_path / "two.pdf") == 2
