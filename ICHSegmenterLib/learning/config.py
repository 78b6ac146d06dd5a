"""Frozen dataclasses from the content of a YAML file: unknown keys and values of the wrong kind are errors."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from ICHSegmenterLib.errors import RecipeError, did_you_mean
from ICHSegmenterLib.preprocessing.spec import Window

RENAMED_KEYS = {
    "bone_glow": "beam_hardening",
    "bone_glow_hu": "beam_hardening_hu",
    "each_slice_alone": "per_slice",
    "frozen_norms_drift": "update_frozen_batchnorm",
}
"""Keys of recipes that runs of version 0.1 saved, and what they are called now."""

Config = TypeVar("Config")


def build(kind: type[Config], content: Any, where: str) -> Config:
    """A frozen dataclass from a mapping, checked key by key.

    Args:
        kind: The dataclass.
        content: Keys and values, as YAML reads them.
        where: Dotted key of the mapping in the whole recipe, for errors.

    Raises:
        RecipeError: An unknown key, a missing one, or a value of the wrong kind.
    """
    title = where or "the recipe"
    if isinstance(content, kind):
        return content
    if not isinstance(content, Mapping):
        raise RecipeError(f"{title}: expected keys and values, found {content!r}.")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    content = {RENAMED_KEYS.get(key, key): value for key, value in content.items()}
    for key in content:
        if key not in fields:
            raise RecipeError(
                f"{title}: unknown key {key!r}; known are {', '.join(fields)}." + did_you_mean(key, fields)
            )
    hints = typing.get_type_hints(kind)
    values = {key: _value(hints[key], value, f"{where}.{key}".lstrip(".")) for key, value in content.items()}
    absent = [
        name
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if absent:
        raise RecipeError(f"{title}: {', '.join(absent)} must be given.")
    return kind(**values)


def _value(hint: Any, value: Any, where: str) -> Any:
    """A value of the type that the field asks for."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Window and isinstance(value, (list, tuple)) and len(value) == 2:
        return Window(int(value[0]), int(value[1]))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, where)
    if origin is Literal:
        if value not in arguments:
            raise RecipeError(f"{where}: {value!r} is none of {', '.join(map(str, arguments))}.")
        return value
    if origin in (typing.Union, types.UnionType):
        return _union(arguments, value, where)
    if origin is tuple and isinstance(value, (list, tuple)):
        inner = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(inner) == len(value):
            return tuple(
                _value(kind, item, f"{where}.{n}") for n, (kind, item) in enumerate(zip(inner, value, strict=True))
            )
    if origin is dict and isinstance(value, Mapping):
        return dict(value)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    expected = getattr(hint, "__name__", str(hint))
    hint_for_yaml = " (YAML reads 1e-3 as text; write 1.0e-3)" if hint is float and isinstance(value, str) else ""
    raise RecipeError(f"{where}: expected {expected}, found {value!r}{hint_for_yaml}.")


def _union(arguments: Sequence[Any], value: Any, where: str) -> Any:
    for kind in arguments:
        if kind is type(None) and value is None:
            return None
        try:
            return _value(kind, value, where)
        except RecipeError:
            continue
    raise RecipeError(f"{where}: {value!r} is none of {', '.join(map(str, arguments))}.")
