"""The drawing of the architecture: every package above what it imports, arrows from the imports that are there.

Only arrows that no longer path says already are drawn (the transitive reduction), or nobody could follow them. Rows are
the longest way down; an arrow over several rows gets a slot in each (Sugiyama et al. 1981), so that it passes boxes by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from html import escape
from itertools import pairwise

import grimp

PACKAGE = "ICHSegmenterLib"
Imports = Mapping[str, frozenset[str]]
"""Name of a top-level package or module to the names that it imports directly, wherever in its files."""

BOX_HEIGHT, ROW_STEP, MARGIN, LETTER, SLOT = 30, 74, 24, 8.4, 14.0
"""Pixels. LETTER is the width of one letter of a name, SLOT that of an arrow that passes a row."""
GAP = 26.0
SWEEPS = 12
"""Of ordering the rows by their neighbors; more change nothing."""
STYLE = (
    "<style>rect{fill:#eef3f7;stroke:#4a6274} text{font:14px sans-serif;text-anchor:middle;fill:#1b2126}"
    " path{fill:none;stroke:#6d8799;stroke-width:1.2;marker-end:url(#tip)} .ground{fill:#fff;stroke:none}</style>"
    '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 8 4 0 8z" style="fill:#6d8799;stroke:none;marker-end:none"/></marker>'
)


@dataclass(frozen=True)
class _Node:
    """A box, or the slot of an arrow that passes a row.

    Attributes:
        name: Of the package; "FROM>TO" of an arrow.
        row: From the top.
    """

    name: str
    row: int

    @property
    def width(self) -> float:
        return SLOT if ">" in self.name else LETTER * len(self.name) + 24


def direct_imports() -> dict[str, frozenset[str]]:
    """The imports between the top-level packages and modules of the library, as grimp reads them."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True)
    imports: dict[str, set[str]] = {}
    for module in graph.modules:
        if name := _top(module):
            others = {_top(other) for other in graph.find_modules_directly_imported_by(module)} - {name, ""}
            imports.setdefault(name, set()).update(others)
    return {name: frozenset(others) for name, others in sorted(imports.items())}


def reduced(imports: Imports) -> dict[str, frozenset[str]]:
    """The imports without those that a longer path implies.

    Raises:
        CycleError: Imports run in a circle.
    """
    below: dict[str, frozenset[str]] = {}
    for name in TopologicalSorter(imports).static_order():
        below[name] = frozenset().union(*({other} | below[other] for other in imports[name]))
    return {
        name: frozenset(other for other in others if not any(other in below[between] for between in others))
        for name, others in imports.items()
    }


def rows(imports: Imports) -> dict[str, int]:
    """The row of each name from the top: everything stands above all that it imports."""
    height: dict[str, int] = {}
    for name in TopologicalSorter(imports).static_order():
        height[name] = 1 + max((height[other] for other in imports[name]), default=-1)
    top = max(height.values())
    return {name: top - height[name] for name in imports}


def drawing(imports: Imports) -> str:
    """The imports as SVG."""
    row = rows(imports)
    chains = [
        [_Node(name, row[name])]
        + [_Node(f"{name}>{other}", between) for between in range(row[name] + 1, row[other])]
        + [_Node(other, row[other])]
        for name, others in reduced(imports).items()
        for other in sorted(others)
    ]
    x = _columns({_Node(name, number) for name, number in row.items()}.union(*chains), chains)
    left = min(center - 0.5 * node.width for node, center in x.items()) - MARGIN
    width = max(center + 0.5 * node.width for node, center in x.items()) + MARGIN - left
    height = 2 * MARGIN + max(row.values()) * ROW_STEP + BOX_HEIGHT
    size = f'width="{width:.0f}" height="{height}"'
    boxes = [node for node in x if ">" not in node.name]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="{left:.0f} 0 {width:.0f} {height}" role="img">',
            f"<title>Imports between the packages of {PACKAGE}</title>{STYLE}",
            f'<rect class="ground" x="{left:.0f}" {size}/>',
            *(_arrow(chain, x) for chain in chains),
            *(_box(node, x[node]) for node in boxes),
            "</svg>",
        ]
    )


def _top(module: str) -> str:
    """The part behind the package's name: "volume" of "ICHSegmenterLib.volume.io", nothing of the package itself."""
    return f"{module}.".split(".")[1]


def _columns(nodes: set[_Node], chains: list[list[_Node]]) -> dict[_Node, float]:
    """The center of each node, every row in the order of the mean of its neighbors' centers (barycenter)."""
    neighbors: dict[_Node, list[_Node]] = {node: [] for node in nodes}
    for chain in chains:
        for upper, lower in pairwise(chain):
            neighbors[upper].append(lower)
            neighbors[lower].append(upper)
    x = dict.fromkeys(sorted(nodes, key=lambda node: (node.row, node.name)), 0.0)
    for sweep in range(SWEEPS):
        is_down = sweep % 2 == 0
        for number in sorted({node.row for node in nodes}, reverse=not is_down):
            side = [node for node in x if node.row == number]
            goal = {}
            for node in side:
                seen = [x[other] for other in neighbors[node] if (other.row < number) == is_down]
                goal[node] = sum(seen) / len(seen) if seen else x[node]
            _spread(sorted(side, key=lambda node: (goal[node], node.name)), goal, x)
    return x


def _spread(side: list[_Node], goal: Mapping[_Node, float], x: dict[_Node, float]) -> None:
    """Set the centers of a row, in this order and without overlap, as near to where they want to be as that allows."""
    right = float("-inf")
    for node in side:
        x[node] = max(goal[node], right + 0.5 * node.width)
        right = x[node] + 0.5 * node.width + GAP
    shift = sum(goal[node] - x[node] for node in side) / len(side)
    for node in side:
        x[node] += shift


def _arrow(chain: list[_Node], x: Mapping[_Node, float]) -> str:
    top = MARGIN + chain[0].row * ROW_STEP + BOX_HEIGHT
    curve = f"M{x[chain[0]]:.1f} {top}"
    for node, following in pairwise(chain):
        start, end = MARGIN + node.row * ROW_STEP + BOX_HEIGHT, MARGIN + following.row * ROW_STEP
        bend = 0.5 * (end - start)
        curve += f" C{x[node]:.1f} {start + bend} {x[following]:.1f} {end - bend} {x[following]:.1f} {end}"
        if following is not chain[-1]:
            curve += f" v{BOX_HEIGHT}"
    return f'<path d="{curve}"/>'


def _box(node: _Node, center: float) -> str:
    top = MARGIN + node.row * ROW_STEP
    label = f'<text x="{center:.1f}" y="{top + 20}">{escape(node.name)}</text>'
    left = center - 0.5 * node.width
    return f'<rect x="{left:.1f}" y="{top}" width="{node.width:.1f}" height="{BOX_HEIGHT}" rx="5"/>{label}'
