"""CSV manifests and zip files as inputs of a batch, and the choice of one series a study."""

import sys
import zipfile

import pytest

from batch_inputs import small_head, summary
from ICHSegmenterLib.batch.archives import unpacked
from ICHSegmenterLib.batch.names import KEYS_VARIABLE
from ICHSegmenterLib.batch.run import find_exams
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import OutputError, VolumeError
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.reader.process import ReaderProcess

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def archive(head, tmp_path):
    """Three exams, two of which the manifest names, one of them twice."""
    for name in ("a", "b", "c"):
        write_nifti(head.hu, head.geometry, tmp_path / "archive" / f"{name}.nii.gz")
    lines = ["case,path", "1,archive/a.nii.gz", f"2,{tmp_path / 'archive' / 'c.nii.gz'}", "3,archive/a.nii.gz", "4,"]
    (tmp_path / "wanted.csv").write_text("\ufeff" + "\n".join(lines))
    return tmp_path


def test_a_manifest_names_the_exams_to_analyze(archive):
    assert [exam.path.name for exam in find_exams([archive / "wanted.csv"])] == ["a.nii.gz", "c.nii.gz"]
    both = find_exams([archive / "wanted.csv", archive / "archive" / "b.nii.gz"])
    assert [exam.path.name for exam in both] == ["a.nii.gz", "b.nii.gz", "c.nii.gz"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file\na.nii\n", "a manifest has a column 'path', this one has file"),
        (b"", "this one has nothing"),
        (b"path\n\n", "names no folder or file"),
        (b"path\nabsent.nii\n", "absent.nii does not exist"),
        (b"path\n\xff\xfe\n", "its content makes no sense"),
    ],
)
def test_a_manifest_that_names_nothing_says_what_is_wrong(content, message, tmp_path):
    (tmp_path / "wanted.csv").write_bytes(content)
    with pytest.raises(VolumeError, match=message):
        find_exams([tmp_path / "wanted.csv"])


@pytest.fixture
def study(tmp_path):
    """A study of two soft series and a sharp one, and a copy of the first."""
    for number, (name, kernel) in enumerate((("head", "H31s"), ("head again", "H31s"), ("bone", "H60s")), start=2):
        write_dicom_series(small_head(8), tmp_path / "in" / name, kernel=kernel, series_number=number)
    return tmp_path / "in"


def test_of_a_study_the_series_that_fits_is_analyzed_and_every_one_on_request(study, tmp_path):
    assert [exam.path.name for exam in find_exams([study])] == ["head"]
    assert sorted(exam.path.name for exam in find_exams([study], all_series=True)) == ["bone", "head", "head again"]


def test_copies_of_a_series_are_an_exam_in_each_folder(study, tmp_path):
    (study / "copy").mkdir()
    for path in (study / "head").iterdir():
        (study / "copy" / path.name).write_bytes(path.read_bytes())
    exams = find_exams([study])
    assert sorted(exam.path.name for exam in exams) == ["copy", "head"]
    assert {len(exam.files) for exam in exams} == {8}


def test_a_batch_reads_no_header_again_that_the_index_knows_and_leaves_no_path_in_its_output(
    study, tmp_path, monkeypatch
):
    monkeypatch.setenv(KEYS_VARIABLE, str(tmp_path / "keys"))
    read = []
    original = ReaderProcess.facts
    monkeypatch.setattr(ReaderProcess, "facts", lambda self, files: (read.extend(files), original(self, files))[1])
    assert main(["index", str(study), "--output", str(tmp_path / "out")]) == 0
    assert len(read) == 24
    words = ["batch", str(study), "--output", str(tmp_path / "out"), "--method", "hu-threshold", "--outputs", "json"]
    assert main(words) == 0
    assert len(read) == 24
    assert [row["status"] for row in summary(tmp_path / "out").values()] == ["done"]
    content = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert str(study).encode() not in content
    assert main([*words, "--all-series"]) == 0
    assert sorted(row["status"] for row in summary(tmp_path / "out").values()) == ["done", "done", "skipped"]


@pytest.fixture
def zipped(study, tmp_path):
    """The study and a volume in a zip file; nothing of them beside it."""
    write_nifti(small_head(8).hu, small_head(8).geometry, tmp_path / "volume.nii.gz")
    with zipfile.ZipFile(tmp_path / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in study.rglob("*.dcm"):
            archive.write(path, path.relative_to(study))
        archive.write(tmp_path / "volume.nii.gz", "../volume.nii.gz")
    (tmp_path / "volume.nii.gz").unlink()
    return tmp_path / "export.zip"


def test_a_zip_file_is_read_as_a_folder_resumed_and_leaves_nothing(zipped, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(KEYS_VARIABLE, str(tmp_path / "keys"))
    words = ["batch", str(zipped), "--output", str(tmp_path / "out"), "--method", "hu-threshold", "--outputs", "json"]
    assert main(words) == 0
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "2 done, 0 done before" in said
    assert "0 done, 2 done before" in said
    assert not list(tmp_path.rglob("volume.nii.gz"))
    assert not list((tmp_path / "keys").glob("index-*/export-*"))


def test_what_is_unpacked_is_the_owners_alone_and_never_outside(zipped, tmp_path):
    with unpacked([zipped, tmp_path / "in"], tmp_path / "keys") as (folder, other):
        assert (other, folder.parent) == (tmp_path / "in", tmp_path / "keys")
        assert sys.platform == "win32" or folder.stat().st_mode & 0o077 == 0
        assert (folder / "volume.nii.gz").is_file()
        assert not (tmp_path / "keys" / "volume.nii.gz").exists()


def test_a_zip_file_that_would_fill_the_disk_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.nii", bytes(1 << 20))
    with pytest.raises(VolumeError, match="times as large"), unpacked([tmp_path / "bomb.zip"], tmp_path / "keys"):
        pass
    assert not list((tmp_path / "keys").iterdir())


def test_a_zip_file_without_room_says_how_much_it_needs(zipped, tmp_path, monkeypatch):
    monkeypatch.setattr("ICHSegmenterLib.batch.archives.FREE_BYTES", 1 << 60)
    with pytest.raises(OutputError, match=r"needs 0\.\d GB, and 0\.0 GB are free"), unpacked([zipped], tmp_path / "k"):
        pass


@pytest.mark.parametrize("damage", ["no archive", "flipped"])
def test_a_damaged_zip_file_says_so(damage, zipped, tmp_path):
    content = bytearray(zipped.read_bytes())
    content[100:200] = bytes(100)
    zipped.write_bytes(b"no archive" if damage == "no archive" else bytes(content))
    with pytest.raises(VolumeError, match=r"export\.zip: the zip file is damaged"), unpacked([zipped], tmp_path / "k"):
        pass
