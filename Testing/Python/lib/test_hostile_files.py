"""Damaged and hostile files fail alone, typed and soon: no crash, no endless loop, no memory for empty promises."""

import gzip
import os
import sys
import time
import tracemalloc

import numpy as np
import pytest

import hostile_files
from batch_inputs import CLASSICAL, analyze, summary
from ICHSegmenterLib.batch import attempts
from ICHSegmenterLib.batch.run import find_exams, run_batch
from ICHSegmenterLib.errors import DependencyError, VolumeError
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.volume.dicom import pixels, scan
from ICHSegmenterLib.volume.dicom.facts import facts_of
from ICHSegmenterLib.volume.dicom.pixels import read_stored_values
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.io import read_mask, read_volume
from ICHSegmenterLib.volume.reader import process
from ICHSegmenterLib.volume.reader.limits import Limits
from ICHSegmenterLib.volume.reader.process import ReaderKilledError, ReaderProcess

pytestmark = pytest.mark.usefixtures("impatient")

CRASHING = {
    "dimensions.mhd": hostile_files.write_crashing_metaimage,
    "text.nrrd": hostile_files.write_crashing_nrrd,
}


@pytest.mark.parametrize("name", CRASHING)
def test_a_file_that_crashes_the_reader_is_a_typed_error(name, tmp_path):
    with pytest.raises(ReaderKilledError, match=rf"{name}: the file crashed the program that reads it"):
        read_volume(CRASHING[name](tmp_path / name))


def test_the_reader_goes_on_after_a_crash(head, tmp_path):
    bad = hostile_files.write_crashing_metaimage(tmp_path / "bad.mhd")
    write_nifti(head.hu, head.geometry, tmp_path / "ct.nii.gz")
    write_dicom_series(head, tmp_path / "dicom", seed=1)
    with ReaderProcess() as reader:
        for path in (tmp_path / "ct.nii.gz", tmp_path / "dicom"):
            with pytest.raises(ReaderKilledError):
                reader.volume(bad)
            volume, expected = reader.volume(path), read_volume(path)
            assert np.array_equal(volume.hu, expected.hu)
            assert volume.geometry.matches(expected.geometry, tolerance_mm=0.0)
            assert volume.source == expected.source


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for a reader that hangs")
def test_a_file_that_keeps_the_reader_busy_is_stopped(tmp_path, monkeypatch):
    script = tmp_path / "busy"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o755)
    monkeypatch.setattr(process, "_interpreter", lambda: str(script))
    monkeypatch.setattr(process, "START_S", 0.0)
    start = time.monotonic()
    (tmp_path / "ct.nii").write_bytes(b"0")
    with ReaderProcess(Limits(seconds=0.5)) as reader, pytest.raises(ReaderKilledError, match="was stopped"):
        reader.volume(tmp_path / "ct.nii")
    assert time.monotonic() - start < 300  # of 600


def test_a_file_that_takes_too_much_memory_is_stopped(tmp_path):
    values = np.zeros((40, 512, 512), dtype=np.int16)
    import nibabel

    nibabel.save(nibabel.Nifti1Image(values.T, np.eye(4)), tmp_path / "ct.nii.gz")
    with (
        ReaderProcess(Limits(memory_bytes=20 << 20)) as reader,
        pytest.raises(ReaderKilledError, match="needs more than"),
    ):
        reader.volume(tmp_path / "ct.nii.gz")


