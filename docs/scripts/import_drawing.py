"""The drawing of the architecture: packages in the layers of pyproject.toml, arrows from the imports that are there.

Only arrows that no longer path says already are drawn (the transitive reduction), or nobody could follow them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import grimp

PACKAGE = "ICHSegmenterLib"
BOX_HEIGHT, ROW_STEP, GAP, MARGIN, LETTER = 30, 66, 26, 24, 8.4
"""Pixels; LETTER is the width of one letter of a name."""
STYLE = (
    "<style>rect{fill:#eef3f7;stroke:#4a6274} text{font:14px sans-serif;text-anchor:middle;fill:#1b2126}"
    " path{fill:none;stroke:#6d8799;stroke-width:1.1;marker-end:url(#tip)} marker path{fill:#6d8799;stroke:none}"
    " .ground{fill:#fff;stroke:none}</style>"
    '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 8 4 0 8z" style="marker-end:none"/></marker>'
)


@dataclass(frozen=True)
class ImportGraph:
    """Who imports whom among the top-level packages and modules.

    Attributes:
        layers: Names from the uppermost layer to the lowest; those of one layer do not import each other.
        imports: Name to the names that it imports directly, wherever in the file.
    """

    layers: tuple[tuple[str, ...], ...]
    imports: Mapping[str, frozenset[str]]


def graph(root: Path) -> ImportGraph:
    """The graph of the library as it stands, its layers in the order of the contract in pyproject.toml.

    Raises:
        ValueError: A package stands in no layer of the contract.
    """
    imports = _direct_imports()
    layers = _layers((root / "pyproject.toml").read_text(encoding="utf-8"))
    listed = {name for layer in layers for name in layer}
    if missing := sorted(set(imports) - listed):
        raise ValueError(f"pyproject.toml: the contract 'layers' lacks {', '.join(missing)}; add each to a layer")
    present = tuple(tuple(name for name in layer if name in imports) for layer in layers)
    return ImportGraph(tuple(layer for layer in present if layer), imports)


def reduced(imports: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """The imports without those that a longer path implies.

    Args:
        imports: Without cycles.
    """
    below: dict[str, frozenset[str]] = {}

    def reachable(name: str) -> frozenset[str]:
        if name not in below:
            below[name] = frozenset().union(*({other} | reachable(other) for other in imports[name]))
        return below[name]

    return {
        name: frozenset(
            other for other in others if not any(other in reachable(between) for between in others - {other})
        )
        for name, others in imports.items()
    }


def drawing(graph: ImportGraph) -> str:
    """The graph as SVG, one row a layer, uppermost first."""
    rows = [_widths(layer) for layer in graph.layers]
    width = max(sum(row) + GAP * (len(row) - 1) for row in rows) + 2 * MARGIN
    width = max(width, 900.0)
    boxes: dict[str, tuple[float, float, float]] = {}  # left, top, width
    for number, (layer, row) in enumerate(zip(graph.layers, rows, strict=True)):
        shift = 0.22 * width * (-1, 0, 1, 0)[number % 4] if len(layer) == 1 else 0.0  # so that arrows pass boxes by
        left = 0.5 * (width - sum(row) - GAP * (len(row) - 1)) + shift
        for name, box_width in zip(layer, row, strict=True):
            boxes[name] = (left, MARGIN + number * ROW_STEP, box_width)
            left += box_width + GAP
    height = 2 * MARGIN + (len(rows) - 1) * ROW_STEP + BOX_HEIGHT
    pairs = ((name, other) for name, others in reduced(graph.imports).items() for other in sorted(others))
    arrows = [_arrow(boxes[name], boxes[other]) for name, other in pairs]
    shapes = [_box(name, *box) for name, box in boxes.items()]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img">',
            "<title>Imports between the packages of ICHSegmenterLib</title>",
            STYLE,
            f'<rect class="ground" width="{width:.0f}" height="{height}"/>',
            *arrows,
            *shapes,
            "</svg>",
        ]
    )


def _direct_imports() -> dict[str, frozenset[str]]:
    found = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True)
    imports: dict[str, set[str]] = {}
    for module in found.modules:
        name = _top(module)
        if not name:
            continue
        others = {_top(other) for other in found.find_modules_directly_imported_by(module)} - {name, ""}
        imports.setdefault(name, set()).update(others)
    return {name: frozenset(others) for name, others in sorted(imports.items())}


def _top(module: str) -> str:
    """The part behind the package's name: "volume" of "ICHSegmenterLib.volume.io", nothing of the package itself."""
    return f"{module}.".split(".")[1]


def _layers(text: str) -> list[tuple[str, ...]]:
    """The contract's lines, such as `"(cli) | (worker)"`, read without a TOML reader, which Python 3.10 lacks."""
    contract = re.search(r'^id = "layers"\n.*?^layers = \[\n(.*?)^\]', text, re.MULTILINE | re.DOTALL)
    if contract is None:
        raise ValueError("pyproject.toml has no import contract with the id 'layers'")
    lines = re.findall(r'^\s*"([^"]+)"', contract.group(1), re.MULTILINE)
    return [tuple(re.findall(r"\w+", line)) for line in lines]


def _widths(layer: Sequence[str]) -> list[float]:
    return [LETTER * len(name) + 24 for name in layer]


def _arrow(start: tuple[float, float, float], end: tuple[float, float, float]) -> str:
    x0, y0 = start[0] + 0.5 * start[2], start[1] + BOX_HEIGHT
    x1, y1 = end[0] + 0.5 * end[2], end[1]
    bend = 0.4 * (y1 - y0)
    return f'<path d="M{x0:.1f} {y0:.1f} C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {y1 - bend:.1f} {x1:.1f} {y1:.1f}"/>'


def _box(name: str, left: float, top: float, width: float) -> str:
    label = f'<text x="{left + 0.5 * width:.1f}" y="{top + 20:.1f}">{escape(name)}</text>'
    return f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{BOX_HEIGHT}" rx="5"/>{label}'
