"""Scripts that no test runs, such as benchmarks, import only names that there are."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from Testing import metadata

SCRIPTS = sorted(
    path
    for folder in ("Testing", "Testing/Benchmarks", "Testing/Gpu", "examples", "docs/scripts")
    for path in (metadata.ROOT / folder).glob("*.py")
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(metadata.ROOT)))
def test_a_script_imports_only_names_that_there_are(script: Path) -> None:
    missing = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ICHSegmenterLib")
        for alias in node.names
        if not _exists(str(node.module), alias.name)
    ]
    assert missing == []


def _exists(module: str, name: str) -> bool:
    """A name of the module, or a module in the package."""
    try:
        return hasattr(importlib.import_module(module), name) or bool(importlib.import_module(f"{module}.{name}"))
    except ModuleNotFoundError:
        return False
