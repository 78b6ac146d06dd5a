"""`models import` of several files: what is done is said, whatever fails beside it."""

import pytest

from ICHSegmenterLib.cards.published_files import WeightsFile
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import OutputError, WeightsError
from ICHSegmenterLib.weights import store


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three files: "bad" is refused, "full" finds the disk full, any other is imported."""

    def import_files(paths, stated):
        (path,) = paths
        if path.stem == "bad":
            raise WeightsError("bad.pt: none of the published weight files.")
        if path.stem == "full":
            raise OutputError("full.pt could not be copied (No space left on device).")
        return [WeightsFile(path.name, (), "0" * 64, 4_000_000, "Apache-2.0")]

    monkeypatch.setattr(store, "import_files", import_files)

    def written(*names):
        for name in names:
            (tmp_path / name).write_bytes(b"weights")
        return [str(tmp_path / name) for name in names]

    return written


def test_files_beside_a_refused_one_are_imported_and_said_to_be(files, capsys):
    assert main(["models", "import", *files("first.pt", "bad.pt", "last.pt")]) == 1
    shown = capsys.readouterr()
    assert [line.split(":")[0] for line in shown.out.splitlines()] == ["first.pt", "last.pt"]
    assert shown.err.splitlines() == ["error: bad.pt: none of the published weight files.", "2 of 3 imported"]


def test_what_was_imported_before_the_disk_was_full_is_said(files, capsys):
    assert main(["models", "import", *files("first.pt", "full.pt", "last.pt")]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("first.pt: imported")
    assert "last.pt" not in shown.out
    assert shown.err.splitlines() == ["error: full.pt could not be copied (No space left on device)."]


def test_one_refused_file_is_one_line(files, capsys):
    assert main(["models", "import", *files("bad.pt")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
