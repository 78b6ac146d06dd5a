"""The worker as a child process of Slicer: its program, environment, pipes and end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import qt
import slicer

from ICHSegmenterSlicer.client.connection import ProcessEvents

IDLE_SECONDS = 600
"""A worker that nobody needs frees its memory after ten minutes."""
ARGUMENTS = ("-u", "-m", "ICHSegmenterLib.worker", "--idle-seconds", str(IDLE_SECONDS))
CLOSE_GRACE_S = 3.0
QUIT_GRACE_MS = 1000

_alive: set[WorkerProcess | QtTimer] = set()
"""Objects that Python would collect too early: Qt kills a child whose QProcess goes; a timer that goes never fires."""


class QtTimer:
    """One call that is due later, on the GUI thread."""

    def __init__(self, seconds: float, function: Callable[[], None]) -> None:
        self._function = function
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._call)
        self._timer.start(int(seconds * 1000))
        _alive.add(self)

    def stop(self) -> None:
        self._timer.stop()
        _alive.discard(self)

    def _call(self) -> None:
        # The QTimer must outlive the signal that it is sending right now.
        qt.QTimer.singleShot(0, lambda: _alive.discard(self))
        self._function()


class WorkerProcess:
    """`PythonSlicer -u -m ICHSegmenterLib.worker` under a QProcess; implements `connection.Process`."""

    def __init__(self, events: ProcessEvents, root: Path, program: str | None = None) -> None:
        self._events = events
        self._isOver = False
        self._closeTimer: QtTimer | None = None
        process = self._process = qt.QProcess()
        process.setProcessChannelMode(qt.QProcess.SeparateChannels)
        process.setProcessEnvironment(workerEnvironment(root))
        process.setWorkingDirectory(str(root))
        process.connect("readyReadStandardOutput()", self._readOutput)
        process.connect("readyReadStandardError()", self._readError)
        process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._onError)
        _alive.add(self)
        slicer.app.connect("aboutToQuit()", self._onQuit)
        process.start(program or pythonSlicer(), list(ARGUMENTS))

    @property
    def isOver(self) -> bool:
        """True once the process has ended, or could not begin."""
        return self._isOver

    def write(self, data: bytes) -> None:
        self._process.write(data)

    def closeInput(self) -> None:
        self._process.closeWriteChannel()
        self._closeTimer = QtTimer(CLOSE_GRACE_S, lambda: self.kill(None))

    def kill(self, pid: int | None) -> None:
        if self._isOver:
            return
        if pid:
            killTree(pid)
        self._process.kill()

    def _readOutput(self) -> None:
        self._events.output(_bytes(self._process.readAllStandardOutput()))

    def _readError(self) -> None:
        self._events.errorOutput(_bytes(self._process.readAllStandardError()))

    def _onFinished(self, exitCode: int, exitStatus: int) -> None:
        self._readOutput()
        self._readError()
        self._end()
        self._events.finished(int(exitCode), exitStatus == qt.QProcess.CrashExit)

    def _onError(self, error: int) -> None:
        if error == qt.QProcess.FailedToStart and not self._isOver:
            self._end()
            self._events.failedToStart(str(self._process.errorString()))

    def _onQuit(self) -> None:
        """Slicer ends: Qt would end the process in the destructor of its object, whose signals nobody may take then."""
        self._process.blockSignals(True)
        self._isOver = True
        self._process.closeWriteChannel()  # the worker behind a launcher ends by itself
        self._process.kill()
        self._process.waitForFinished(QUIT_GRACE_MS)

    def _end(self) -> None:
        self._isOver = True
        slicer.app.disconnect("aboutToQuit()", self._onQuit)
        if self._closeTimer:
            self._closeTimer.stop()
        # The object must outlive the signal that it is sending right now.
        qt.QTimer.singleShot(0, lambda: _alive.discard(self))


def isRunning() -> bool:
    """True while a worker of this program has not ended."""
    return any(isinstance(one, WorkerProcess) and not one.isOver for one in _alive)


def pythonSlicer() -> str:
    """Path of Slicer's own Python: in the bin folder of Slicer, which is in PATH, too.

    Raises:
        FileNotFoundError: Not found; Slicer is damaged.
    """
    program = shutil.which("PythonSlicer", path=str(Path(slicer.app.slicerHome) / "bin")) or shutil.which(
        "PythonSlicer"
    )
    if not program:
        raise FileNotFoundError("PythonSlicer was not found; Slicer's installation is incomplete")
    return program


def workerEnvironment(root: Path) -> qt.QProcessEnvironment:
    """Ours plus the library's folder; ITK would try to load Slicer's plugins into plain Python and crash."""
    environment = qt.QProcessEnvironment.systemEnvironment()
    paths = [str(root), *filter(None, environment.value("PYTHONPATH").split(os.pathsep))]
    environment.insert("PYTHONPATH", os.pathsep.join(paths))
    environment.insert("PYTHONIOENCODING", "utf-8")
    environment.remove("ITK_AUTOLOAD_PATH")
    return environment


def killTree(pid: int) -> None:
    """End a process and its children now; no error if it is gone already."""
    if sys.platform == "win32":
        subprocess.Popen(
            ["taskkill", "/T", "/F", "/PID", str(pid)],
            creationflags=subprocess.CREATE_NO_WINDOW,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return
    try:
        # Its own group only: the worker may share that of Slicer.
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _bytes(array: qt.QByteArray) -> bytes:
    """PythonQt's QByteArray has no buffer interface; its data() is bytes (str in old versions)."""
    data = array.data()
    return data.encode("utf-8", "surrogateescape") if isinstance(data, str) else bytes(data)
