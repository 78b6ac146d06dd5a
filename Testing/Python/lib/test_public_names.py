"""The public names of the package: real, complete, typed, and loaded only when they are used."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import ICHSegmenterLib
from ICHSegmenterLib import errors

PACKAGE = Path(ICHSegmenterLib.__file__)
HEAVY = ("numpy", "scipy", "torch", "matplotlib", "pydicom", "SimpleITK", "nibabel")
FUNCTIONS = ("analyze", "compare", "read_volume", "write_outputs")


def in_new_interpreter(code: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(PACKAGE.parents[1])!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return answer.stdout


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = json.loads(
        in_new_interpreter("import json, ICHSegmenterLib; dir(ICHSegmenterLib); print(json.dumps(list(sys.modules)))")
    )
    assert [name for name in HEAVY if name in loaded] == []
    assert [name for name in loaded if name.startswith("ICHSegmenterLib.")] == []


def test_the_table_of_methods_reaches_no_torch() -> None:
    code = "import ICHSegmenterLib; print(len(ICHSegmenterLib.METHODS), 'torch' in sys.modules)"
    count, has_torch = in_new_interpreter(code).split()
    assert int(count) > 10
    assert has_torch == "False"


@pytest.mark.parametrize("name", ICHSegmenterLib.__all__)
def test_every_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(ICHSegmenterLib, name)
    assert name in dir(ICHSegmenterLib)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_is_documented_and_lives_in_the_package(name: str) -> None:
    function = getattr(ICHSegmenterLib, name)
    assert inspect.getdoc(function)
    assert getattr(importlib.import_module(function.__module__), name) is function


def test_every_typed_error_is_a_public_name() -> None:
    typed = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert len(typed) > 10
    assert {name for name in ICHSegmenterLib.__all__ if name.endswith("Error")} == typed
    assert all(getattr(ICHSegmenterLib, name) is getattr(errors, name) for name in typed)


def test_a_name_that_does_not_exist_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match="no attribute 'outline'"):
        _ = ICHSegmenterLib.outline


def test_what_type_checkers_see_is_what_is_loaded() -> None:
    (block,) = (node for node in ast.parse(PACKAGE.read_text()).body if isinstance(node, ast.If))
    seen = {
        (alias.asname or alias.name): getattr(importlib.import_module(str(node.module)), alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(seen) == set(ICHSegmenterLib.__all__) - {"__version__"}
    assert all(getattr(ICHSegmenterLib, name) is value for name, value in seen.items())


@pytest.mark.slow
def test_mypy_knows_the_public_names_and_no_other(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    program = tmp_path / "program.py"
    program.write_text(
        "from ICHSegmenterLib import METHODS, VolumeError, analyze\n"
        "from ICHSegmenterLib import outline\n"
        "reveal_type(METHODS)\n"
        "analyze(1, 2)\n"
    )
    config = PACKAGE.parents[1] / "pyproject.toml"
    text, _, code = api.run(["--config-file", str(config), "--follow-imports=silent", str(program)])
    assert code == 1
    assert 'has no attribute "outline"' in text
    assert "Mapping[str, ICHSegmenterLib." in text
    assert 'has incompatible type "int"; expected "Volume"' in text
    assert '"METHODS"' not in text
    assert '"VolumeError"' not in text


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE.parent / "py.typed").is_file()
