"""`segment` and `detect` into a folder that holds results: only what the same run would write again is replaced."""

import json

import pytest

from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.export import write_nifti


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Two exams of one grid and one file name."""
    geometry = head_geometry((12, 48, 48), pixel_mm=(4.8, 4.8), slice_step_mm=12.0)
    paths = []
    for number, bleed_hu in enumerate((62.0, 75.0)):
        head = HeadModel(bleeds=(Bleed.sphere(25.0, (26.0, 6.0, 30.0), bleed_hu),))
        paths.append(tmp_path_factory.mktemp("exam") / "head.nii.gz")
        write_nifti(make_phantom(geometry, head, seed=number).volume.hu, geometry, paths[-1])
    return [str(path) for path in paths]


def run(scan, folder, *words, verb="segment"):
    return main([verb, scan, "--method", "hu-threshold", "--output", str(folder), "--outputs", "labelmap", *words])


def test_the_same_run_may_be_repeated(scans, tmp_path):
    assert run(scans[0], tmp_path / "out") == 0
    assert run(scans[0], tmp_path / "out") == 0


def test_results_of_another_exam_are_not_replaced_and_named(scans, tmp_path, capsys):
    run(scans[0], tmp_path / "out")
    before = (tmp_path / "out" / "result.json").read_bytes()
    capsys.readouterr()
    assert run(scans[1], tmp_path / "out") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / 'out'} holds results of another exam (file-")
    assert "--overwrite" in line
    assert (tmp_path / "out" / "result.json").read_bytes() == before


def test_overwrite_replaces_results_of_another_exam(scans, tmp_path):
    run(scans[0], tmp_path / "out")
    before = json.loads((tmp_path / "out" / "result.json").read_text())
    assert run(scans[1], tmp_path / "out", "--overwrite") == 0
    after = json.loads((tmp_path / "out" / "result.json").read_text())
    assert after["exam"] != before["exam"]
    assert after["measurements"] != before["measurements"]


def test_results_of_other_settings_are_not_replaced(scans, tmp_path, capsys):
    run(scans[0], tmp_path / "out")
    capsys.readouterr()
    assert run(scans[0], tmp_path / "out", "--detection-threshold", "0.9") == 1
    assert "this exam by other settings: detection threshold 0.5 instead of 0.9" in capsys.readouterr().err


def test_outlines_are_not_replaced_by_a_detection(scans, tmp_path, capsys):
    run(scans[0], tmp_path / "out")
    capsys.readouterr()
    assert run(scans[0], tmp_path / "out", verb="detect") == 1
    assert "outlines instead of a detection alone" in capsys.readouterr().err


def test_results_of_an_earlier_version_are_not_taken_for_those_of_a_file(scans, tmp_path, capsys):
    run(scans[0], tmp_path / "out")
    path = tmp_path / "out" / "result.json"
    plain = json.loads(path.read_text())
    del plain["exam"]
    path.write_text(json.dumps(plain))
    capsys.readouterr()
    assert run(scans[0], tmp_path / "out") == 1
    assert "unknown, by an earlier version" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "[]", '{"name": "of another program"}'])
def test_a_result_that_cannot_be_read_is_not_replaced(content, scans, tmp_path, capsys):
    (tmp_path / "result.json").write_text(content)
    assert run(scans[0], tmp_path) == 1
    assert "damaged, or another program's" in capsys.readouterr().err
