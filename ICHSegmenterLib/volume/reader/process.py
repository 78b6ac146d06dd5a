"""The reader process from outside: started when first needed, watched, and started anew after a file killed it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import CancelledError, DependencyError, VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause, CauseNotice
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.notices.notice import read_notice
from ICHSegmenterLib.volume.dicom.facts import FileFacts
from ICHSegmenterLib.volume.dicom.series import SeriesSummary, SeveralSeriesError
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.input_files import with_companions
from ICHSegmenterLib.volume.reader.limits import Limits, resident_bytes
from ICHSegmenterLib.volume.reader.reader_warning import ReaderWarning
from ICHSegmenterLib.volume.volume import Volume, VolumeSource

READER_VARIABLE = "ICHSEGMENTER_READER"
"""Set in the environment of the reader process itself."""
VALUES_FILE = "values.npy"
START_S = 60.0
"""For the start of Python on a busy computer or a slow disk, beside the time for the exam."""
POLL_S = 0.2
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LIBRARY = Path(__file__).resolve().parents[3]

_Message = Mapping[str, Any]


class ReaderKilledError(VolumeError):
    """A file crashed the reader process, kept it busy for too long, or made it take too much memory."""


class ReaderProcess:
    """One reader for many exams; of no use to two threads at once, except that one may close it while another reads.

    Args:
        limits: For an exam of no size; larger files may take more.
        cancelled: Asked several times a second; once it is true, the process is ended.

    Attributes:
        module: What runs in the process; it calls `serve`.
    """

    module = "ICHSegmenterLib.volume.reader"

    def __init__(self, limits: Limits | None = None, *, cancelled: Callable[[], bool] = lambda: False) -> None:
        self._limits = limits or Limits()
        self._cancelled = cancelled
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._folder = Path(tempfile.mkdtemp(prefix="ichsegmenter-reader-"))
        self._is_closed = False

    def __enter__(self) -> ReaderProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process and remove its folder."""
        self._is_closed = True
        self._kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def volume(self, path: Path, *, series_uid: str | None = None, files: Sequence[str] = ()) -> Volume:
        """The exam that `read_volume` would return, its voxels mapped into memory.

        Raises:
            CancelledError: It was cancelled, or the reader was closed meanwhile.
            ReaderKilledError: The file ended the reader.
            SeveralSeriesError, VolumeError, DependencyError, OSError: As `read_volume`.
        """
        inputs = [path / name for name in files] if files else self._files_at(path)
        request = {"kind": "volume", "path": str(path), "series_uid": series_uid, "files": list(files)}
        answer = self._ask(request, path.name, sum(file.stat().st_size for file in inputs))
        source = answer["source"]
        lists = {
            "reader_warnings": tuple(map(ReaderWarning.from_json, source["reader_warnings"])),
            "instance_uids": tuple(source["instance_uids"]),
        }
        return Volume(self._values(), _geometry(answer), VolumeSource(**{**source, **lists}))

    def image(self, path: Path) -> tuple[NDArray[Any], VolumeGeometry]:
        """Values (slices, rows, columns) of a NRRD or MetaImage file as they are stored, and where they lie.

        Raises:
            ReaderKilledError: The file ended the reader.
            VolumeError, DependencyError, OSError: As `read_image_file`.
        """
        size = sum(file.stat().st_size for file in with_companions(path))
        answer = self._ask({"kind": "image", "path": str(path)}, path.name, size)
        return self._values(), _geometry(answer)

    def facts(self, files: Sequence[Path]) -> list[FileFacts]:
        """Facts of each file by its DICOM header; a file that ends the reader has that as its problem.

        Raises:
            OSError: The reader cannot be started.
        """
        request = {"kind": "facts", "files": [str(file) for file in files]}
        try:
            answer = self._ask(request, files[0].name, 0)
        except ReaderKilledError as error:
            if len(files) == 1:
                return [FileFacts(problem=str(error))]
            return [fact for file in files for fact in self.facts([file])]
        return [FileFacts(**fact) for fact in answer["facts"]]

    def _values(self, name: str = VALUES_FILE) -> NDArray[Any]:
        """The array of a file; where a mapped file may be removed, it is mapped."""
        path = self._folder / name
        is_mapped = sys.platform != "win32"
        values: NDArray[Any] = np.load(path, mmap_mode="r" if is_mapped else None)
        path.unlink()
        return values

    def _ask(self, request: dict[str, Any], name: str, size: int) -> _Message:
        limits = self._limits.of_files(size)
        self._check_open()
        request |= {"folder": str(self._folder), "seconds": limits.seconds, "memory_bytes": limits.memory_bytes}
        is_new = self._process is None or self._process.poll() is not None
        process = self._start() if is_new or self._process is None else self._process
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            process.stdin.flush()
            answer = json.loads(self._answer(process, limits, START_S * is_new))
        except (BrokenPipeError, EOFError, ValueError) as error:
            self._check_open()
            code = self._kill()
            raise ReaderKilledError(
                f"{name}: the file crashed the program that reads it (exit code {code}); it is damaged, or made to do "
                "harm. Copy it again, or export it anew.",
                Cause.READER_ENDED,
            ) from error
        except TimeoutError as error:
            self._kill()
            raise ReaderKilledError(
                f"{name}: reading took more than {limits.seconds:.0f} s and was stopped; the file is damaged, or its "
                "disk does not answer. Copy it again.",
                Cause.READER_ENDED,
            ) from error
        except MemoryError as error:
            self._kill()
            raise _too_large(name, limits) from error
        except BaseException:
            self._kill()
            raise
        return _checked(answer, name, limits)

    def _check_open(self) -> None:
        if self._is_closed:
            raise CancelledError(ErrorNotice(ErrorCode.READING_CANCELLED))

    def _answer(self, process: subprocess.Popen[bytes], limits: Limits, start_s: float) -> bytes:
        """The line that comes back; raises CancelledError, EOFError, TimeoutError or MemoryError when none will."""
        until = time.monotonic() + limits.seconds + start_s
        while True:
            try:
                line = self._answers.get(timeout=POLL_S)
            except queue.Empty:
                self._stop_if_cancelled()
                if resident_bytes(process) > limits.memory_bytes:
                    raise MemoryError from None
                if time.monotonic() > until:
                    raise TimeoutError from None
                continue
            if not line:
                raise EOFError
            return line

    def _files_at(self, path: Path) -> list[Path]:
        """Every file that may be read; a folder may hold a whole disk, so that a cancel is heard here too."""
        if not path.is_dir():
            return list(with_companions(path))
        files = []
        for file in path.rglob("*"):
            self._stop_if_cancelled()
            if file.is_file():
                files.append(file)
        return files

    def _stop_if_cancelled(self) -> None:
        if self._cancelled():
            raise CancelledError(ErrorNotice(ErrorCode.READING_CANCELLED))

    def _start(self) -> subprocess.Popen[bytes]:
        self._kill()
        environment = {**os.environ, READER_VARIABLE: "1", **dict.fromkeys(_THREADS, "1")}
        environment.pop("ITK_AUTOLOAD_PATH", None)  # Slicer's plugins do not load outside Slicer
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_LIBRARY), environment.get("PYTHONPATH"))))
        windows = {"creationflags": getattr(subprocess, "CREATE_NO_WINDOW", 0)}
        process = subprocess.Popen(
            [_interpreter(), "-m", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libraries write paths there
            env=environment,
            **(windows if sys.platform == "win32" else {"start_new_session": True}),
        )
        self._process, self._answers = process, queue.Queue()
        threading.Thread(target=_listen, args=(process, self._answers), name="reader", daemon=True).start()
        return process

    def _kill(self) -> int | None:
        """End the process; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        code = process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        return code


def _listen(process: subprocess.Popen[bytes], answers: queue.Queue[bytes]) -> None:
    assert process.stdout is not None
    try:
        for line in process.stdout:
            answers.put(line)
    except ValueError:  # closed
        pass
    answers.put(b"")


def _interpreter() -> str:
    """Python; inside Slicer, where the running program is Slicer, its own Python."""
    if Path(sys.executable).name.lower().startswith("python"):
        return sys.executable
    return shutil.which("PythonSlicer") or sys.executable


def _geometry(answer: _Message) -> VolumeGeometry:
    slices, rows, columns = answer["shape"]
    steps = (np.array(answer[key], dtype=np.float64) for key in ("column_step", "row_step", "slice_origins"))
    return VolumeGeometry((slices, rows, columns), *steps)


def _checked(answer: _Message, name: str, limits: Limits) -> _Message:
    """The answer, or the exception that it tells."""
    message = str(answer.get("message", ""))
    if (error := answer.get("error")) is None:
        return answer
    if error == "OSError":
        raise OSError(answer["number"], message, answer["file"])
    if error == "MemoryError":
        raise _too_large(name, limits)
    if error == "SeveralSeriesError":
        raise SeveralSeriesError(message, [SeriesSummary(**summary) for summary in answer["series"]])
    reason = read_notice(answer.get("notice"), (CauseNotice, ErrorNotice)) or message
    raise DependencyError(reason) if error == "DependencyError" else VolumeError(reason)


def _too_large(name: str, limits: Limits) -> ReaderKilledError:
    return ReaderKilledError(
        f"{name}: reading needs more than {limits.memory_bytes / 1e9:.1f} GB, far more than a file of this size "
        "should; it is damaged, or made to do harm. Copy it again, or export it anew.",
        Cause.READER_ENDED,
    )
