"""A function that needs more than seven parameters wants a data class."""

from __future__ import annotations

import ast

import pytest

from Testing import metadata

MOST = 7
PACKAGES = ("ICHSegmenterLib", "ICHSegmenter")


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many a caller may give; self and cls are not given."""
    given = function.args
    named = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    if named[:1] in (["self"], ["cls"]):
        named = named[1:]
    return len(named) + (given.vararg is not None) + (given.kwarg is not None)


def too_long(source: str) -> dict[str, int]:
    """Function to number of parameters, for those with more than `MOST`."""
    functions = (
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return {function.name: count for function in functions if (count := parameters(function)) > MOST}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_function_takes_more_than_seven_parameters(package: str) -> None:
    files = (metadata.ROOT / package).rglob("*.py")
    longer = {file.name: too_long(file.read_text(encoding="utf-8")).keys() for file in files}
    assert {name: functions for name, functions in longer.items() if functions} == {}


def test_every_kind_of_parameter_counts() -> None:
    assert too_long("def f(self, a, b, /, c, d=1, *e, f, g=2, **h): ...") == {"f": 8}
    assert too_long("class A:\n  async def f(cls, a, b, c, d, e, f, g): ...") == {}
