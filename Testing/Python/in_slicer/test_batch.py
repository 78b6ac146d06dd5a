"""The batch script runs as Slicer runs it: in its own process, without a window, by its path."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.batch.owner import owned
from ICHSegmenterLib.cli.main import main as library
from ICHSegmenterLib.errors import Failure, WorkerError
from ICHSegmenterLib.outputs.table import OUTPUTS
from ICHSegmenterLib.outputs.writer import Output
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.export import write_nifti

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPT = REPOSITORY / "ICHSegmenter" / "ICHSegmenterSlicer" / "batch.py"

pytestmark = pytest.mark.slicer


@pytest.fixture(scope="module")
def exams(tmp_path_factory):
    """A tilted uneven head with a bleed of known volume, and a broken file."""
    folder = tmp_path_factory.mktemp("exams")
    steps = [4.22] * 13 + [7.38] * 13
    geometry = head_geometry((27, 96, 96), pixel_mm=(2.4, 2.4), slice_step_mm=steps, tilt_deg=12)
    phantom = make_phantom(geometry, HeadModel((Bleed.sphere(20.0, (30.0, 5.0, 32.0)),)), subsamples=(2, 1, 1))
    write_dicom_series(phantom.volume, folder / "a")
    (folder / "b").mkdir()
    np.random.default_rng(0).bytes(4000)
    (folder / "b" / "broken.nii").write_bytes(b"not an image")
    return folder, phantom


def runBatch(*arguments, module=("SlicerShell",)) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "Testing")}
    options = ["--no-splash", "--no-main-window", "--python-script", str(SCRIPT), "--", *map(str, arguments)]
    return subprocess.run(
        [sys.executable, "-m", *module, *options], capture_output=True, text=True, env=environment, timeout=300
    )


@pytest.fixture(scope="module")
def finished(exams, tmp_path_factory):
    """One batch over both exams: what it printed, and its output folder."""
    output = tmp_path_factory.mktemp("results")
    return runBatch("--input", exams[0], "--output", output, "--method", "hu-threshold"), output


def rows(output: Path) -> list[dict[str, str]]:
    with (output / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_broken_exam_does_not_stop_the_other_and_the_exit_code_tells(finished):
    process, output = finished
    assert process.returncode == 1, process.stderr
    assert sorted(row["status"] for row in rows(output)) == ["done", "failed"]
    assert "1 done, 0 done before, 1 failed" in process.stdout


def test_the_volume_of_the_bleed_is_right_on_a_tilted_uneven_series(finished, exams):
    done = next(row for row in rows(finished[1]) if row["status"] == "done")
    assert float(done["blood_ml"]) == pytest.approx(exams[1].blood_ml, rel=0.15)
    result = json.loads((finished[1] / done["exam"] / "result.json").read_text(encoding="utf-8"))
    assert result["geometry"]["tilt_deg"] == pytest.approx(12, abs=0.1)


def test_a_second_run_resumes(finished, exams):
    process = runBatch("--input", exams[0] / "a", "--output", finished[1], "--method", "hu-threshold")
    assert process.returncode == 0, process.stderr
    assert "0 done, 1 done before, 0 failed" in process.stdout


def test_the_verb_goes_on_with_what_slicer_began_and_finds_nothing_to_do(finished, exams, capsys):
    """Same names under the same key, same digests, same outputs, same exit code."""
    before = {row["exam"]: row["blood_ml"] for row in rows(finished[1]) if row["status"] != "failed"}
    words = ["batch", str(exams[0]), "--output", str(finished[1]), "--method", "hu-threshold"]
    assert library(words) == 1
    assert "0 done, 1 done before, 1 failed" in capsys.readouterr().out
    assert {row["exam"]: row["blood_ml"] for row in rows(finished[1]) if row["status"] != "failed"} == before


def test_slicer_goes_on_with_what_the_verb_began_and_writes_equal_files(finished, exams, tmp_path):
    words = ["--output", str(tmp_path / "out"), "--method", "hu-threshold", "--map", str(tmp_path / "map.csv")]
    assert library(["batch", str(exams[0] / "a"), *words]) == 0
    process = runBatch("--input", exams[0] / "a", *words)
    assert "0 done, 1 done before, 0 failed" in process.stdout, process.stderr
    mapped = (tmp_path / "map.csv").read_text()
    assert str(exams[0] / "a") in mapped
    (verb,) = (tmp_path / "out").glob("*/result.json")
    assert verb.parent.name in mapped
    (slicer,) = finished[1].glob("*/result.json")
    names = {path.name for path in verb.parent.iterdir()}
    assert {path.name for path in slicer.parent.iterdir()} == names
    for name in names - {"result.json", "report.html", "overview.png"}:  # these name the time, or the processor's run
        assert (slicer.parent / name).read_bytes() == (verb.parent / name).read_bytes(), name


def test_a_folder_that_another_batch_writes_is_refused(exams, tmp_path):
    with owned(tmp_path / "out"):
        process = runBatch("--input", exams[0] / "a", "--output", tmp_path / "out", "--method", "hu-threshold")
    assert process.returncode == 1
    assert "error: Another batch writes to" in process.stderr


def test_a_brain_mask_goes_to_the_worker(exams, tmp_path):
    volume = exams[1].volume
    mask = np.zeros(volume.geometry.shape, dtype=np.uint8)
    mask[:, :10, :10] = 1  # a corner without blood
    write_nifti(volume.hu, volume.geometry, tmp_path / "in" / "ct.nii.gz")
    write_nifti(mask, volume.geometry, tmp_path / "masks" / "ct_mask.nii.gz")
    arguments = ["--input", tmp_path / "in", "--output", tmp_path / "out", "--method", "hu-threshold"]
    process = runBatch(*arguments, "--brain-masks", tmp_path / "masks")
    assert process.returncode == 0, process.stderr
    assert [float(row["blood_ml"]) for row in rows(tmp_path / "out")] == [0.0]


def test_an_analysis_beyond_the_time_limit_fails_and_the_worker_is_there_for_the_next(
    shell, exams, tmp_path, monkeypatch
):
    from ICHSegmenterSlicer import batch

    asked = []

    def submit(client, message, *, progress, done, failed):
        asked.append(failed)
        return "1"

    monkeypatch.setattr(batch.WorkerClient, "submit", submit)
    cancelled = lambda client, request: asked[-1](Failure("cancelled", "Cancelled."))  # noqa: E731
    monkeypatch.setattr(batch.WorkerClient, "cancel", cancelled)
    monkeypatch.setattr(batch, "_missing", lambda settings: [])
    for name in ("1", "2"):
        write_nifti(exams[1].volume.hu, exams[1].volume.geometry, tmp_path / "in" / f"{name}.nii.gz")
    arguments = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--method", "hu-threshold"]
    assert batch.main([*arguments, "--exam-timeout", "0.01"]) == 1
    assert [(row["status"], row["error"]) for row in rows(tmp_path / "out")] == [("failed", "time_limit")] * 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_sigterm_ends_it_as_it_ends_the_verb(shell, exams, tmp_path, monkeypatch, capsys):
    from ICHSegmenterSlicer import batch

    asked = []

    def submit(client, message, *, progress, done, failed):
        asked.append(failed)
        os.kill(os.getpid(), signal.SIGTERM)
        return "1"

    monkeypatch.setattr(batch.WorkerClient, "submit", submit)
    cancelled = lambda client, request: asked[-1](Failure("cancelled", "Cancelled."))  # noqa: E731
    monkeypatch.setattr(batch.WorkerClient, "cancel", cancelled)
    monkeypatch.setattr(batch, "_missing", lambda settings: [])
    arguments = ["--input", str(exams[0] / "a"), "--output", str(tmp_path / "out"), "--method", "hu-threshold"]
    assert batch.main(arguments) == 1
    assert capsys.readouterr().err.endswith("cancelled; nothing half-done was left behind\n")
    assert rows(tmp_path / "out") == []
    assert (tmp_path / "out" / "worklist.html").exists()


def test_method_and_detector_go_to_the_worker_together(exams, tmp_path):
    """There are no weights of it here: the answer for the exam shows that the request arrived."""
    arguments = ("--input", exams[0] / "a", "--output", tmp_path / "out", "--method", "hu-threshold")
    process = runBatch(*arguments, "--detector", "rsna-sequence")
    assert process.returncode == 1, process.stderr
    assert "models import FILE --method rsna-sequence" in process.stderr
    refused = runBatch(*arguments, "--detector", "unet")
    assert refused.returncode == 2
    assert "error: unet tells no subtypes" in refused.stderr


def test_all_that_is_said_of_method_and_detector_is_read_by_the_worker(shell, exams, tmp_path, monkeypatch):
    from ICHSegmenterSlicer import batch

    asked = []

    def ask(analyzer, message):
        asked.append(AnalysisRequest.from_json(message["request"]))
        raise WorkerError("asked")

    monkeypatch.setattr(batch.WorkerAnalyzer, "_ask", ask)
    monkeypatch.setattr(batch, "_missing", lambda settings: [])
    monkeypatch.chdir(tmp_path)
    for name in ("1.pt", "2.pt", "3.pt"):
        (tmp_path / name).touch()
    arguments = ["--input", str(exams[0] / "a"), "--output", "out", "--method", "swin-sam", "--weights", "1.pt"]
    arguments += ["--option", "tta=true", "--threshold", "0.4", "--detection-threshold", "0.3"]
    arguments += ["--detector", "rsna-sequence", "--detector-weights", "2.pt", "3.pt"]
    arguments += ["--detector-option", "masked=true", "--detector-option", "tta=true"]
    assert batch.main(arguments) == 1
    (request,) = asked
    assert (request.method, request.weights) == ("swin-sam", (tmp_path / "1.pt",))
    assert request.options == {"tta": True}
    assert (request.threshold, request.detection_threshold) == (0.4, 0.3)
    assert (request.detector, request.detector_weights) == ("rsna-sequence", (tmp_path / "2.pt", tmp_path / "3.pt"))
    assert request.detector_options == {"masked": True, "tta": True}


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        ("--option tta", "argument --option: must look like NAME=VALUE, got tta"),
        ("--option tat=true", "error: unet has no option 'tat'; available: tta"),
        ("--option tta=1", "error: option tta of unet is a bool like False, got 1"),
        ("--detector hgi-sam", "error: hgi-sam tells no subtypes"),
        ("--detector rsna-sequence --detector-option tat=true", "error: rsna-sequence has no option 'tat'"),
        ("--detector-option tta=true", "error: weights or options of a detector were given, but no detector"),
        ("--threshold 2", "argument --threshold: must lie between 0 and 1, got 2"),
        ("--outputs +reprot", "error: there is no output 'reprot'. Did you mean report?"),
        ("--precision half", "argument --precision: 'half' is none of"),
    ],
)
def test_what_is_wrong_is_told_in_the_words_of_the_command_line(wrong, answer, shell, tmp_path, capsys):
    from ICHSegmenterSlicer import batch

    arguments = [str(tmp_path), "--output", str(tmp_path / "out"), "--method", "unet", *wrong.split()]
    assert [batch.main(["--input", *arguments]), library(["batch", *arguments])] == [2, 2]
    told = [line for line in capsys.readouterr().err.splitlines() if answer in line]
    assert len(told) == 2
    assert told[0] == told[1]


def test_an_output_from_outside_is_written_in_slicer_too(shell, exams, tmp_path, monkeypatch):
    """Slicer's batch writes the files itself; the worker, whose part is done here in this process, writes none."""
    from ICHSegmenterSlicer import batch

    def write(exam):
        (exam.folder / "count.txt").write_text(str(len(exam.result.detection.slices)))

    monkeypatch.setitem(OUTPUTS, "slice_count", Output(write, files=("count.txt",)))
    monkeypatch.setattr(batch.WorkerAnalyzer, "__call__", lambda analyzer, volume: analyze(volume, analyzer._request))
    monkeypatch.setattr(batch, "_missing", lambda settings: [])
    arguments = ["--input", str(exams[0] / "a"), "--output", str(tmp_path / "out"), "--method", "hu-threshold"]
    assert batch.main([*arguments, "--outputs", "csv", "slice_count"]) == 0
    (folder,) = (path for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert {path.name for path in folder.iterdir()} == {"slices.csv", "count.txt", "result.json"}


def test_results_of_another_method_are_refused_until_they_may_be_replaced(finished, exams, tmp_path):
    shutil.copytree(finished[1], tmp_path / "out")
    (result,) = (tmp_path / "out").glob("*/result.json")
    result.write_text(result.read_text().replace('"method": "hu-threshold"', '"method": "unet"'))
    arguments = ("--input", exams[0] / "a", "--output", tmp_path / "out", "--method", "hu-threshold")
    process = runBatch(*arguments)
    assert process.returncode == 1
    assert "of unet instead of hu-threshold" in process.stderr
    process = runBatch(*arguments, "--overwrite")
    assert process.returncode == 0, process.stderr
    assert "1 done, 0 done before, 0 failed" in process.stdout


def test_wrong_use_and_an_unknown_method_end_with_2(tmp_path):
    assert runBatch("--output", tmp_path).returncode == 2
    process = runBatch("--input", tmp_path, "--output", tmp_path, "--method", "magic")
    assert process.returncode == 2
    assert "Unknown method 'magic'" in process.stderr