def test_what_the_reader_says_arrives_as_it_was_meant(tmp_path, monkeypatch):
    (tmp_path / "ct.nii").write_bytes(b"no image")
    with ReaderProcess() as reader:
        with pytest.raises(VolumeError, match=r"ct.nii: no NIfTI image") as caught:
            reader.volume(tmp_path / "ct.nii")
        assert type(caught.value) is VolumeError
    (tmp_path / "SimpleITK.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(process, "_LIBRARY", tmp_path)
    with pytest.raises((DependencyError, ReaderKilledError)):
        read_volume(hostile_files.write_compressed_metaimage(tmp_path / "ct.mha"))


@pytest.mark.parametrize("damage", ["bit", "end"])
def test_compressed_voxels_are_read_to_their_checksum(damage, tmp_path):
    whole = read_volume(hostile_files.write_compressed_metaimage(tmp_path / "ct.mha"))
    assert whole.hu.max() == 719
    path = hostile_files.write_compressed_metaimage(tmp_path / "damaged.mha", damage=damage)
    with pytest.raises(VolumeError, match="do not have their checksum"):
        read_volume(path)
    with pytest.raises(VolumeError, match="do not have their checksum"):
        read_mask(path, whole.geometry)


def test_compressed_nrrd_is_read_to_its_checksum(tmp_path):
    header = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 12 10 6\nendian: little\nencoding: gzip\n\n"
    stream = bytearray(gzip.compress(hostile_files.VOXELS, compresslevel=0))
    (tmp_path / "ct.nrrd").write_bytes(header + stream)
    assert read_volume(tmp_path / "ct.nrrd").geometry.shape == (6, 10, 12)
    stream[200] ^= 4
    (tmp_path / "ct.nrrd").write_bytes(header + stream)
    with pytest.raises(VolumeError, match="checksum"):
        read_volume(tmp_path / "ct.nrrd")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: hostile_files.write_deflated(path, pixel_bytes=1 << 16, keep=-30),
        hostile_files.write_deep_sequence,
        lambda path: hostile_files.write_deflated(path, pixel_bytes=600 << 20),
    ],
    ids=["truncated stream", "deep sequences", "bomb"],
)
def test_a_hostile_header_is_an_exam_that_fails(write, tmp_path):
    write(tmp_path / "0001.dcm")
    (exam,) = find_exams([tmp_path])
    with pytest.raises(VolumeError, match=r"0001.dcm"):
        read_volume(exam.path)


@pytest.mark.filterwarnings("ignore:Value")
def test_a_number_without_end_is_as_good_as_absent(tmp_path):
    facts = facts_of(hostile_files.write_endless_number(tmp_path / "0001.dcm"))
    assert (facts.series, facts.number, facts.problem) == (hostile_files.ct_header("").SeriesInstanceUID, 0, "")


def test_an_error_of_content_is_typed_though_the_library_calls_it_one_of_the_system():
    with pytest.raises(VolumeError, match="make no sense"), scan._sensible_headers():
        raise OSError("No tag to read at file position 4C")  # pydicom's, of a broken sequence
    with pytest.raises(FileNotFoundError), scan._sensible_headers():
        raise FileNotFoundError(2, "No such file", "0001.dcm")


