"""Who may import whom: the contracts of pyproject.toml, and what must load where torch is absent."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from Testing import metadata

ROOT = metadata.ROOT
ABSENT_IN_SLICER = (
    "torch",
    "torchvision",
    "timm",
    "monai",
    "lightning",
    "safetensors",
    "nibabel",
    "slicerio",
    "nrrd",
    "highdicom",
)
NOT_FOR_THE_WORKER = ("SimpleITK", "matplotlib", "PySide6", "slicer", "vtk")
SLICER_HAS = {"slicer", "qt", "ctk", "vtk", "numpy", "scipy"}

WITHOUT_TORCH = (
    "agreement",
    "errors",
    "labels",
    "request",
    "results",
    "protocol",
    "cards.pairs",
    "cards.table",
    "weights",
    "weights.store",
    "weights.download",
    "volume.volume",
    "volume.io",
    "volume.dicom.scan",
    "volume.export",
    "preprocessing.pipeline",
    "preprocessing.brain_mask",
    "analysis.analyze",
    "analysis.session",
    "runtime.context",
    "methods.hu_threshold.predictor",
    "analysis.combine",
    "analysis.comparison.compare",
    "analysis.comparison.differences",
    "analysis.features",
    "analysis.comparison.vote",
    "cli.main",
    "outputs.comparison",
    "weights.sidecar",
    "report",
    "outputs.write",
    "batch.run",
    "worker.exam",
    "worker.jobs",
    "worker.server",
)
"""Modules of the library that must load, and so open the panel and run `hu-threshold`, before PyTorch exists."""


def modules_that_the_panel_imports() -> list[str]:
    """Every ICHSegmenterLib module that a file under ICHSegmenter/ imports, wherever in the file."""
    found = set()
    for path in (ROOT / "ICHSegmenter").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
            elif isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
    return sorted(name for name in found if name.split(".")[0] == "ICHSegmenterLib")


def import_with_blocked(module: str, blocked: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Import a module in a new interpreter in which the blocked packages are absent."""
    code = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({blocked!r}))\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"importlib.import_module({module!r})"
    )
    return subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=120)


def test_imports_point_downwards_only() -> None:
    """In a process of its own: import-linter silences every logger that exists, of the tests that follow too."""
    code = (
        "import sys\n"
        "from importlinter.cli import lint_imports\n"
        "sys.exit(lint_imports(config_filename='pyproject.toml', no_cache=True, no_logo=True))"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_the_library_loads_where_torch_is_absent(module: str) -> None:
    answer = import_with_blocked(f"ICHSegmenterLib.{module}", ABSENT_IN_SLICER + NOT_FOR_THE_WORKER)
    assert answer.returncode == 0, answer.stderr


def test_whatever_the_panel_imports_loads_where_torch_is_absent() -> None:
    modules = modules_that_the_panel_imports()
    failures = {name: import_with_blocked(name, ABSENT_IN_SLICER + NOT_FOR_THE_WORKER) for name in modules}
    assert {name: answer.stderr for name, answer in failures.items() if answer.returncode} == {}


def test_every_module_that_the_panel_imports_is_on_the_contract() -> None:
    """Imports inside functions count there too, which the test before cannot see."""
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML by itself")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (contract,) = (one for one in contracts if one["id"] == "no-torch-below-models")
    listed = tuple(contract["source_modules"])
    absent = [name for name in modules_that_the_panel_imports() if not _is_below(name, listed)]
    assert absent == []


def _is_below(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_packages_hold_no_imports() -> None:
    """Who asks for one module gets that one; the package itself loads its public names when they are used."""
    package = ROOT / "ICHSegmenterLib" / "__init__.py"
    importing = {
        str(path.relative_to(ROOT))
        for path in package.parent.rglob("__init__.py")
        if path != package
        and any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(ast.parse(path.read_text())))
    }
    assert importing == set()
    assert _imported_at_file_scope(package) == {"importlib", "typing"}


def test_a_blocked_package_is_really_absent() -> None:
    """The tests above prove something only if blocking works."""
    answer = import_with_blocked("ICHSegmenterLib.methods.unet.network", ("torch",))
    assert answer.returncode == 1
    assert "torch" in answer.stderr


def test_the_slicer_side_imports_at_file_scope_only_what_slicer_brings() -> None:
    """The Extensions Index asks for it: a package that is not installed yet must not keep the module from loading."""
    allowed = SLICER_HAS | set(sys.stdlib_module_names) | {"ICHSegmenterLib", "ICHSegmenterSlicer"}
    foreign = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "ICHSegmenter").rglob("*.py")
        for name in _imported_at_file_scope(path)
        if name not in allowed
    }
    assert foreign == set()


def _imported_at_file_scope(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.split(".")[0])
    return names
