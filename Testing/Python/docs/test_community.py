"""What a newcomer finds: how to take part, report and change something, and workflows that say what they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from Testing import metadata

ROOT = metadata.ROOT
FILES = (
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "SECURITY.md",
    ".github/pull_request_template.md",
    ".github/ISSUE_TEMPLATE/bug.yml",
    ".github/ISSUE_TEMPLATE/method.yml",
    ".github/ISSUE_TEMPLATE/config.yml",
)
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
SYSTEMS = ("ubuntu-latest", "macos-latest", "windows-latest")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_no_mail_address_is_invented(name: str) -> None:
    assert re.findall(r"[\w.+-]+@[\w-]+\.[\w.]+", text(name)) == []


@pytest.mark.parametrize("name", ["SECURITY.md", "CODE_OF_CONDUCT.md", ".github/ISSUE_TEMPLATE/config.yml"])
def test_reports_go_through_private_advisories(name: str) -> None:
    assert f"{metadata.public_home()}/security/advisories/new" in text(name)


def test_the_changelog_has_a_section_for_what_is_not_released_and_one_for_each_release() -> None:
    sections = re.findall(r"^## \[([^\]]+)\](.*)$", text("CHANGELOG.md"), re.MULTILINE)
    assert sections[0] == ("Unreleased", "")
    for version, date in sections[1:]:
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert re.fullmatch(r" - \d{4}-\d{2}-\d{2}", date)


def test_the_workflow_covers_every_system_and_python_and_says_which_were_never_run() -> None:
    yaml = pytest.importorskip("yaml")
    tests = yaml.safe_load(text(".github/workflows/checks.yml"))["jobs"]["tests"]
    matrix = tests["strategy"]["matrix"]
    assert tuple(matrix["system"]) == SYSTEMS
    assert tuple(matrix["python"]) == PYTHONS
    assert matrix["exclude"] == [{**row, "proven": False} for row in _without_proof(matrix["include"])]
    assert "never run" in tests["name"]
    assert tests["continue-on-error"] == "${{ !matrix.proven }}"


def test_what_is_proven_is_the_same_in_workflow_and_text() -> None:
    yaml = pytest.importorskip("yaml")
    proven = yaml.safe_load(text(".github/workflows/checks.yml"))["jobs"]["tests"]["strategy"]["matrix"]["include"]
    assert [(row["system"], row["python"]) for row in proven if row["proven"]] == [("ubuntu-latest", "3.11")]
    assert "What has been run so far is Debian with Python 3.11." in " ".join(text("CONTRIBUTING.md").split())


def test_the_pythons_of_the_workflow_are_those_of_the_package_and_the_readme() -> None:
    assert f'requires-python = ">={PYTHONS[0]}"' in text("pyproject.toml")
    assert f"Python {PYTHONS[0]} to {PYTHONS[-1]}" in text("README.md")


def test_hooks_before_a_commit_run_what_lint_runs() -> None:
    yaml = pytest.importorskip("yaml")
    (repository,) = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    programs = [hook["entry"].split()[0] for hook in repository["hooks"]]
    assert repository["repo"] == "local"
    assert set(programs) == {"ruff", "python", "mypy", "lint-imports"}
    lint = text("Makefile").split("\nlint:")[1].split("\n\n")[0]
    assert [program for program in set(programs) - {"python"} if program not in lint] == []


def test_contributing_names_every_placeholder_that_a_maintainer_fills_in() -> None:
    page = text("CONTRIBUTING.md").split("### What is still a placeholder")[1].split("### A release")[0]
    for words in ("Homepage", "`authors`", "advisories", "3d-slicer-extension", "tier", "make metadata"):
        assert words in page


def test_a_change_of_the_placeholders_reaches_every_file_that_repeats_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name = "SomebodyElse", "Ada Example"
    own_address = re.compile(rf"github(usercontent)?\.com/[\w.-]+/{metadata.PROJECT}")
    repeating = [path for path in metadata.expected_texts() if own_address.search(text(path))]
    monkeypatch.setattr(metadata, "public_home", lambda: f"https://github.com/{owner}/{metadata.PROJECT}")
    monkeypatch.setattr(metadata, "contributors", lambda: [name, "Second Example"])
    changed = metadata.expected_texts()
    assert {"CMakeLists.txt", "README.md", "SECURITY.md", "mkdocs.yml", "docs/install.md"} <= set(repeating)
    assert [path for path in repeating if f"/{owner}/{metadata.PROJECT}" not in changed[path]] == []
    assert f'set(EXTENSION_CONTRIBUTORS "{name}, Second Example")' in changed["CMakeLists.txt"]
    assert f"authors:\n  - name: {name}\n  - name: Second Example\n" in changed["CITATION.cff"]


def _without_proof(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{key: value for key, value in row.items() if key != "proven"} for row in rows]