def test_a_deflated_bomb_takes_little_memory(tmp_path):
    hostile_files.write_deflated(tmp_path / "0001.dcm", pixel_bytes=600 << 20)
    tracemalloc.start()
    with pytest.raises(VolumeError, match="becomes larger than 512 MB"):
        read_volume(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()
    hostile_files.write_deflated(tmp_path / "0001.dcm")
    assert read_stored_values(tmp_path / "0001.dcm").shape == (1, 16, 16)


def test_a_decoder_that_panics_is_a_typed_error(tmp_path, monkeypatch):
    class PanicError(BaseException):
        """As PyO3 raises it: no Exception."""

    path = hostile_files.write_panicking_rle(tmp_path / "0001.dcm")
    with pytest.raises(VolumeError):
        read_stored_values(path)

    def panic(dataset):
        raise PanicError("index out of bounds")

    monkeypatch.setattr(pixels.FileDataset, "pixel_array", property(panic))
    with pytest.raises(VolumeError, match="truncated"):
        read_stored_values(path)


@pytest.mark.parametrize("sizes", [(20000, 20000, 20000), (512, 512, 40)])
def test_a_nifti_that_promises_more_than_it_has_takes_no_memory(sizes, tmp_path):
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_shape(sizes)
    header.set_data_dtype(np.int16)
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    for name, content in (("ct.nii", header.binaryblock), ("ct.nii.gz", gzip.compress(header.binaryblock))):
        (tmp_path / name).write_bytes(content + bytes(100))
        tracemalloc.start()
        with pytest.raises(VolumeError, match="header promises"):
            read_volume(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
        tracemalloc.stop()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders")
def test_pipes_in_folders_are_passed_over(head, tmp_path):
    write_dicom_series(head, tmp_path / "exam", seed=1)
    for name in ("exam/pipe.dcm", "pipe.nii.gz"):
        os.mkfifo(tmp_path / name)
    assert len(find_exams([tmp_path])) == 1
    assert read_volume(tmp_path).geometry.shape[0] == 16


def test_a_killer_is_tried_once_recorded_and_passed(head, tmp_path):
    exams, output = tmp_path / "exams", tmp_path / "out"
    write_nifti(head.hu, head.geometry, exams / "ct.nii.gz")
    bad = hostile_files.write_crashing_metaimage(exams / "SMITH.mhd")
    started = []

    class Counted(ReaderProcess):
        def _start(self):
            started.append(1)
            return super()._start()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ICHSegmenterLib.batch.engines.embedded.ReaderProcess", Counted)
        for number in range(3):
            if number == 2:
                bad.write_bytes(bad.read_bytes() + b"0")
            outcomes = run_batch(find_exams([exams]), output, analyze, request=CLASSICAL)
            assert {one.status for one in outcomes} == {"skipped" if number else "done", "failed"}
            message = next(row["message"] for row in summary(output).values() if row["status"] == "failed")
            assert ("not tried again" in message) == (number == 1)
            assert "SMITH" not in message + (output / attempts.ATTEMPTS_FILE).read_text()
    assert len(started) in (2, 3)  # one for each attempt, and another one if the good exam came after the bad one


def test_an_exam_that_ends_the_batch_again_and_again_is_passed(head, tmp_path):
    exams, output = tmp_path / "exams", tmp_path / "out"
    write_nifti(head.hu, head.geometry, exams / "ct.nii.gz")

    def kill(volume):
        raise KeyboardInterrupt

    for _ in range(attempts.MAX_UNFINISHED):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attempts.Attempts, "end", lambda self, name: None)  # as if the process had gone at once
            with pytest.raises(KeyboardInterrupt):
                run_batch(find_exams([exams]), output, kill, request=CLASSICAL)
    (outcome,) = run_batch(find_exams([exams]), output, analyze, request=CLASSICAL)
    assert outcome.status == "failed"
    assert f"ended {attempts.MAX_UNFINISHED} times in the middle of this exam" in outcome.message
    (outcome,) = run_batch(find_exams([exams]), output, analyze, request=CLASSICAL, overwrite=True)
    assert outcome.status == "done"
    assert not (output / attempts.ATTEMPTS_FILE).exists()


def test_a_damaged_header_fails_its_folder_and_nothing_below_it(head, tmp_path):
    write_dicom_series(head, tmp_path / "exams" / "below", seed=1)
    hostile_files.write_deep_sequence(tmp_path / "exams" / "SMITH.dcm")
    outcomes = run_batch(find_exams([tmp_path / "exams"]), tmp_path / "out", analyze, request=CLASSICAL)
    assert sorted(one.status for one in outcomes) == ["done", "failed"]
    failed = next(row for row in summary(tmp_path / "out").values() if row["status"] == "failed")
    assert failed["message"] == "file 1: the DICOM header cannot be read; copy the file again."


def test_what_was_published_just_before_a_kill_leaves_no_record(head, tmp_path):
    write_nifti(head.hu, head.geometry, tmp_path / "exams" / "ct.nii.gz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempts.Attempts, "end", lambda self, name: None)
        run_batch(find_exams([tmp_path / "exams"]), tmp_path / "out", analyze, request=CLASSICAL)
    assert (tmp_path / "out" / attempts.ATTEMPTS_FILE).exists()
    (outcome,) = run_batch(find_exams([tmp_path / "exams"]), tmp_path / "out", analyze, request=CLASSICAL)
    assert outcome.status == "skipped"
    assert not (tmp_path / "out" / attempts.ATTEMPTS_FILE).exists()


def test_an_exam_that_ended_the_batch_is_tried_after_the_others(head, tmp_path):
    for number in range(3):
        write_nifti(head.hu + number, head.geometry, tmp_path / "exams" / f"{number}.nii.gz")
    seen = []

    def kill_first(volume):
        seen.append(float(volume.hu[0, 0, 0]))
        if len(seen) == 1:
            raise KeyboardInterrupt
        return analyze(volume)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempts.Attempts, "end", lambda self, name: None)  # as if the process had gone at once
        with pytest.raises(KeyboardInterrupt):
            run_batch(find_exams([tmp_path / "exams"]), tmp_path / "out", kill_first, request=CLASSICAL)
    outcomes = run_batch(find_exams([tmp_path / "exams"]), tmp_path / "out", kill_first, request=CLASSICAL)
    assert [one.status for one in outcomes] == ["done"] * 3
    assert seen[-1] == seen[0]
