"""A client of the worker for tests and benchmarks: a real process, real pipes, every wait with an end."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0


class WorkerProcess:
    """Starts the worker and talks to it; `prelude` is Python that runs in it first, to put fakes in place."""

    def __init__(self, *options: str, prelude: str = "", environment: dict[str, str] | None = None) -> None:
        start = "import runpy; runpy.run_module('ICHSegmenterLib.worker', run_name='__main__', alter_sys=True)"
        command = [sys.executable, "-u", "-c", f"{prelude}\n{start}", *options]
        if not prelude:
            command = [sys.executable, "-u", "-m", "ICHSegmenterLib.worker", *options]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=REPOSITORY,
            env={**os.environ, **(environment or {})},
        )
        self.log: list[str] = []
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self._log_reader = threading.Thread(target=self._read_log, daemon=True)
        self._log_reader.start()

    def __enter__(self) -> WorkerProcess:
        self.hello = self.next()
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()
        self._log_reader.join()

    def send(self, **message: Any) -> None:
        self.send_bytes(json.dumps(message, ensure_ascii=False).encode() + b"\n")

    def send_bytes(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def next(self) -> dict[str, Any]:
        """The next answer; fails if the worker ends or stays silent."""
        answer = self._answers.get(timeout=PATIENCE_S)
        if answer is None:
            self._log_reader.join()
            raise EOFError("the worker ended:\n" + "".join(self.log))
        return answer

    def until(self, *types: str, id: str | None = None) -> dict[str, Any]:
        """The next answer of one of some types, for one request if named; others are dropped."""
        while True:
            answer = self.next()
            if answer["type"] in types and id in (None, answer.get("id")):
                return answer

    def ask(self, **message: Any) -> dict[str, Any]:
        """Send a request and wait for its last answer."""
        self.send(**message)
        return self.until("result", "done", "error", id=message["id"])

    def wait(self) -> int:
        """Exit code of a worker that is about to end."""
        code = self.process.wait(PATIENCE_S)
        self._log_reader.join()
        return code

    def close_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put(None)

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line.decode("utf-8", "replace"))


def write_job(
    folder: Path, hu: np.ndarray, *, brain_mask: str | None = None, method: str = "hu-threshold", **fields: Any
) -> dict[str, Any]:
    """Put an exam (slices, rows, columns), 240 mm wide, into a job folder; returns the message without its id.

    method and fields are those of the `AnalysisRequest`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "hu.npy", hu)
    slices, rows, columns = hu.shape
    pixel_mm, step_mm = 240.0 / columns, 150.0 / slices
    return {
        "type": "analyze",
        "job": str(folder),
        "geometry": {
            "shape": [slices, rows, columns],
            "column_step": [pixel_mm, 0.0, 0.0],
            "row_step": [0.0, pixel_mm, 0.0],
            "slice_origins": [[-120.0, -120.0, k * step_mm] for k in range(slices)],
        },
        "source": {"format": "Slicer", "series_uid": "1.2.3", "kernel": "", "warnings": []},
        "brain_mask": brain_mask,
        "request": {"method": method, "device": "cpu", **fields},
    }


def asking(message: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The message with other fields of its request."""
    return {**message, "request": {**message["request"], **fields}}


def bleeding_head(shape: tuple[int, int, int] = (16, 96, 96)) -> np.ndarray:
    """int16 HU: air, an ellipsoid skull, brain, and a ball of blood left of the middle."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    radius = np.sqrt((x / 0.62) ** 2 + (y / 0.75) ** 2 + (z / 0.95) ** 2)
    hu = np.full(shape, -1000, np.int16)
    hu[radius < 1.0] = 1100
    hu[radius < 0.9] = 34
    hu[np.sqrt((x - 0.2) ** 2 + y**2 + (z * 0.625) ** 2) < 0.16] = 66
    return hu
