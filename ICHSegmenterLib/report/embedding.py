"""Vectors of slices or exams as points of a picture: what lies close is alike to the network (t-SNE).

van der Maaten and Hinton, J Mach Learn Res 2008;9:2579-2605; scikit-learn's implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import DependencyError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.report.drawing.style import BACKGROUND, DOTS_PER_INCH, INK, MUTED, plain_axes
from ICHSegmenterLib.results import RESEARCH_NOTICE

MIN_POINTS = 4
MAX_PERPLEXITY = 30.0
SEED = 42
MAX_NAMED = 10
"""More groups than this are not named beside the picture."""


def embed(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(points, features) to (points, 2), the same each time; distances within a cloud mean more than between clouds.

    Raises:
        DependencyError: scikit-learn is missing.
        ValueError: Too few points.
    """
    if len(vectors) < MIN_POINTS:
        raise ValueError(f"a t-SNE needs at least {MIN_POINTS} points, got {len(vectors)}")
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise DependencyError("The t-SNE picture needs scikit-learn: pip install scikit-learn.") from error
    perplexity = min(MAX_PERPLEXITY, (len(vectors) - 1) / 3)
    return np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=SEED).fit_transform(vectors), np.float32)


def write_embedding(points: NDArray[np.float32], groups: Sequence[str], title: str, path: Path) -> None:
    """Draw points (n, 2) with one color a group; neighbors in a group are joined by a thin line.

    Args:
        points: Of `embed`.
        groups: Name of the group of each point, such as its exam; points of one group in their order.
        title: Above the picture.
        path: PNG.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 7), facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.06, 0.08, 0.9, 0.83))
    names = list(dict.fromkeys(groups))
    for number, name in enumerate(names):
        own = points[[group == name for group in groups]]
        color = colormaps["turbo"]((number + 0.5) / len(names))
        axes.plot(*own.T, "-", color=color, linewidth=0.6, alpha=0.5)
        axes.plot(*own.T, "o", color=color, markersize=5, label=name)
    plain_axes(axes)
    axes.set(xticks=[], yticks=[])
    figure.text(0.06, 0.94, title, color=INK, fontsize=13, weight="bold")
    figure.text(0.06, 0.03, RESEARCH_NOTICE, color=MUTED, fontsize=9)
    if len(names) <= MAX_NAMED:
        axes.legend(frameon=False, labelcolor=INK, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH, facecolor=BACKGROUND, format="png")
