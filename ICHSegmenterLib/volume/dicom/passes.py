"""Two passes over the head in one DICOM series, the slices of one lying between those of the other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.volume.dicom.slices import SAME_POSITION_MM, DicomSlice
from ICHSegmenterLib.volume.reader.reader_warning import ReaderCode, ReaderWarning, pass_words

MIN_PASS_SLICES = 3
"""Fewer slices are repeats of moved ones, or what one turn of the tube gives."""
MIN_BETWEEN_SHARE = 1 / 3
"""Share of a pass's slices that lie between those of another: skull base and vertex only overlap where they meet."""
MAX_PASSES = 4
"""Files whose numbers change direction more often are numbered without order, which says nothing."""

Pass = tuple[str, Sequence[DicomSlice]]
"""Name of a pass in a message, and its slices."""


def interleaved_passes(slices: Sequence[DicomSlice]) -> ReaderWarning | None:
    """A warning if two passes of equal settings lie interleaved; None if the slices are of one pass.

    A single scan may be made in two passes. But two scans look the same if nothing but the time differs.

    Args:
        slices: All of the series, of parallel planes, in any order.

    Raises:
        VolumeError: The passes differ in kernel, tube voltage or contrast agent: two scans, not one.
    """
    normal = slices[len(slices) // 2].normal
    for name, setting in _SETTINGS:
        pair = _interleaved(_grouped(slices, setting, name), normal)
        if pair:
            raise VolumeError(
                f"The series holds two scans, one between the slices of the other: {_both(pair, normal)}. "
                "Export one of them as its own series.",
                Cause.SEVERAL_SCANS,
            )
    pair = _interleaved(_acquisitions(slices) or _sweeps(slices, normal), normal)
    if not pair:
        return None
    return ReaderWarning(ReaderCode.TWO_PASSES, {"passes": [_facts(*one, normal) for one in pair]})


_SETTINGS: tuple[tuple[str, Callable[[DicomSlice], Hashable]], ...] = (
    ("kernel {}", lambda item: item.kernel),
    ("{:g} kV", lambda item: item.tube_kv),
    ("{}", lambda item: "with contrast agent" if item.has_contrast else "without contrast agent"),
)
"""How a setting is told, and where it stands; empty or 0 if the file does not say."""


def _grouped(slices: Sequence[DicomSlice], key: Callable[[DicomSlice], Hashable], name: str) -> list[Pass]:
    """Passes by a key; slices without it are left out."""
    groups: dict[Hashable, list[DicomSlice]] = {}
    for item in slices:
        if key(item):
            groups.setdefault(key(item), []).append(item)
    return [(name.format(value), members) for value, members in groups.items()]


def _acquisitions(slices: Sequence[DicomSlice]) -> list[Pass]:
    """Passes by AcquisitionNumber; none if each turn of the tube has its own."""
    groups = _grouped(slices, lambda item: item.recency[0], "acquisition {:g}")
    return groups if len(groups) > 1 and min(len(members) for _, members in groups) >= MIN_PASS_SLICES else []


def _sweeps(slices: Sequence[DicomSlice], normal: NDArray[np.float64]) -> list[Pass]:
    """Runs of slices in one direction, in the order in which they were made."""
    runs: list[list[DicomSlice]] = []
    direction = 0.0
    for item in sorted(slices, key=lambda item: item.recency):
        step = float((item.position - runs[-1][-1].position) @ normal) if runs else 0.0
        if not runs or (direction and step * direction <= 0):
            runs.append([item])
            direction = 0.0
        else:
            runs[-1].append(item)
            direction = step
    return [(f"pass {n}", run) for n, run in enumerate(runs, start=1)] if len(runs) <= MAX_PASSES else []


def _interleaved(passes: Sequence[Pass], normal: NDArray[np.float64]) -> tuple[Pass, Pass] | None:
    """The first two passes of which one lies between the slices of the other."""
    for first, second in combinations(passes, 2):
        if _lies_between(first[1], second[1], normal) or _lies_between(second[1], first[1], normal):
            return first, second
    return None


def _lies_between(these: Sequence[DicomSlice], those: Sequence[DicomSlice], normal: NDArray[np.float64]) -> bool:
    """True if many of these slices lie between those; a slice at the place of another one is a repeat."""
    if min(len(these), len(those)) < MIN_PASS_SLICES:
        return False
    places, others = (np.array([item.position @ normal for item in group]) for group in (these, those))
    is_apart = np.abs(places[:, None] - others).min(axis=1) > SAME_POSITION_MM
    between = np.count_nonzero(is_apart & (places > others.min()) & (places < others.max()))
    return bool(between >= max(MIN_PASS_SLICES, MIN_BETWEEN_SHARE * len(these)))


def _both(pair: tuple[Pass, Pass], normal: NDArray[np.float64]) -> str:
    return " and ".join(pass_words(_facts(*one, normal)) for one in pair)


def _facts(name: str, slices: Sequence[DicomSlice], normal: NDArray[np.float64]) -> dict[str, float | str]:
    """A pass as a warning holds it."""
    places = np.sort([float(item.position @ normal) for item in slices])
    return {
        "slices": len(slices),
        "step_mm": float(np.median(np.diff(places))),
        "first_mm": float(places[0]),
        "last_mm": float(places[-1]),
        "name": name,
    }
