"""The command line: verbs, exit codes, one line of why."""

import json
import logging
import os
import re
import runpy
import subprocess
import sys

import pytest

from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    geometry = head_geometry((16, 96, 96), pixel_mm=(2.4, 2.4), slice_step_mm=9.0, tilt_deg=10)
    phantom = make_phantom(geometry, HeadModel(bleeds=(Bleed.sphere(25.0, (26.0, 6.0, 30.0), 62.0),)), seed=5)
    folder = tmp_path_factory.mktemp("ct")
    write_dicom_series(phantom.volume, folder)
    return str(folder)


def test_segment_writes_results_and_says_where(series, tmp_path, capsys):
    assert main(["segment", series, "--method", "hu-threshold", "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Hemorrhage suspected")
    assert str(tmp_path / "out") in printed
    assert (tmp_path / "out" / "segmentation.seg.nrrd").exists()


def test_json_is_the_result_and_nothing_else(series, tmp_path, capsys):
    code = main(["segment", series, "--method", "hu-threshold", "--output", str(tmp_path / "out"), "--json"])
    plain = json.loads(capsys.readouterr().out)
    assert code == 0
    assert plain["positive"]
    written = json.loads((tmp_path / "out" / "result.json").read_text())
    assert written.pop("files") == {"segmentation_grid": "regular"}  # of the files beside it, so only in the file
    assert written.pop("outputs") == [
        "seg_nrrd",
        "labelmap",
        "labelmap_regular",
        "csv",
        "overview",
        "report",
        "json",
    ]
    assert written.pop("exam").startswith("series-")
    assert plain == written


def test_detect_outlines_nothing(series, tmp_path):
    assert main(["detect", series, "--method", "hu-threshold", "--output", str(tmp_path / "out")]) == 0
    assert not (tmp_path / "out" / "labelmap.nii.gz").exists()
    assert (tmp_path / "out" / "slices.csv").exists()


def test_results_go_to_a_folder_without_patient_data_if_none_is_named(series, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["segment", series, "--method", "hu-threshold"]) == 0
    (folder,) = (tmp_path / "ichsegmenter-results").iterdir()
    assert folder.name.startswith("series-")
    assert folder.name.endswith("-hu-threshold")


def test_the_default_without_weights_is_the_classical_method(series, tmp_path, capsys):
    assert main(["segment", series, "--output", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["provenance"]["method"] == "hu-threshold"


def test_batch_exits_with_one_if_an_exam_failed(series, tmp_path, capsys):
    (tmp_path / "broken.nii.gz").write_bytes(b"x")
    arguments = ["batch", series, str(tmp_path / "broken.nii.gz"), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--method", "hu-threshold"]) == 1
    shown = capsys.readouterr()
    assert "1 done, 0 done before, 1 failed" in shown.out


def test_what_failed_in_a_batch_is_said_once(tmp_path):
    (tmp_path / "broken.nii.gz").write_bytes(b"x")
    words = ["batch", str(tmp_path / "broken.nii.gz"), "--output", str(tmp_path / "out"), "--method", "hu-threshold"]
    program = subprocess.run([sys.executable, "-m", "ICHSegmenterLib", *words], capture_output=True, text=True)
    assert program.returncode == 1
    lines = program.stderr.splitlines()
    assert re.fullmatch(r"\[1/1\] exam-[0-9a-f]{16}", lines[0])
    assert [line.partition(": ")[0] for line in lines[1:]] == ["failed"]


def test_a_batch_on_a_processor_of_no_known_name_fails_before_its_first_exam(series, tmp_path, capsys):
    arguments = ["batch", series, "--method", "hu-threshold", "--output", str(tmp_path / "out"), "--device", "gpu"]
    assert main(arguments) == 2
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert told.startswith("error: The device 'gpu' cannot be used")
    assert not (tmp_path / "out").exists()


def test_missing_weights_fail_with_one_line_of_what_to_do(series, tmp_path, capsys):
    assert main(["segment", series, "--method", "blast-ct", "--output", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert "models download blast-ct" in told[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [["segment"], ["dance"], ["segment", "x", "--threshold", "40"], ["segment", "x", "--precision", "float8"]],
)
def test_wrong_use_exits_with_two(arguments):
    assert main(arguments) == 2


def test_an_input_that_does_not_exist_is_wrong_use_with_its_name(tmp_path, capsys):
    assert main(["segment", str(tmp_path / "nothing.nii.gz")]) == 2
    assert "nothing.nii.gz" in capsys.readouterr().err


def test_an_unknown_method_names_the_known_ones(series, capsys):
    assert main(["segment", series, "--method", "best"]) == 2
    assert "available:" in capsys.readouterr().err


def test_models_list_names_every_method(capsys):
    assert main(["models", "list"]) == 0
    printed = capsys.readouterr().out
    assert "hgi-sam" in printed
    assert "no weights needed" in printed


def test_importing_an_unknown_file_is_refused(tmp_path, capsys):
    (tmp_path / "other.pt").write_bytes(b"something else")
    assert main(["models", "import", str(tmp_path / "other.pt")]) == 1
    assert "other.pt" in capsys.readouterr().err


def test_doctor_tells_devices_and_methods(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "Device for auto" in printed
    assert "blast-ct" in printed


class Interrupted:
    """A module during whose import the user presses Ctrl-C."""

    def __getattr__(self, name):
        raise KeyboardInterrupt


def test_control_c_while_the_program_starts_prints_no_traceback(monkeypatch):
    monkeypatch.setitem(sys.modules, "ICHSegmenterLib.cli.main", Interrupted())
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("ICHSegmenterLib", run_name="__main__")
    assert str(stop.value).startswith("cancelled")


def test_a_path_that_the_system_refuses_fails_with_one_line(capsys):
    assert main(["segment", "y" * 400 + ".nii.gz", "--method", "hu-threshold"]) == 1
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert told.startswith("error: yyy")
    assert "File name too long" in told


def test_running_out_of_memory_fails_with_one_line(series, monkeypatch, capsys):
    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr("ICHSegmenterLib.cli.verbs.segment.read_volume", exhausted)
    assert main(["segment", series, "--method", "hu-threshold"]) == 1
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert "ran out of memory" in told


def test_a_batch_into_a_folder_that_cannot_be_made_fails_with_one_line_an_exam(series, tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    assert main(["batch", series, "--method", "hu-threshold", "--output", str(tmp_path / "taken")]) == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert told[-1].startswith("error: results.csv cannot be written")
    assert not any("Traceback" in line for line in told)


def test_a_threshold_that_is_no_number_is_answered_with_what_it_may_be(capsys):
    assert main(["segment", "x", "--threshold", "half"]) == 2
    assert "must lie between 0 and 1, got half" in capsys.readouterr().err


def test_a_header_that_libraries_mutter_about_is_read_in_silence(tmp_path, capfd):
    geometry = head_geometry((16, 64, 64), pixel_mm=(3.6, 3.6), slice_step_mm=9.0)
    paths = write_dicom_series(make_phantom(geometry, seed=2).volume, tmp_path / "ct")
    for path in paths:
        content = path.read_bytes()
        assert b"Phantom" in content
        path.write_bytes(content.replace(b"ORIGINAL", b"original"))  # lower case is not allowed there
    assert main(["segment", str(tmp_path / "ct"), "--method", "hu-threshold", "--output", str(tmp_path / "out")]) == 0
    assert "WARNING" not in capfd.readouterr().err


@pytest.mark.parametrize("arguments", [["models", "list"], ["models", "import", "absent.pt"]])
def test_libraries_that_were_silenced_are_heard_again_when_the_program_is_done(arguments, caplog):
    caplog.set_level(logging.WARNING, logger="pydicom")
    main(arguments)
    assert logging.getLogger("pydicom").level == logging.WARNING


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_read_enough_is_no_error_to_tell_of(unbuffered):
    code = "import sys; from ICHSegmenterLib.cli.main import main; sys.exit(main(['models', 'list']))"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    program = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    program.stdout.close()
    told = program.stderr.read()
    program.stderr.close()
    program.wait()
    assert told == b""
