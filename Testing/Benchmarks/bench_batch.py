"""Exams an hour of a batch on one computer and on a local cluster, and where the time goes.

python Testing/Benchmarks/bench_batch.py [--exams 8] [--method hu-threshold] [--weights FILE ...] [--workers 1 2]
    [--readers 1]

Exams are DICOM series of a phantom head, 32 slices of 512 x 512. Of each engine one line: exams an hour, processor time
of an exam (this process and those that it started, where the system says so), and of one computer the share of the time
in which the network works. A share near 1 says that it waits neither for readers nor for writers. A second line has the
processor time of an exam by stage: the thread of the network, judging and measuring, and from the start of the program
on, imports and plots included, the readers with their checks. Workers need Ray; one exam goes before the clock starts,
since processes start and networks load with it. Stages overlap: with fewer than ten exams much of their work lies
before the first outcome, and only the second line says something.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ICHSegmenterLib.analysis.analyze import begin_analysis
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.batch.cluster.connection import LOCAL, connected
from ICHSegmenterLib.batch.cluster.engine import ClusterEngine
from ICHSegmenterLib.batch.engines.embedded import EmbeddedEngine
from ICHSegmenterLib.batch.engines.engine import Engine, OpenEngine, RunOptions
from ICHSegmenterLib.batch.run import find_exams, run_exams
from ICHSegmenterLib.outputs.table import select
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom


def main() -> None:
    """Print a line for each engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exams", type=int, default=8)
    parser.add_argument("--method", default="hu-threshold")
    parser.add_argument("--weights", type=Path, nargs="*", default=[], help="files, of a method that brings none")
    parser.add_argument("--workers", type=int, nargs="*", default=[])
    parser.add_argument("--readers", type=int, default=RunOptions().readers)
    parsed = parser.parse_args()
    request = AnalysisRequest(parsed.method, weights=tuple(parsed.weights), outputs=select(()), device="cpu")
    options = RunOptions(readers=parsed.readers)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ICHSEGMENTER_KEYS"] = str(Path(folder, "keys"))
        exams = Path(folder, "exams")
        for number in range(parsed.exams + 1):
            write_exam(exams / f"{number:03}", number)
        clock = Clock(request, options)
        run(exams, Path(folder, "embedded"), request, clock, clock.embedded)
        print(f"{'one computer':14}{clock.line()}, the network works {clock.network_s / clock.wall_s:.0%} of the time")
        print(f"{'':14}{clock.stages()}", flush=True)
        for workers in parsed.workers:
            with connected(LOCAL, workers) as ray:
                clock = Clock(request, options)
                run(exams, Path(folder, f"ray-{workers}"), request, clock, clock.on(ray, workers))
                print(f"{f'{workers} workers':14}{clock.line()}", flush=True)


def write_exam(folder: Path, seed: int) -> None:
    """One series."""
    geometry = head_geometry((32, 512, 512), pixel_mm=(0.45, 0.45), slice_step_mm=5.0)
    bleed = Bleed.sphere(15.0 + seed, (26.0, 6.0, 30.0), 62.0)
    write_dicom_series(make_phantom(geometry, HeadModel((bleed,)), seed=seed, subsamples=(1, 1, 1)).volume, folder)


class Clock:
    """Measures a run from its first outcome to its last."""

    def __init__(self, request: AnalysisRequest, options: RunOptions) -> None:
        self._request, self._options, self._session = request, replace(options, checks_ahead=True), Session()
        self.network_s = self.wall_s = 0.0
        self._begun = (0.0, 0.0)
        self._ended = (0.0, 0.0)
        self._threads: dict[str, list[float]] = {"network": [], "judging": []}
        self._exams, self._own_s = 0, 0.0

    def embedded(self, steps: Any) -> EmbeddedEngine:
        """The engine of one computer."""
        return EmbeddedEngine(steps, self._analyzed, self._options)

    def on(self, ray: Any, workers: int) -> OpenEngine:
        """That of a cluster."""
        return lambda steps: ClusterEngine(ray, steps, self._options, workers)

    def timed(self, engine: Engine) -> Any:
        """The same engine, its outcomes timed."""
        return _Timed(engine, self)

    def tick(self) -> None:
        """An exam is there."""
        now = time.monotonic(), processor_s()
        if self._exams == 0:
            self._begun, self.network_s = now, 0.0
        self._exams, self._ended, self._own_s = self._exams + 1, now, time.process_time()
        self.wall_s = self._ended[0] - self._begun[0]

    def line(self) -> str:
        """Exams an hour and processor time."""
        exams = self._exams - 1
        processor = (self._ended[1] - self._begun[1]) / exams
        return f"{3600 * exams / self.wall_s:7.0f} exams an hour, {processor:5.2f} s of a processor an exam"

    def stages(self) -> str:
        """Processor time of an exam by stage."""
        means = {stage: sum(seconds[1:]) / (len(seconds) - 1) for stage, seconds in self._threads.items()}
        means["readers"] = (self._ended[1] - self._own_s) / self._exams
        return ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in means.items())

    def _analyzed(self, volume: Any, **known: Any) -> Any:
        begun = time.monotonic()
        try:
            rest = self._in_thread(
                "network", lambda: begin_analysis(volume, self._request, None, self._session, **known)
            )
        finally:
            self.network_s += time.monotonic() - begun
        return lambda: self._in_thread("judging", rest)

    def _in_thread(self, stage: str, work: Any) -> Any:
        begun = time.thread_time()
        try:
            return work()
        finally:
            self._threads[stage].append(time.thread_time() - begun)


class _Timed:
    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def outcomes(self, exams: Any) -> Any:
        for outcome in self._engine.outcomes(exams):
            self._clock.tick()
            yield outcome


def run(exams: Path, output: Path, request: AnalysisRequest, clock: Clock, open_engine: OpenEngine) -> None:
    """One batch."""

    @contextmanager
    def opened(steps: Any) -> Iterator[Any]:
        with open_engine(steps) as engine:
            yield clock.timed(engine)

    outcomes = run_exams(find_exams([exams]), output, opened, request=request)
    assert {one.status for one in outcomes} == {"done"}, outcomes


def processor_s() -> float:
    """Processor time of this process and all below it; for Linux, elsewhere of this process alone."""
    waiting, ticks = [str(os.getpid())], 0
    while waiting:
        process = waiting.pop()
        try:
            fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
            for task in Path(f"/proc/{process}/task").iterdir():
                waiting += (task / "children").read_text(encoding="ascii").split()
        except OSError:  # it has ended, or this is another system
            continue
    return ticks / os.sysconf("SC_CLK_TCK") if ticks else time.process_time()


if __name__ == "__main__":
    main()
