"""The list of threats names tests that there are."""

from __future__ import annotations

import ast
import re

from Testing import metadata

PAGE = metadata.ROOT / "docs" / "develop" / "threats.md"
LIBRARY_TESTS = metadata.ROOT / "Testing" / "Python" / "lib"
ROW = re.compile(r"^\| (?P<threat>[^|]+) \| (?P<against>[^|]+) \| `(?P<file>test_\w+\.py)`: `(?P<test>test_\w+)` \|$")


def rows() -> list[str]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("|") and not line.startswith(("|---", "| threat |"))]


def test_every_threat_has_a_test_that_exists() -> None:
    assert len(rows()) > 40
    tests: dict[str, set[str]] = {}
    for line in rows():
        row = ROW.match(line)
        assert row, f"threat, what is against it, `file`: `test`: {line}"
        path = LIBRARY_TESTS / row["file"]
        if row["file"] not in tests:
            functions = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            tests[row["file"]] = {node.name for node in functions if isinstance(node, ast.FunctionDef)}
        assert row["test"] in tests[row["file"]], f"{row['file']} has no {row['test']}"


def test_no_threat_is_listed_twice() -> None:
    threats = [line.split("|")[1].strip() for line in rows()]
    assert len(set(threats)) == len(threats)
