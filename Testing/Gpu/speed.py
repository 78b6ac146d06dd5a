"""Seconds of an exam and of a slice, against the authors' way on the same device in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.methods.rsna_sequence.network import SERIES_LENGTH
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume, prepare
from ICHSegmenterLib.request import AnalysisRequest
from Testing.Benchmarks.bench_blast_ct import regular_input, tiles_with
from Testing.Benchmarks.bench_hgi_sam import reference_map
from Testing.Benchmarks.bench_smart_net import encoder_step
from Testing.Gpu.rows import Row, attempt
from Testing.Gpu.trial_setup import Setup

TITLE = "Speed"
NAME = "method"
COLUMNS = (
    "files",
    "precision",
    "exam, s",
    "predict, s",
    "s a slice",
    "authors' s a slice",
    "times faster",
    "peak, GB",
)
NOTE = (
    "A warm exam of 28 slices of 512 x 512 pixels, median of three: all of it, and the phase with the networks, "
    "ways to their pixels and back on the CPU included. The authors' way: one slice (rsna-sequence: each of 60; "
    "blast-ct: one tile of 30 voxels that holds brain) at a time in float32 with torch's settings (TF32 in "
    "convolutions), the network alone. Weights are made from a seed."
)
REPEATS, WARM_UPS = 3, 2

Step = Callable[[nn.Module, torch.Tensor], object]


@dataclass(frozen=True)
class AuthorsWay:
    """How the authors run a network.

    Attributes:
        shape: Of the input of one step.
        step: One slice or tile.
        steps: How many an exam has.
        needs_gradients: Gradients of the parameters are on, as in their code.
    """

    shape: tuple[int, ...]
    step: Step = lambda network, x: network(x)
    steps: Callable[[PreparedVolume], int] = lambda exam: len(exam.brain_slices)
    needs_gradients: bool = False


def _map_of_slice(network: nn.Module, x: torch.Tensor) -> object:
    return reference_map(network, x, torch.ones(1, *x.shape[2:], device=x.device))


_SLICE, _COMPACT, _SMART_NET = (1, 3, 384, 384), (1, 3, 192, 192), (1, 1, 256, 256)
_SLAB = (1, 7, 208, 208)

METHODS: Mapping[str, AuthorsWay] = {
    "compact-unet": AuthorsWay(_SLAB),
    "compact-hgi": AuthorsWay(_COMPACT, _map_of_slice, needs_gradients=True),
    "unet": AuthorsWay(_SLICE),
    "swin-unetr": AuthorsWay(_SLICE),
    "hgi-sam": AuthorsWay(_SLICE, _map_of_slice, needs_gradients=True),
    "rsna-sequence": AuthorsWay((1, 3, 224, 224), lambda network, x: network.features(x), lambda exam: SERIES_LENGTH),
    "smart-net-up": AuthorsWay(_SMART_NET),
    "smart-net-cls": AuthorsWay(_SMART_NET, lambda network, x: encoder_step(network)(x)),
    "smart-net-seg": AuthorsWay(_SMART_NET, lambda network, x: encoder_step(network)(x)),
    "blast-ct": AuthorsWay((1, 1, 110, 110, 110), steps=lambda exam: tiles_with(regular_input(exam)[1])),
}
REHEARSED = ("compact-unet", "compact-hgi")


def rows(setup: Setup) -> Iterator[Row]:
    """One line a method."""
    for method in REHEARSED if setup.is_small else METHODS:
        yield attempt(method, lambda method=method: timed(method, setup), is_late=setup.is_late)


def timed(method: str, setup: Setup) -> tuple[Mapping[str, str], str]:
    """Both ways of one method; a fallback, which would make the times those of something else, is a failure."""
    card, way = get_card(method), METHODS[method]
    files = 1 if setup.is_small else card.default_models
    request = AnalysisRequest(method, weights=setup.weights(method, files), device=setup.device)
    session = Session()
    setup.reset_peak()
    analyze(setup.volume, request, session=session)
    totals, predictions = [], []
    for _ in range(1 if setup.is_small else REPEATS):
        start = time.perf_counter()
        result = analyze(setup.volume, request, session=session)
        totals.append(time.perf_counter() - start)
        predictions.append(result.provenance.seconds["predict"])
    peak_gb, ours = setup.peak_gb, statistics.median(predictions)
    session.free()
    exam = prepare(setup.volume, card.preprocessing)
    theirs = files * way.steps(exam) * seconds_of_step(method, setup)
    slices = len(exam.brain_slices)
    values = {
        "files": str(files),
        "precision": result.provenance.precision,
        "exam, s": f"{statistics.median(totals):.2f}",
        "predict, s": f"{ours:.2f}",
        "s a slice": f"{ours / slices:.4f}",
        "authors' s a slice": f"{theirs / slices:.4f}",
        "times faster": f"{theirs / max(ours, 1e-3):.1f}",
        "peak, GB": f"{peak_gb:.2f}",
    }
    fallbacks = [text for text in result.provenance.warnings if "continued" in text]
    return values, " ".join(fallbacks)


def seconds_of_step(method: str, setup: Setup) -> float:
    """Median seconds of one step of the authors' way."""
    card, way = get_card(method), METHODS[method]
    network = create_model(card.network, **card.network_config).to(setup.device)
    network.requires_grad_(way.needs_gradients)
    x = torch.rand(way.shape, device=setup.device)
    seconds = []
    with torch.set_grad_enabled(way.needs_gradients):
        for _ in range(2 if setup.is_small else WARM_UPS + REPEATS):
            setup.synchronize()
            start = time.perf_counter()
            way.step(network, x)
            setup.synchronize()
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[-REPEATS:])
