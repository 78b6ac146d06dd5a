"""The exact versions that `make test` installs belong to pyproject.toml: nothing absent, nothing outside its bounds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from Testing import metadata

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
requirements = pytest.importorskip("packaging.requirements")

FOLDER = metadata.ROOT / "Testing" / "constraints"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PLATFORMS = (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64"))


def read(path: Path) -> list:
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [requirements.Requirement(line) for line in lines if line]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> list:
    project = tomllib.loads((metadata.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [requirements.Requirement(line) for group in groups for line in group]


def environment(python: str, platform: tuple[str, str]) -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": platform[0],
        "platform_machine": platform[1],
        "extra": "",
    }


@pytest.mark.parametrize("platform", PLATFORMS, ids="-".join)
@pytest.mark.parametrize("python", PYTHONS)
def test_each_requirement_has_one_exact_version_within_its_bounds(python: str, platform: tuple[str, str]) -> None:
    here = environment(python, platform)
    versions: dict[str, list[str]] = {}
    for pin in read(FOLDER / "versions.txt"):
        if pin.marker is None or pin.marker.evaluate(here):
            versions.setdefault(normal(pin.name), []).append(str(pin.specifier).removeprefix("=="))
    assert {name: pins for name, pins in versions.items() if len(pins) != 1} == {}
    for requirement in declared():
        if requirement.marker is None or requirement.marker.evaluate(here):
            assert normal(requirement.name) in versions, f"{requirement}: run `make constraints`"
            (version,) = versions[normal(requirement.name)]
            assert requirement.specifier.contains(version), f"{requirement} but {version}: run `make constraints`"


def test_a_package_is_held_where_its_version_says_so() -> None:
    pins = {normal(pin.name): pin.specifier for pin in read(FOLDER / "versions.txt")}
    held = read(FOLDER / "held.txt")
    assert held
    assert {pin.name: pins[normal(pin.name)] for pin in held} == {pin.name: pin.specifier for pin in held}


def test_the_versions_name_no_index() -> None:
    """Where packages come from is the business of who installs them."""
    text = (FOLDER / "versions.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|^\s*-", text, re.MULTILINE)
