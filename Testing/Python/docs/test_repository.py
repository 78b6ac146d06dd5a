"""What must agree between files: lists and tree, versions, addresses, and what nobody wants to publish."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import ICHSegmenterLib
from Testing import metadata

ROOT = metadata.ROOT
LARGEST_FILE_MB = 5
# Put together here, so that this file does not hold what it looks for.
MACHINE_PATHS = tuple(f"/{folder}/" for folder in ("root", "home", "Users", "scr" + "atch", "wo" + "rk"))
PATHS_OF_NOBODY = ("/home/NAME/", "/home/me/", "/Users/NAME/", "/Users/me/")


def published_files() -> list[Path]:
    """Every file that a clone would hold, and those not committed yet; the tree itself where git is absent."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]
    paths = (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    return sorted({path for path in paths if path.is_file()})


def text_files() -> dict[Path, str]:
    texts = {}
    for path in published_files():
        data = path.read_bytes()
        if b"\0" not in data[:8000]:
            texts[path] = data.decode("utf-8", errors="replace")
    return texts


@pytest.mark.parametrize(
    ("list_file", "variable"),
    [(file, variable) for file, variables in metadata.cmake_lists().items() for variable in variables],
)
def test_cmake_lists_every_file_of_the_tree_and_no_other(list_file: str, variable: str) -> None:
    block = (ROOT / list_file).read_text().split(f"# >>> {variable}\n")[1].split("# <<<")[0]
    listed = [line.strip() for line in block.splitlines()[1:-1]]
    in_tree = metadata.cmake_lists()[list_file][variable]
    to_add = [f"  {path}" for path in in_tree if path not in listed]
    to_remove = [f"  {path}" for path in listed if path not in in_tree]
    assert not to_add, f"{list_file}, set({variable}): run `make metadata`, or add\n" + "\n".join(to_add)
    assert not to_remove, f"{list_file}, set({variable}): run `make metadata`, or remove\n" + "\n".join(to_remove)


def test_every_listed_file_exists_where_cmake_looks_for_it() -> None:
    for list_file, variables in metadata.cmake_lists().items():
        folder = (ROOT / list_file).parent
        assert [path for paths in variables.values() for path in paths if not (folder / path).is_file()] == []


def test_the_module_folder_holds_one_loose_python_file() -> None:
    """Slicer registers every loose .py as a module, and an __init__.py would hide the module itself."""
    loose = {path.name for path in (ROOT / "ICHSegmenter").glob("*.py")}
    assert loose <= {"ICHSegmenter.py"}


def test_make_metadata_would_change_nothing() -> None:
    assert metadata.stale_files() == []


def test_the_version_is_said_once_and_repeated_truly() -> None:
    version = metadata.version()
    assert ICHSegmenterLib.__version__ == version
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text()


def test_a_tag_on_this_commit_names_the_version() -> None:
    try:
        tags = subprocess.run(
            ["git", "tag", "--points-at", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return  # no git, no tag
    assert [tag for tag in tags.stdout.split() if tag != f"v{metadata.version()}"] == []


def test_the_public_address_is_the_same_everywhere() -> None:
    home = metadata.public_home()
    assert home.endswith(f"/{metadata.PROJECT}")
    for path, text in text_files().items():
        for line in text.splitlines():
            if f"/{metadata.PROJECT}" in line and "github" in line:
                owner = home.removesuffix(f"/{metadata.PROJECT}").rsplit("/", 1)[-1]
                assert f"/{owner}/{metadata.PROJECT}" in line or path.name == "metadata.py", f"{path.name}: {line}"


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path, text in text_files().items()
        for line in text.splitlines()
        for machine_path in MACHINE_PATHS
        if _names_path(line, machine_path)
    ]
    assert found == []


def test_no_medical_image_of_a_patient_is_published() -> None:
    """Exams are shared beside the repository; the image that lies in it is computed, which a test of it repeats."""
    suffixes = (".dcm", ".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".ima")
    images = [path for path in published_files() if path.name.lower().endswith(suffixes) or _is_dicom(path)]
    assert images == [ROOT / "Resources" / "SampleData" / "PhantomHeadCT.nrrd"]


def test_no_cache_or_desktop_file_is_published() -> None:
    unwanted = {"__pycache__", ".DS_Store", "Thumbs.db", ".idea", ".vscode"}
    assert [path for path in published_files() if unwanted.intersection(path.relative_to(ROOT).parts)] == []


def test_lines_end_as_the_extensions_index_wants() -> None:
    with_carriage_return = [path.name for path in published_files() if _has_windows_lines(path)]
    assert with_carriage_return == []


def test_no_file_is_too_large_for_the_repository() -> None:
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size / 1e6 for path in published_files()}
    assert {
        name: size for name, size in sizes.items() if size > LARGEST_FILE_MB and "Resources/Models" not in name
    } == {}
    assert sum(sizes.values()) < 50, "the Extensions Index takes 100 MB at most, history included"


def _names_path(line: str, machine_path: str) -> bool:
    start = line.find(machine_path)
    while start >= 0:
        before = line[start - 1] if start else " "
        after = line[start + len(machine_path) : start + len(machine_path) + 1]
        nobody = any(line.startswith(path, start) for path in PATHS_OF_NOBODY)
        if before not in "abcdefghijklmnopqrstuvwxyz0123456789_.~-$})/" and after.isalnum() and not nobody:
            return True
        start = line.find(machine_path, start + 1)
    return False


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _has_windows_lines(path: Path) -> bool:
    data = path.read_bytes()
    return b"\0" not in data[:8000] and b"\r\n" in data
