"""An extension of griffe for a habit of the house: in a docstring, "device, precision: TEXT" is two entries."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

SECTION = re.compile(r"^(\s*)(?:Args|Attributes):$")
GROUP = re.compile(r"^(\s*)(\w+(?:, \w+)+):( .*)$")


class GroupedNames(Extension):
    """Gives each name of a group its own entry, before the docstring is parsed."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite the docstring of a module, class or function."""
        if obj.docstring is not None:
            obj.docstring.value = one_name_an_entry(obj.docstring.value)


def one_name_an_entry(docstring: str) -> str:
    """The docstring with every "a, b: TEXT" of its Args and Attributes as "a: TEXT" and "b: TEXT"."""
    lines, rewritten, entry_indent = docstring.splitlines(), [], None
    number = 0
    while number < len(lines):
        line = lines[number]
        if SECTION.match(line):
            entry_indent = _indent(line) + 4
        elif line.strip() and entry_indent is not None and _indent(line) < entry_indent:
            entry_indent = None
        group = GROUP.match(line) if entry_indent == _indent(line) else None
        number += 1
        if group is None:
            rewritten.append(line)
            continue
        more = []
        while number < len(lines) and lines[number].strip() and _indent(lines[number]) > _indent(line):
            more.append(lines[number])
            number += 1
        for name in group.group(2).split(", "):
            rewritten += [f"{group.group(1)}{name}:{group.group(3)}", *more]
    return "\n".join(rewritten)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
