"""Seconds from a request to the first "Predicting" on a cold and a warm worker, and from a cancel to its answer.

python Testing/Benchmarks/bench_worker.py [--methods hu-threshold hgi-sam blast-ct] [--repeats 3] [--whole]

28 slices of 512 x 512 pixels through the real worker process. Networks get seeded random weights: the time is the
same. The aims: 0.3 s to "Predicting" on a warm worker, and a run that stops within 1 s of its cancelling.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1] / "Python")]

from ICHSegmenterLib.cards.table import get_card  # noqa: E402
from ICHSegmenterLib.protocol import Phase  # noqa: E402
from worker_process import WorkerProcess, bleeding_head, write_job  # noqa: E402

SHAPE = (28, 512, 512)
METHODS = ("hu-threshold", "hgi-sam", "blast-ct")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--repeats", type=int, default=3, help="warm exams; the fastest start counts")
    parser.add_argument("--whole", action="store_true", help="also one exam to its end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hu = bleeding_head(SHAPE)
        for method in options.methods:
            request = write_job(Path(folder) / method, hu, method=method, weights=seeded_weights(method, Path(folder)))
            start = time.perf_counter()
            with WorkerProcess() as worker:
                print(f"{method:13} hello {time.perf_counter() - start:.2f} s", end="", flush=True)
                print(f", cold {begin_and_cancel(worker, request)[0]:.2f} s", end="", flush=True)
                starts, stops = zip(*(begin_and_cancel(worker, request) for _ in range(options.repeats)), strict=True)
                print(f", warm {min(starts):.2f} s, cancelled within {max(stops):.2f} s", flush=True)
                if options.whole:
                    print(f"{'':13} {whole(worker, request)}", flush=True)


def begin_and_cancel(worker: WorkerProcess, request: dict[str, object]) -> tuple[float, float]:
    """Seconds from the request to "Predicting", and from the cancel that follows to its answer."""
    sent = time.perf_counter()
    worker.send(**request, id="bench")
    while (answer := worker.until("progress", "error", "result", id="bench"))["type"] == "progress":
        if answer["phase"] == Phase.PREDICTING:
            break
    began = time.perf_counter()
    worker.send(type="cancel", id="bench")
    last = answer if answer["type"] != "progress" else worker.until("error", "result", id="bench")
    if last.get("kind", "cancelled") != "cancelled":
        raise SystemExit(f"{last['kind']}: {last['message']}\n{last['details']}")
    return began - sent, time.perf_counter() - began


def whole(worker: WorkerProcess, request: dict[str, object]) -> str:
    """One exam to its end, in the engine's own phases."""
    sent = time.perf_counter()
    answer = worker.ask(**request, id="whole")
    phases = answer["result"]["provenance"]["seconds"]
    told = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in phases.items())
    return f"whole {time.perf_counter() - sent:.2f} s ({told})"


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


if __name__ == "__main__":
    main()
