"""The index of exams: each header is read once, a stopped search goes on, and each choice has its reason."""

import os
import sqlite3
import sys
from pathlib import Path

import pytest

from batch_inputs import small_head
from head_volumes import set_elements
from ICHSegmenterLib.batch.index import fill as filling
from ICHSegmenterLib.batch.index.choice import choices
from ICHSegmenterLib.batch.index.fill import fill
from ICHSegmenterLib.batch.index.store import INDEX_FILE, SeriesRow, Store
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.volume.dicom.facts import FileFacts
from ICHSegmenterLib.volume.reader import process
from ICHSegmenterLib.volume.reader.process import ReaderKilledError, ReaderProcess


@pytest.fixture
def root(tmp_path):
    """A study of a soft and a sharp kernel, under names that say nothing."""
    for number, kernel in enumerate(("H31s", "H60s"), start=2):
        write_dicom_series(small_head(8), tmp_path / "in" / kernel, kernel=kernel, series_number=number)
    for number, path in enumerate(sorted((tmp_path / "in").rglob("*.dcm"))):
        path.rename(path.with_name(f"IM{number}"))
    return tmp_path / "in"


def read_counts(output, root):
    """Fill the index; the files seen and the headers read."""
    counts = [(0, 0)]
    with Store(output) as store:
        fill(store, [root], lambda files, read: counts.append((files, read)))
    return counts[-1]


def test_each_header_is_read_once_ever(root, tmp_path):
    assert read_counts(tmp_path / "out", root) == (16, 16)
    assert read_counts(tmp_path / "out", root) == (16, 0)


def test_a_changed_file_is_read_again_and_a_removed_one_forgotten(root, tmp_path):
    read_counts(tmp_path / "out", root)
    changed, removed = sorted((root / "H31s").iterdir())[:2]
    os.utime(changed, ns=(0, 0))
    removed.unlink()
    assert read_counts(tmp_path / "out", root) == (15, 1)
    with Store(tmp_path / "out") as store:
        assert sorted(row.slices for row in store.series()) == [7, 8]


def test_a_search_that_was_stopped_goes_on(root, tmp_path, monkeypatch):
    monkeypatch.setattr(filling, "BATCH_FILES", 4)

    def stop(files, read):
        if files == 8:
            raise KeyboardInterrupt

    with Store(tmp_path / "out") as store, pytest.raises(KeyboardInterrupt):
        fill(store, [root], stop)
    assert read_counts(tmp_path / "out", root) == (16, 8)


def test_the_soft_kernel_is_read_and_the_sharp_one_has_its_reason(root, tmp_path):
    read_counts(tmp_path / "out", root)
    with Store(tmp_path / "out") as store:
        reasons = {item.row.kernel: item.reason for item in choices(store.series())}
        every = {item.row.kernel: item.reason for item in choices(store.series(), all_series=True)}
    assert reasons == {"H31s": "", "H60s": "sharp kernel"}
    assert every == {"H31s": "", "H60s": ""}


def test_of_equal_kernels_the_one_that_covers_the_head_is_read(tmp_path):
    write_dicom_series(small_head(16), tmp_path / "in" / "whole", series_number=2)
    for path in write_dicom_series(small_head(16), tmp_path / "in" / "part", series_number=3)[8:]:
        path.unlink()
    read_counts(tmp_path / "out", tmp_path / "in")
    with Store(tmp_path / "out") as store:
        assert {item.row.number: item.reason for item in choices(store.series())} == {
            2: "",
            3: "covers less of the head",
        }


@pytest.mark.parametrize(
    ("covers_mm", "reasons"),
    [
        ((150.0, 380.0), ["", "goes beyond the head"]),
        ((90.0, 380.0), ["covers less of the head", ""]),
        ((380.0,), [""]),
    ],
)
def test_a_series_with_the_neck_is_read_only_if_no_other_covers_the_head(covers_mm, reasons):
    rows = [
        SeriesRow("1", str(number), number, 40, "axial", "H31s", 5.0, False, cover_mm, "", 1, Path("a"))
        for number, cover_mm in enumerate(covers_mm)
    ]
    assert [choice.reason for choice in choices(rows)] == reasons


def test_of_equal_cover_the_usual_thickness_is_read(tmp_path):
    for number, thickness in ((2, 1.0), (3, 5.0)):
        files = write_dicom_series(small_head(8), tmp_path / "in" / str(number), series_number=number)
        set_elements(files, SliceThickness=thickness)
    read_counts(tmp_path / "out", tmp_path / "in")
    with Store(tmp_path / "out") as store:
        reasons = {item.row.number: item.reason for item in choices(store.series())}
    assert reasons[3] == ""
    assert "5 mm" in reasons[2]


def test_a_file_that_kills_the_reader_is_a_problem_and_the_others_are_read(root, tmp_path, monkeypatch):
    killer = sorted((root / "H31s").iterdir())[0]
    ask = ReaderProcess._ask

    def killed(self, request, name, size):
        if str(killer.resolve()) in request["files"]:
            raise ReaderKilledError(f"{name}: the file crashed the program that reads it")
        return ask(self, request, name, size)

    monkeypatch.setattr(process.ReaderProcess, "_ask", killed)
    assert read_counts(tmp_path / "out", root) == (16, 16)
    with Store(tmp_path / "out") as store:
        assert [path.name for path, _ in store.problems()] == [killer.name]
        assert sorted(row.slices for row in store.series()) == [7, 8]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_only_the_owner_reads_the_index(root, tmp_path):
    read_counts(tmp_path / "out", root)
    assert (tmp_path / "out" / INDEX_FILE).stat().st_mode & 0o777 == 0o600


def test_a_damaged_index_says_what_to_do(tmp_path):
    (tmp_path / INDEX_FILE).write_bytes(b"no database " * 100)
    with pytest.raises(OutputError, match="Delete it"):
        Store(tmp_path)


def test_an_index_of_another_version_says_what_to_do(tmp_path):
    with sqlite3.connect(tmp_path / INDEX_FILE) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(OutputError, match="another version"):
        Store(tmp_path)


def test_many_files_are_never_held_at_once(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for number in range(20_000):
        (tmp_path / "in" / str(number)).touch()
    sizes = []

    def facts(self, files):
        sizes.append(len(files))
        return [FileFacts()] * len(files)

    monkeypatch.setattr(ReaderProcess, "facts", facts)
    assert read_counts(tmp_path / "out", tmp_path / "in") == (20_000, 20_000)
    assert max(sizes) == filling.BATCH_FILES


def test_the_verb_lists_what_is_read_and_what_is_passed_over(root, tmp_path, capsys):
    assert main(["index", str(root), "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "passed over: sharp kernel" in said
    assert said.splitlines()[-1] == "1 series and 0 files to read, 1 series passed over, 0 problems"
