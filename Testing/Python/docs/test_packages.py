"""What reaches people: the wheel of pip, and the file lists of Slicer, both with the models that ship."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from Testing import metadata

ROOT = metadata.ROOT
SHIPPED = ("compact-unet.safetensors", "compact-unet.json")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tree that holds one bundled model and a page about it."""
    pytest.importorskip("setuptools", minversion="77")
    copy = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "ICHSegmenterLib", copy / "ICHSegmenterLib", ignore=shutil.ignore_patterns("__pycache__"))
    models = copy / "Resources" / "Models"
    models.mkdir(parents=True)
    for name in (*SHIPPED, "README.md"):
        (models / name).write_text("{}")
    code = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    built = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (path,) = (copy / "dist").glob("*.whl")
    return path


def test_a_wheel_carries_models_recipes_and_nothing_of_the_panel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"ICHSegmenterLib/Resources/Models/{name}" for name in SHIPPED} <= names
    assert "ICHSegmenterLib/methods/unet/compact-unet.yaml" in names
    assert not [name for name in names if name.endswith("Models/README.md")]
    assert {name.split("/")[0].split("-")[0] for name in names} == {"ICHSegmenterLib", "ichsegmenter"}


def test_an_unpacked_wheel_finds_its_models_within_itself(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "from ICHSegmenterLib.weights.cache import bundled_folder; print(bundled_folder())"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    folder = Path(found.stdout.strip())
    assert folder == (tmp_path / "ICHSegmenterLib" / "Resources" / "Models").resolve()
    assert sorted(path.name for path in folder.iterdir()) == sorted(SHIPPED)


def test_slicer_gets_every_weight_file_and_its_card_by_a_pattern() -> None:
    """CMake copies them to the path that they have here, beside the library."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    (patterns,) = re.findall(r"file\(GLOB ICHSEGMENTER_MODELS .*?\$\{CMAKE_CURRENT_SOURCE_DIR\}\s+(.*?)\)", text, re.S)
    assert sorted(patterns.split()) == ["Resources/Models/*.json", "Resources/Models/*.safetensors"]
    assert re.search(r"^\s*RESOURCES .*\$\{ICHSEGMENTER_MODELS\}", text, re.MULTILINE)


def test_weights_and_cards_that_ship_come_in_pairs() -> None:
    models = ROOT / "Resources" / "Models"
    stems = [{path.stem for path in models.glob(pattern)} for pattern in ("*.safetensors", "*.json")]
    assert stems[0] == stems[1]
