"""Seconds from a request to the first "Predicting", and to the result, on a cold and a warm worker.

python Testing/Benchmarks/bench_worker.py [--methods hu-threshold hgi-sam blast-ct] [--repeats 3]

28 slices of 512 x 512 pixels through the real worker process. Networks get seeded random weights: the time is the
same. The aim on a warm worker is 0.3 s to "Predicting".
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1] / "Python")]

import numpy as np  # noqa: E402

from ICHSegmenterLib.model_cards import get_card  # noqa: E402
from worker_process import WorkerProcess, bleeding_head, write_job  # noqa: E402

SHAPE = (28, 512, 512)
METHODS = ("hu-threshold", "hgi-sam", "blast-ct")


@dataclass(frozen=True)
class Timing:
    """Seconds since the request was sent; `phases` are the engine's own."""

    predicting_s: float
    result_s: float
    phases: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--repeats", type=int, default=3, help="warm exams; the fastest counts")
    options = parser.parse_args()
    print(f"{'method':14}{'':6}{'hello':>8}{'Predicting':>12}{'result':>9}   phases")
    with tempfile.TemporaryDirectory() as folder:
        hu = bleeding_head(SHAPE)
        for method in options.methods:
            weights = seeded_weights(method, Path(folder))
            request = write_job(Path(folder) / method, hu, method=method, weights=weights)
            start = time.perf_counter()
            with WorkerProcess() as worker:
                hello_s = time.perf_counter() - start
                cold = measure(worker, request)
                warm = min((measure(worker, request) for _ in range(options.repeats)), key=lambda one: one.predicting_s)
            show(method, "cold", hello_s, cold)
            show("", "warm", None, warm)


def measure(worker: WorkerProcess, request: dict[str, object]) -> Timing:
    """One exam."""
    predicting_s = np.nan
    start = time.perf_counter()
    worker.send(**request, id="bench")
    while True:
        answer = worker.until("progress", "result", "error", id="bench")
        now_s = time.perf_counter() - start
        if answer["type"] == "error":
            raise SystemExit(f"{answer['kind']}: {answer['message']}\n{answer['details']}")
        if answer["type"] == "result":
            return Timing(predicting_s, now_s, answer["result"]["provenance"]["seconds"])
        if np.isnan(predicting_s) and answer["message"].startswith("Predicting"):
            predicting_s = now_s


def seeded_weights(method: str, folder: Path) -> list[str]:
    """Random weights in a file that the method can load; none for classical methods."""
    card = get_card(method)
    if not card.needs_weights:
        return []
    import torch

    from ICHSegmenterLib.models import create_model

    torch.manual_seed(0)
    path = folder / f"{method}.pt"
    torch.save(create_model(card.network, **card.network_config).state_dict(), path)
    return [str(path)]


def show(method: str, kind: str, hello_s: float | None, timing: Timing) -> None:
    phases = ", ".join(f"{name} {seconds:.2f}" for name, seconds in timing.phases.items())
    hello = "" if hello_s is None else f"{hello_s:.2f} s"
    print(f"{method:14}{kind:6}{hello:>8}{timing.predicting_s:>10.2f} s{timing.result_s:>7.2f} s   {phases}")


if __name__ == "__main__":
    main()
