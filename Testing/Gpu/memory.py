"""Memory that really runs out, and two methods that stay loaded together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.weights import store
from Testing.Gpu.rows import Row, attempt
from Testing.Gpu.trial_setup import Setup

TITLE = "Memory"
NAME = "what"
COLUMNS = ("device in the end", "batch in the end", "limit, GB", "peak, GB", "largest difference")
NOTE = (
    "The limit is torch.cuda.set_per_process_memory_fraction. The difference is that of the slices' values from a run "
    "with all memory."
)

PAIR, SMALL_PAIR = ("unet", "hgi-sam"), ("compact-unet", "compact-hgi")
ROOM_FOR_SMALLER_BATCHES = 0.4
"""Of what a run at full batch size takes besides the weights: half a batch may fit, the whole one cannot."""
SPARE_BYTES = 2**20
"""Besides the weights, where not even one slice may fit; torch allocates 2 MiB and more at a time."""
MAX_DIFFERENCE = 0.1
"""Of a slice's value in [0, 1]: the two runs round to 8 bits, or one of them does not."""


@dataclass
class Use:
    """Bytes on the device: of the loaded network, and at most during the run; the batch size of that run."""

    weights: int
    peak: int
    batch_size: int


def rows(setup: Setup) -> Iterator[Row]:
    """Half batches, the CPU, two methods in turn."""
    yield attempt("batches halved", lambda: halved(setup), is_late=setup.is_late)
    if setup.is_cuda:
        yield attempt("not even one slice: CPU", lambda: on_the_cpu(setup), is_late=setup.is_late)
    yield attempt("two methods warm", lambda: two_warm(setup), is_late=setup.is_late)


def halved(setup: Setup) -> tuple[Mapping[str, str], str]:
    """Too little memory for a whole batch."""
    session, method = Session(), _pair(setup)[0]
    expected, use = _measured(setup, session, method)
    limit = use.weights + int(ROOM_FOR_SMALLER_BATCHES * (use.peak - use.weights))
    with limited(setup, limit, largest_batch=max(1, use.batch_size // 2)):
        result = _analyze(setup, session, method)
    batch_size = _predictor(setup, session, method).batch_size
    values, problem = _described(setup, result, expected, batch_size, limit)
    if setup.is_cuda and result.provenance.device == "cpu":
        problem = "halving the batch was not enough"
    elif batch_size >= use.batch_size or not any("batches of" in text for text in result.provenance.warnings):
        problem = f"memory did not run out within {limit / 1e9:.2f} GB"
    return values, problem


def on_the_cpu(setup: Setup) -> tuple[Mapping[str, str], str]:
    """Too little memory for one slice; the network itself is loaded."""
    session, method = Session(), _pair(setup)[0]
    expected, use = _measured(setup, session, method)
    limit = use.weights + SPARE_BYTES
    with limited(setup, limit, largest_batch=0):
        result = _analyze(setup, session, method)
    values, problem = _described(setup, result, expected, 1, limit)
    return values, problem if result.provenance.device == "cpu" else f"it ran on {result.provenance.device}"


def two_warm(setup: Setup) -> tuple[Mapping[str, str], str]:
    """Two methods in turn in one session: neither is loaded again, and both say the same as before."""
    session, pair = Session(), _pair(setup)
    setup.reset_peak()
    first = {method: _analyze(setup, session, method) for method in pair}
    kept = {method: _predictor(setup, session, method) for method in pair}
    second = {method: _analyze(setup, session, method) for method in pair}
    reloaded = [method for method in pair if _predictor(setup, session, method) is not kept[method]]
    difference = max(_difference(first[method], second[method]) for method in pair)
    device = first[pair[0]].provenance.device
    values = {
        "device in the end": device,
        "peak, GB": f"{setup.peak_gb:.2f}",
        "largest difference": f"{difference:.3f}",
    }
    if reloaded:
        return values, f"loaded again: {', '.join(reloaded)}"
    return values, "" if difference <= MAX_DIFFERENCE else "the second run says something else"


@contextlib.contextmanager
def limited(setup: Setup, limit_bytes: int, *, largest_batch: int) -> Iterator[None]:
    """Less memory for torch; in a rehearsal larger batches raise what torch would."""
    if setup.is_cuda:
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(setup.device).total_memory
        torch.cuda.set_per_process_memory_fraction(limit_bytes / total, setup.device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, setup.device)
        return

    def refuse(module: nn.Module, inputs: tuple[object, ...]) -> None:
        if isinstance(module, nn.Conv2d) and len(inputs[0]) > largest_batch:
            raise RuntimeError("out of memory (rehearsed)")

    hook = register_module_forward_pre_hook(refuse)
    try:
        yield
    finally:
        hook.remove()


def _pair(setup: Setup) -> tuple[str, str]:
    return SMALL_PAIR if setup.is_small else PAIR


def _analyze(setup: Setup, session: Session, method: str) -> AnalysisResult:
    request = AnalysisRequest(method, weights=setup.weights(method), device=setup.device)
    return analyze(setup.volume, request, session=session)


def _predictor(setup: Setup, session: Session, method: str):
    card = store.card_of(method, setup.weights(method))
    return session.predictor(card, setup.weights(method), session.device(card, setup.device, "auto"))


def _measured(setup: Setup, session: Session, method: str) -> tuple[AnalysisResult, Use]:
    """A run with all memory."""
    predictor = _predictor(setup, session, method)
    setup.reset_peak()
    weights = torch.cuda.memory_reserved(setup.device) if setup.is_cuda else 0
    result = _analyze(setup, session, method)
    peak = torch.cuda.max_memory_reserved(setup.device) if setup.is_cuda else 0
    return result, Use(weights, peak, predictor.batch_size)


def _described(
    setup: Setup, result: AnalysisResult, expected: AnalysisResult, batch_size: int, limit: int
) -> tuple[Mapping[str, str], str]:
    difference = _difference(result, expected)
    values = {
        "device in the end": result.provenance.device,
        "batch in the end": str(batch_size),
        "limit, GB": f"{limit / 1e9:.2f}" if setup.is_cuda else "rehearsed",
        "largest difference": f"{difference:.3f}",
    }
    return values, "" if difference <= MAX_DIFFERENCE else f"the slices' values differ by {difference:.3f}"


def _difference(one: AnalysisResult, other: AnalysisResult) -> float:
    """Largest difference of a slice's value."""
    pairs = zip(one.detection.slices, other.detection.slices, strict=True)
    return max(abs(a.probabilities[ANY] - b.probabilities[ANY]) for a, b in pairs)
