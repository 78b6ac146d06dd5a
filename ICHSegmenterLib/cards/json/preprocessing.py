"""Preprocessing as JSON: kind and fields, read back with every value checked against what a network can be shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from types import MappingProxyType
from typing import Any

from ICHSegmenterLib.preprocessing.spec import (
    NoPreprocessing,
    Preprocessing,
    SeriesPreprocessing,
    SlabPreprocessing,
    SlicePreprocessing,
    SmartNetPreprocessing,
    VolumePreprocessing,
    Window,
)

KINDS: Mapping[str, type[Preprocessing]] = MappingProxyType(
    {
        one.__name__: one
        for one in (
            NoPreprocessing,
            SeriesPreprocessing,
            SlabPreprocessing,
            SlicePreprocessing,
            SmartNetPreprocessing,
            VolumePreprocessing,
        )
    }
)
MAX_WINDOWS, MAX_SIDE = 16, 2048
LEVELS, WIDTHS = (-2000, 5000), (1, 10_000)
"""HU of a window's center and its width."""


def preprocessing_facts(preprocessing: Preprocessing) -> dict[str, Any]:
    """The preprocessing as plain data."""
    return {"kind": type(preprocessing).__name__, **asdict(preprocessing)}


def preprocessing_from(content: Any) -> Preprocessing:
    """The preprocessing that plain data describes; what is absent has its default.

    Raises:
        ValueError: An unknown kind or key, or a value that no network can be shown; names the key.
    """
    if not isinstance(content, Mapping) or str(content.get("kind")) not in KINDS:
        kind_name = content.get("kind") if isinstance(content, Mapping) else content
        raise ValueError(f"preprocessing.kind must be one of {', '.join(KINDS)}, got {kind_name!r}")
    kind = KINDS[content["kind"]]
    known = [one.name for one in fields(kind)]
    values = {}
    for key, value in content.items():
        if key == "kind":
            continue
        if key not in known:
            raise ValueError(f"preprocessing.{key}: {kind.__name__} has only {', '.join(known) or 'no keys'}")
        values[key] = _READERS[key](f"preprocessing.{key}", value)
    return kind(**values)


def _whole(least: int, most: int) -> Callable[[str, Any], int]:
    def read(key: str, value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"{key} must be a whole number from {least} to {most}, got {value!r}")
        return value

    return read


def _number(least: float, most: float) -> Callable[[str, Any], float]:
    def read(key: str, value: Any) -> float:
        if type(value) not in (int, float) or not math.isfinite(value) or not least <= value <= most:
            raise ValueError(f"{key} must be a number from {least:g} to {most:g}, got {value!r}")
        return float(value)

    return read


def _word(*words: str) -> Callable[[str, Any], str]:
    def read(key: str, value: Any) -> str:
        if value not in words:
            raise ValueError(f"{key} must be one of {', '.join(words)}, got {value!r}")
        return str(value)

    return read


def _switch(key: str, value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{key} must be true or false, got {value!r}")
    return value


def _window(key: str, value: Any) -> Window:
    if not isinstance(value, Mapping) or set(value) != {"level", "width"}:
        raise ValueError(f'{key} must look like {{"level": 40, "width": 80}}, got {value!r}')
    return Window(_whole(*LEVELS)(f"{key}.level", value["level"]), _whole(*WIDTHS)(f"{key}.width", value["width"]))


def _windows(key: str, value: Any) -> tuple[Window, ...]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_WINDOWS:
        raise ValueError(f"{key} must be a list of 1 to {MAX_WINDOWS} windows, got {value!r}")
    return tuple(_window(f"{key}.{n}", one) for n, one in enumerate(value))


def _neighbors(key: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or len(value) > MAX_WINDOWS:
        raise ValueError(f"{key} must be a list of at most {MAX_WINDOWS} distances in mm, got {value!r}")
    return tuple(_number(-100, 100)(f"{key}.{n}", one) for n, one in enumerate(value))


def _hu_range(key: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"{key} must be a list of two HU, got {value!r}")
    low, high = (_number(-2000, 10_000)(f"{key}.{n}", one) for n, one in enumerate(value))
    if low >= high:
        raise ValueError(f"{key} must rise, got {value!r}")
    return low, high


_READERS: Mapping[str, Callable[[str, Any], Any]] = MappingProxyType(
    {
        "clip_limit": _number(0.01, 1000),
        "crop": _whole(8, MAX_SIDE),
        "drop_empty_ends": _switch,
        "hu_range": _hu_range,
        "mask_sampling": _word("center", "floor"),
        "neighbor_window": _window,
        "neighbors_mm": _neighbors,
        "normalization": _word("minmax", "window"),
        "normalize": _word("slice", "volume"),
        "resize": _whole(8, MAX_SIDE),
        "side": _whole(8, MAX_SIDE),
        "size": _whole(32, MAX_SIDE),
        "slab_mm": _number(0.5, 20),
        "spacing_mm": _number(0.25, 10),
        "tiles": _whole(1, 64),
        "window": _window,
        "windows": _windows,
    }
)
"""Key to what reads it; keys of different kinds of preprocessing have different names or mean the same."""
