"""Many exams in Slicer without its window, one after the other, the network loaded once.

Slicer --no-splash --no-main-window --python-script .../ICHSegmenterSlicer/batch.py -- --input DIR --output DIR

Names, lock, resuming, outputs, arguments and exit codes are those of the verb `batch`, from the same code. Exit code 0:
every exam is done; 1: some failed (the others are done), or the run ended early; 2: wrong use. Run it again to resume.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # Slicer runs this file by its path

from ICHSegmenterSlicer.paths import rootPath

sys.path.insert(0, str(rootPath()))

import numpy as np
import qt
import slicer
from numpy.typing import NDArray

from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.cli.arguments import (
    add_detector_arguments,
    add_method_arguments,
    add_output_arguments,
    request_of,
    require_existing,
)
from ICHSegmenterLib.cli.batch_arguments import add_batch_arguments
from ICHSegmenterLib.cli.parser import EXIT_WRONG_USE, CommandParser
from ICHSegmenterLib.cli.stopping import stopped_by_signals
from ICHSegmenterLib.errors import CancelledError, Failure, ICHSegmenterError, WorkerError
from ICHSegmenterLib.protocol import VOXEL_FILE, Message, MessageType, Stage, exam_message
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.volume import Volume
from ICHSegmenterSlicer.client import dependencies
from ICHSegmenterSlicer.client.answer import Answer
from ICHSegmenterSlicer.client.worker_client import State, WorkerClient
from ICHSegmenterSlicer.client.worker_process import QtTimer, WorkerProcess
from ICHSegmenterSlicer.words.stage_text import stageText

EXIT_DONE, EXIT_FAILED = 0, 1
POLL_S = 0.2
"""Between two looks whether an analysis shall stop."""
MASK_FILE = "brain.npy"


class WorkerAnalyzer:
    """Analyzes volumes in the worker and waits for it; the worker stays warm between them.

    Args:
        request: Method, detector and all that changes their answer.
        isInterrupted: Asked every `POLL_S`; True stops the analysis that runs.
    """

    def __init__(self, request: AnalysisRequest, isInterrupted: Callable[[], bool] = lambda: False) -> None:
        self._request = request
        self._isInterrupted = isInterrupted
        root = rootPath()
        self._client = WorkerClient(lambda events: WorkerProcess(events, root), QtTimer, log=_toStderr)

    def __call__(self, volume: Volume, brain_mask: NDArray[np.bool_] | None = None) -> AnalysisResult:
        """The result of one exam.

        Raises:
            CancelledError: It was interrupted.
            ICHSegmenterError: As the worker raised it.
        """
        folder = Path(tempfile.mkdtemp(prefix="ICHSegmenter-", dir=slicer.app.temporaryPath))
        try:
            np.save(folder / VOXEL_FILE, volume.hu)
            message = self._message(volume, folder)
            if brain_mask is not None:
                np.save(folder / MASK_FILE, brain_mask)
                message["brain_mask"] = MASK_FILE
            message = self._ask(message)
            return Answer.fromMessage(message, folder, volume.geometry, inMemory=True).result
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Let the worker go."""
        self._client.shutdown()

    def _message(self, volume: Volume, folder: Path) -> Message:
        return {
            "type": MessageType.ANALYZE,
            **exam_message(folder, volume.geometry, volume.source),
            "request": self._request.to_json(),
        }

    def _ask(self, message: Message) -> Message:
        answers: list[Message] = []
        failures: list[Failure] = []
        loop = qt.QEventLoop()

        def done(answer: Message) -> None:
            answers.append(answer)
            loop.quit()

        def failed(failure: Failure) -> None:
            failures.append(failure)
            loop.quit()

        requestId = self._client.submit(message, progress=_showProgress, done=done, failed=failed)

        def look() -> None:  # the handlers of signals run while Python does
            if not answers and not failures:
                if self._isInterrupted():
                    self._client.cancel(requestId)
                else:
                    QtTimer(POLL_S, look)

        look()
        if not answers and not failures:
            loop.exec_()
        if failures:
            raise errorOf(failures[0])
        self._client.finish(State.DONE)
        return answers[0]


