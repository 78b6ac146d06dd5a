"""The extension's metadata, checked as the Extensions Index checks a submission (without its downloads)."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from Testing import metadata

ROOT = metadata.ROOT
ENTRY = ROOT / "Testing" / "ExtensionsIndex" / "ICHSegmenter.json"
SCHEMA_KEYS = {"$schema", "build_dependencies", "build_subdirectory", "category", "scm_revision", "scm_url", "tier"}


@pytest.fixture
def entry() -> dict[str, object]:
    return json.loads(ENTRY.read_text(encoding="utf-8"))


@pytest.fixture
def cmake() -> str:
    return (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")


def value(cmake: str, name: str) -> str:
    """The one quoted string that a variable is set to; the index finds no other way of writing it."""
    found = re.findall(rf'^set\({name} "([^"]+)"\)$', cmake, re.MULTILINE)
    assert len(found) == 1, f"{name} must be set once, to one quoted string"
    return found[0]


def repository_path(url: str) -> Path:
    """The file that a raw address will show once the branch is public."""
    _, _, repository, branch, *parts = urlsplit(url).path.split("/")
    assert (repository, branch) == (metadata.PROJECT, "main")
    return ROOT.joinpath(*parts)


def png_size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", f"{path.name} is not a PNG"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_project_is_named_as_the_entry(cmake: str) -> None:
    assert re.findall(r"project\s*\(\s*([^\s)]+)", cmake) == [ENTRY.stem] == ["ICHSegmenter"]


def test_neither_extension_nor_module_is_named_slicer_something() -> None:
    assert not ENTRY.stem.lower().startswith("slicer")


def test_entry_holds_the_keys_of_the_schema_and_no_other(entry: dict[str, object]) -> None:
    assert set(entry) == SCHEMA_KEYS


def test_entry_points_to_the_public_home(entry: dict[str, object]) -> None:
    assert entry["scm_url"] == metadata.public_home()
    assert urlsplit(str(entry["scm_url"])).scheme == "https"
    assert "slicer" in str(entry["scm_url"]).rsplit("/", 1)[-1].lower()


def test_entry_follows_a_branch_not_a_hash(entry: dict[str, object]) -> None:
    assert not re.fullmatch(r"[0-9a-f]{7,40}", str(entry["scm_revision"]))


def test_entry_and_cmake_agree(entry: dict[str, object], cmake: str) -> None:
    assert entry["category"] == value(cmake, "EXTENSION_CATEGORY") == "Segmentation"
    assert entry["build_dependencies"] == value(cmake, "EXTENSION_DEPENDS").split() == ["PyTorch"]
    assert value(cmake, "EXTENSION_HOMEPAGE") == metadata.public_home()


def test_icon_is_a_png_of_128_pixels(cmake: str) -> None:
    assert png_size(repository_path(value(cmake, "EXTENSION_ICONURL"))) == (128, 128)


def test_every_screenshot_is_in_the_repository(cmake: str) -> None:
    urls = value(cmake, "EXTENSION_SCREENSHOTURLS").split()
    assert len(set(urls)) >= 3
    for url in urls:
        width, height = png_size(repository_path(url))
        assert min(width, height) >= 200


def test_description_says_modality_license_and_that_it_is_for_research(cmake: str) -> None:
    description = value(cmake, "EXTENSION_DESCRIPTION")
    for words in ("head CT", "hemorrhage", "Apache-2.0", "not for diagnosis"):
        assert words in description


def test_license_file_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
