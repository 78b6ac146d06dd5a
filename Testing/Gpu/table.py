"""The report as Markdown."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from ICHSegmenterLib import __version__
from Testing.Gpu.rows import Row


@dataclass(frozen=True)
class Section:
    """One table.

    Attributes:
        title, note: Above and below it.
        name: Heading of the first column.
        columns: Headings of the others.
        rows: Its lines.
    """

    title: str
    note: str
    name: str
    columns: tuple[str, ...]
    rows: Sequence[Row]


def machine(device: str) -> str:
    """The processor and what computes on it, in one sentence."""
    versions = f"torch {torch.__version__}, ICHSegmenter {__version__}"
    if not device.startswith("cuda"):
        return f"Rehearsal on the CPU with small networks ({versions}): no figure below is one of a graphics card."
    card = torch.cuda.get_device_properties(device)
    return (
        f"{card.name}, {card.total_memory / 1e9:.0f} GB, compute capability {card.major}.{card.minor}, "
        f"CUDA {torch.version.cuda}, {platform.system()}, {versions}."
    )


def markdown(heading: str, sections: Iterable[Section]) -> str:
    """All tables; lines that did not pass come first in words."""
    sections = list(sections)
    parts = [heading, *_exceptions(sections)]
    for section in sections:
        parts += [f"### {section.title}", _table(section), section.note]
    return "\n\n".join(parts) + "\n"


def counts(sections: Iterable[Section]) -> dict[str, int]:
    """Lines of each outcome."""
    outcomes = [row.outcome for section in sections for row in section.rows]
    return {outcome: outcomes.count(outcome) for outcome in ("passed", "failed", "not run")}


def _exceptions(sections: Iterable[Section]) -> list[str]:
    lines = [
        f"* {section.title}, {row.name}: {row.outcome}, {row.reason}"
        for section in sections
        for row in section.rows
        if row.outcome != "passed"
    ]
    return ["\n".join(lines)] if lines else []


def _table(section: Section) -> str:
    headings = (section.name, *section.columns, "")
    lines = [headings, ("---",) * len(headings)]
    lines += [(row.name, *(row.values.get(key, "") for key in section.columns), row.outcome) for row in section.rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
