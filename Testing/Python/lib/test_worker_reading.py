"""The worker reads exams from files: exactly, in a process of its own, one of several series, until it is cancelled."""

import time

import numpy as np
import pytest

import hostile_files
from head_volumes import gantry_geometry, head
from ICHSegmenterLib.errors import CancelledError
from ICHSegmenterLib.protocol import VOXEL_FILE, read_geometry, read_source
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.volume.dicom.series import SeveralSeriesError
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.reader import process
from ICHSegmenterLib.volume.reader.process import ReaderProcess
from ICHSegmenterLib.volume.volume import Volume
from worker_process import WorkerProcess

TILTED_UNEVEN = gantry_geometry(tilt_deg=18.0, steps_mm=[4.0] * 5 + [1.1] + [7.0] * 5)


@pytest.fixture(scope="module")
def worker():
    with WorkerProcess() as worker:
        yield worker


@pytest.fixture
def read(worker, tmp_path):
    """Asks the worker to read; returns its answer and the folder of the job."""
    job = tmp_path / "job ř"
    job.mkdir()

    def read_(path, **fields):
        return worker.ask(type="read", id="r", job=str(job), path=str(path), **fields), job

    return read_


@pytest.fixture(scope="module")
def two_series(tmp_path_factory):
    """A folder of two series that both could be the head CT."""
    folder = tmp_path_factory.mktemp("two series")
    write_dicom_series(head(), folder / "a", series_number=2)
    write_dicom_series(head(gantry_geometry(slices=24, steps_mm=5.0)), folder / "b", series_number=3)
    return folder


def test_a_tilted_uneven_series_arrives_with_the_position_of_each_slice(read, tmp_path):
    written = head(TILTED_UNEVEN)
    write_dicom_series(written, tmp_path / "dicom", kernel="H31s", series_number=7)
    answer, job = read(tmp_path / "dicom")
    assert answer["type"] == "done"
    assert read_geometry(answer["geometry"]).matches(TILTED_UNEVEN, tolerance_mm=1e-6)
    hu = np.load(job / VOXEL_FILE)
    assert hu.dtype == np.int16
    np.testing.assert_array_equal(hu, np.rint(written.hu))
    source = read_source(answer["source"])
    assert (source.format, source.series_number, source.kernel) == ("DICOM", 7, "H31s")
    expected = read_volume(tmp_path / "dicom").source
    assert (source.series_uid, source.warnings) == (expected.series_uid, expected.warnings)
    assert tuple(answer["instance_uids"]) == expected.instance_uids


def test_a_sheared_nifti_of_fractions_arrives_as_it_is(read, tmp_path):
    written = head(gantry_geometry(tilt_deg=15.0))
    fractions = Volume(written.hu + np.float32(0.25), written.geometry)
    write_nifti(fractions.hu, fractions.geometry, tmp_path / "ct.nii.gz")
    answer, job = read(tmp_path / "ct.nii.gz")
    # Its affine is stored as float32: half a unit in the last place of 100 mm, at each of a few sums.
    assert read_geometry(answer["geometry"]).matches(written.geometry, tolerance_mm=1e-4)
    hu = np.load(job / VOXEL_FILE)
    assert hu.dtype == np.float32
    np.testing.assert_array_equal(hu, fractions.hu)


def test_a_folder_of_several_series_is_answered_with_what_to_choose_from(read, two_series):
    answer, job = read(two_series)
    assert answer["type"] == "done"
    assert [(one["number"], one["slices"]) for one in answer["series"]] == [(2, 12), (3, 24)]
    assert not (job / VOXEL_FILE).exists()
    chosen, job = read(two_series, series_uid=answer["series"][1]["uid"])
    assert chosen["geometry"]["shape"] == [24, 64, 64]
    assert np.load(job / VOXEL_FILE).shape == (24, 64, 64)


def test_the_series_to_choose_from_come_through_the_reader_process(two_series):
    with ReaderProcess() as reader, pytest.raises(SeveralSeriesError, match="2 series could be") as raised:
        reader.volume(two_series)
    with pytest.raises(SeveralSeriesError) as expected:
        read_volume(two_series)
    assert raised.value.series == expected.value.series
    assert str(raised.value) == str(expected.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", "No such file or directory. Check the path, the disk and the rights"),
        ("empty", "The folder is empty"),
        ("bad.mhd", "bad.mhd: the file crashed the program that reads it"),
        ("text.txt", "text.txt: neither DICOM nor a file that ends in"),
    ],
)
def test_what_cannot_be_read_is_refused_and_the_worker_reads_on(read, tmp_path, name, reason):
    (tmp_path / "empty").mkdir()
    hostile_files.write_crashing_metaimage(tmp_path / "bad.mhd")
    (tmp_path / "text.txt").write_text("no CT")
    answer, job = read(tmp_path / name)
    assert (answer["type"], answer["kind"]) == ("error", "bad_input")
    assert reason in answer["message"]
    assert list(job.iterdir()) == []
    write_nifti(head().hu, head().geometry, tmp_path / "ct.nii")
    assert read(tmp_path / "ct.nii")[0]["type"] == "done"


def test_nothing_that_the_worker_logs_of_a_reading_names_the_patient(tmp_path):
    folder = tmp_path / "MUSTERMANN_ERIKA"
    write_dicom_series(head(), folder)
    (folder / "MUSTERMANN.nii").write_bytes(b"damaged")
    with WorkerProcess() as worker:
        for path in (folder, folder / "MUSTERMANN.nii"):
            worker.ask(type="read", id="r", job=str(tmp_path), path=str(path))
        worker.send(type="shutdown")
        worker.wait()
        log = "".join(worker.log)
    assert "read begins" in log
    assert "read failed: bad_input" in log
    assert "MUSTERMANN" not in log


@pytest.mark.skipif(process.sys.platform == "win32", reason="a shell script stands for a reader that hangs")
def test_a_cancelled_reading_ends_its_process(tmp_path, monkeypatch):
    script, pid = tmp_path / "busy", tmp_path / "pid"
    script.write_text(f"#!/bin/sh\necho $$ > '{pid}.part'\nmv '{pid}.part' '{pid}'\nexec sleep 600\n")
    script.chmod(0o755)
    monkeypatch.setattr(process, "_interpreter", lambda: str(script))
    (tmp_path / "ct.nii").write_bytes(b"0")
    with ReaderProcess(cancelled=pid.exists) as reader, pytest.raises(CancelledError):
        reader.volume(tmp_path / "ct.nii")
    until = time.monotonic() + 300
    while time.monotonic() < until and _is_running(int(pid.read_text())):
        time.sleep(0.05)
    assert not _is_running(int(pid.read_text()))


def test_a_cancel_is_heard_while_the_files_of_a_folder_are_counted(tmp_path):
    (tmp_path / "a").mkdir()
    with ReaderProcess(cancelled=lambda: True) as reader, pytest.raises(CancelledError):
        reader.volume(tmp_path)


def _is_running(pid: int) -> bool:
    try:
        process.os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
