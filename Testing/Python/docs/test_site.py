"""The documentation as a site: it builds without a warning, and what it says of the code is what the code is."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ICHSegmenterLib import METHODS
from ICHSegmenterLib.errors import ERROR_KINDS
from ICHSegmenterLib.protocol import PROTOCOL_VERSION, MessageType, Phase
from Testing import metadata

ROOT = metadata.ROOT
DEVELOP = ROOT / "docs" / "develop"
ANSWERS = ("hello", "progress", "result", "done", "pong", "error")


def script(name: str) -> ModuleType:
    """A module of docs/scripts, which is no package: MkDocs loads its hooks by path."""
    folder = str(ROOT / "docs" / "scripts")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


def build(tree: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """`make docs` of a tree, in a process of its own because the hooks change the path of modules.

    Not with --quiet, under which MkDocs counts no warnings.
    """
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=tree,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocstrings_handlers.python")
    folder = tmp_path_factory.mktemp("site")
    answer = build(ROOT, folder)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "WARNING" not in answer.stdout + answer.stderr
    return folder


def test_every_public_module_has_its_place_in_the_api_pages(site: Path) -> None:
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "ICHSegmenterLib").rglob("*.py")
        if not path.name.startswith("_") and "cli" not in path.relative_to(ROOT).parts
    }
    pages = "".join(page.read_text(encoding="utf-8") for page in (site / "api").rglob("index.html"))
    assert len(modules) > 100
    assert {module for module in modules if f'id="{module}"' not in pages} == set()


def test_every_method_has_its_card_with_its_limits(site: Path) -> None:
    page = (site / "methods" / "index.html").read_text(encoding="utf-8")
    assert [name for name in METHODS if f'id="{name}"' not in page] == []
    assert page.count("<strong>Limits.</strong>") == len(METHODS)


def test_every_verb_is_shown_with_its_options(site: Path) -> None:
    page = (site / "verbs" / "index.html").read_text(encoding="utf-8")
    for verb in ("segment", "batch", "evaluate", "train", "models-import", "rsna-predict"):
        assert f'id="{verb}"' in page
    assert "--detection-threshold" in page


def test_pages_show_the_pictures_of_the_repository(site: Path) -> None:
    page = (site / "tutorial" / "index.html").read_text(encoding="utf-8")
    pictures = re.findall(r'<img [^>]*src="([^"]+\.png)"', page.split("<article")[1])
    assert len(pictures) == (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8").count("![") > 5
    assert [name for name in pictures if not (site / "tutorial" / name).resolve().is_file()] == []


@pytest.mark.slow
def test_a_page_with_a_broken_link_would_stop_the_build(tmp_path: Path, site: Path) -> None:
    """The strict build proves something only if it fails where it should."""
    for name in ("docs", "ICHSegmenterLib", "Resources"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    for path in [*ROOT.glob("*.md"), ROOT / "mkdocs.yml"]:
        shutil.copy(path, tmp_path)
    with (tmp_path / "docs" / "results.md").open("a", encoding="utf-8") as page:
        page.write("\n[nowhere](nowhere.md)\n")
    answer = build(tmp_path, tmp_path / "site")
    assert answer.returncode != 0
    assert "nowhere.md" in answer.stdout + answer.stderr


def test_names_that_share_a_text_get_an_entry_each() -> None:
    pytest.importorskip("griffe")
    split = script("grouped_names").one_name_an_entry
    end = "    c: Alone, or: not.\n\nRaises:\n    A, B: No."
    docstring = f"Summary, of a: kind.\n\nArgs:\n    a, b: Both\n        of them.\n{end}"
    entries = "".join(f"    {name}: Both\n        of them.\n" for name in "ab")
    assert split(docstring) == f"Summary, of a: kind.\n\nArgs:\n{entries}{end}"


def test_the_drawing_shows_every_package_above_what_it_imports() -> None:
    drawing = script("import_drawing")
    imports = drawing.direct_imports()
    row = drawing.rows(imports)
    packages = {path.stem for path in (ROOT / "ICHSegmenterLib").iterdir() if any(path.rglob("*.py"))}
    modules = {path.stem for path in (ROOT / "ICHSegmenterLib").glob("*.py")} - {"__init__"}
    assert set(imports) == (packages | modules) - {"__pycache__"}
    assert [(name, other) for name, others in imports.items() for other in others if row[name] >= row[other]] == []
    picture = drawing.drawing(imports)
    assert sorted(re.findall(r"<text[^>]*>(\w+)</text>", picture)) == sorted(imports)


def test_the_drawing_leaves_out_only_what_longer_paths_say() -> None:
    drawing = script("import_drawing")
    imports = {name: frozenset(others) for name, others in {"a": "bcd", "b": "c", "c": "d", "d": "", "e": "d"}.items()}
    kept = {name: set(others) for name, others in drawing.reduced(imports).items()}
    assert kept == {"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": set(), "e": {"d"}}
    assert drawing.drawing(imports).count("<path d=") == 4 + 1  # the arrows, and the shape of their tip


def test_the_architecture_says_what_each_package_is_for() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (DEVELOP / "architecture.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(rows) == set(script("import_drawing").direct_imports()) - {"__main__"}


def test_the_page_of_the_protocol_names_every_request_and_every_kind_of_error() -> None:
    page = (DEVELOP / "worker-protocol.md").read_text(encoding="utf-8")
    requests, errors = page.split("## Requests")[1].split("## Answers")[0], page.split("## Kinds of errors")[1]
    named = re.findall(r"^\| `(\w+)` \|", requests, re.MULTILINE)
    assert sorted([*named, *ANSWERS]) == sorted(kind.value for kind in MessageType)
    assert [kind for kind in ANSWERS if f"`{kind}`" not in page and f'"type": "{kind}"' not in page] == []
    assert [phase.value for phase in Phase if f"`{phase.value}`" not in page] == []
    assert [kind for kind in ERROR_KINDS if f"`{kind}`" not in errors] == []
    assert f'"protocol": {PROTOCOL_VERSION},' in page
