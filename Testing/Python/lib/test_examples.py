"""The scripts in examples/, run as a newcomer runs them: in a process of their own, on a phantom."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples"
BLEED_ML = 20.0


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DICOM series of a head with a 20 mL bleed, thick slices."""
    geometry = head_geometry((20, 192, 192), pixel_mm=(1.2, 1.2), slice_step_mm=7.0)
    phantom = make_phantom(geometry, HeadModel(bleeds=(Bleed.sphere(BLEED_ML, (26.0, 6.0, 30.0), 62.0),)), seed=1)
    folder = tmp_path_factory.mktemp("exams") / "bleed"
    write_dicom_series(phantom.volume, folder)
    return folder


def run(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / script), *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_one_exam_prints_the_verdict_and_leaves_the_files(exam: Path, tmp_path: Path) -> None:
    answer = run("one_exam.py", exam, tmp_path / "results")
    assert answer.returncode == 0, answer.stderr
    result = json.loads((tmp_path / "results" / "result.json").read_text())
    assert answer.stdout.splitlines()[0] == result["verdict"]
    assert str(tmp_path / "results" / "segmentation.seg.nrrd") in answer.stdout
    assert result["measurements"][0]["volume_ml"] == pytest.approx(BLEED_ML, rel=0.35)


def test_one_exam_ends_with_the_typed_error_of_a_folder_without_a_ct(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("no image")
    answer = run("one_exam.py", tmp_path, tmp_path / "results")
    assert answer.returncode == 1
    assert answer.stderr.startswith("bad_input: ")
    assert "Traceback" not in answer.stderr


def test_a_folder_becomes_a_table_and_a_broken_exam_a_row_of_it(exam: Path, tmp_path: Path) -> None:
    exams = tmp_path / "exams"
    shutil.copytree(exam, exams / "bleed")
    (exams / "broken.nii.gz").write_bytes(b"no image")
    answer = run("folder.py", exams, tmp_path / "table.csv")
    assert answer.returncode == 0, answer.stderr
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = {row["exam"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"bleed", "broken.nii.gz"}
    assert rows["bleed"]["positive"] == "1"
    assert float(rows["bleed"]["blood_ml"]) == pytest.approx(BLEED_ML, rel=0.35)
    assert rows["broken.nii.gz"]["error"] == "bad_input"


@pytest.mark.shipped
def test_own_weights_are_what_gives_the_verdict(exam: Path, tmp_path: Path) -> None:
    """A copy of a file that ships stands for a file of one's own."""
    pytest.importorskip("torch")
    for suffix in (".safetensors", ".json"):
        shutil.copy(ROOT / "Resources" / "Models" / f"compact-hgi{suffix}", tmp_path / f"mine{suffix}")
    answer = run("own_weights.py", exam, "compact-hgi", tmp_path / "mine.safetensors")
    assert answer.returncode == 0, answer.stderr
    card = json.loads((tmp_path / "mine.json").read_text())
    assert any(line.startswith("mine.safetensors: SHA-256 ") for line in answer.stdout.splitlines()), answer.stdout
    assert answer.stdout.rstrip().rsplit(" ", 1)[-1] in json.dumps(card)