def errorOf(failure: Failure) -> ICHSegmenterError:
    """The exception of a failure that the worker reported."""
    classes = [ICHSegmenterError]
    for error_class in classes:
        classes += error_class.__subclasses__()
    kinds = {error_class.kind: error_class for error_class in reversed(classes)}
    return kinds.get(failure.kind, WorkerError)(failure.notice or failure.message)


def main(arguments: Sequence[str]) -> int:
    """Run a batch; returns the exit code."""
    try:
        parsed = _parser().parse_args([argument for argument in arguments if argument != "--"])
    except SystemExit as stop:  # argparse has printed what is wrong, or help
        return EXIT_WRONG_USE if stop.code else EXIT_DONE
    try:
        return _run(parsed)
    except (CancelledError, KeyboardInterrupt):
        print("cancelled; nothing half-done was left behind", file=sys.stderr)
        return EXIT_FAILED
    except ICHSegmenterError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_WRONG_USE if error.is_wrong_use else EXIT_FAILED
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_WRONG_USE
    except Exception:  # Slicer would stay open, without a window
        traceback.print_exc()
        return EXIT_FAILED


def _run(arguments: argparse.Namespace) -> int:
    require_existing(arguments, "input", "weights", "detector_weights", "brain_masks")
    request = request_of(arguments)
    missing = _missing(request)
    if missing and not arguments.install_dependencies:
        print(f"error: {', '.join(missing)} missing; run again with --install-dependencies", file=sys.stderr)
        return EXIT_FAILED
    if missing:
        dependencies.install(missing, ask=False)

    from ICHSegmenterLib.batch.run import run_batch  # these need what was installed just now
    from ICHSegmenterLib.cli.batches import completed_if_it_ends, conclude, exams_of, options_of

    with (
        completed_if_it_ends(arguments),
        exams_of(arguments.input, arguments) as exams,
        stopped_by_signals() as stop,
    ):
        options = options_of(arguments, stop, _announce)
        analyzer = WorkerAnalyzer(request, options.is_interrupted)
        try:
            outcomes = run_batch(
                exams,
                arguments.output,
                analyzer,
                request=request,
                overwrite=arguments.overwrite,
                map_file=arguments.map,
                options=options,
            )
        finally:
            analyzer.close()
    return conclude(outcomes, arguments)


def _missing(request: AnalysisRequest) -> list[str]:
    """Requirements of the batch and its methods that are not installed, each once."""
    methods = [request.method, request.detector] if request.detector else [request.method]
    missing = dependencies.missingForBatch() + dependencies.missingForOutputs(request.outputs)
    for method in methods:
        missing += dependencies.missing(get_card(method))
    return list(dict.fromkeys(missing))


def _parser() -> CommandParser:
    parser = CommandParser(prog="batch.py", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--input",
        type=Path,
        nargs="+",
        required=True,
        help="folders, files, zip files, CSV manifests",
    )
    parser.add_argument("--output", type=Path, required=True, help="one folder an exam, and results.csv")
    add_method_arguments(parser)
    add_detector_arguments(parser)
    add_output_arguments(parser)
    add_batch_arguments(parser)
    parser.add_argument("--resume", dest="overwrite", action="store_false", help="leave out what is done (default)")
    parser.add_argument("--no-resume", dest="overwrite", action="store_true", help="the same as --overwrite")
    parser.add_argument("--install-dependencies", action="store_true", help="install missing packages, without asking")
    return parser


def _announce(done: int, total: int, failed: int, name: str) -> None:
    if name:
        failures = f", {failed} failed" if failed else ""
        print(f"[{done + 1}/{total}] {name}{failures}", flush=True)


def _showProgress(done: int, total: int, stage: Stage) -> None:
    if done in (0, total):
        print(f"    {stageText(done, total, stage)}", flush=True)


def _toStderr(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    slicer.util.exit(main(sys.argv[1:]))
