"""Many exams in Slicer without its window, one after the other, the network loaded once.

Slicer --no-splash --no-main-window --python-script .../ICHSegmenterSlicer/batch.py -- --input DIR --output DIR

Exit code 0: every exam is done; 1: some failed (the others are done); 2: wrong use. Run it again to resume.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # Slicer runs this file by its path

from ICHSegmenterSlicer.paths import rootPath

sys.path.insert(0, str(rootPath()))

import numpy as np
import qt
import slicer

from ICHSegmenterLib.analysis.settings import Settings
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.cli.arguments import add_detector_arguments, add_method_arguments, settings_of
from ICHSegmenterLib.errors import ICHSegmenterError, WorkerError
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.runtime.device import check_device_request
from ICHSegmenterLib.volume.volume import Volume
from ICHSegmenterSlicer import dependencies
from ICHSegmenterSlicer.client.client import State, WorkerClient
from ICHSegmenterSlicer.client.connection import Failure, Message
from ICHSegmenterSlicer.client.process import QtTimer, WorkerProcess

EXIT_DONE, EXIT_FAILED, EXIT_WRONG_USE = 0, 1, 2


class WorkerAnalyzer:
    """Analyzes volumes in the worker and waits for it; the worker stays warm between them.

    Args:
        options: Fields of the worker's request besides the volume: method, device, threshold, ...
    """

    def __init__(self, options: Message) -> None:
        self._options = options
        root = rootPath()
        self._client = WorkerClient(lambda events: WorkerProcess(events, root), QtTimer, log=_toStderr)

    def __call__(self, volume: Volume) -> AnalysisResult:
        """The result of one exam.

        Raises:
            ICHSegmenterError: Of the kind that the worker told.
        """
        folder = Path(tempfile.mkdtemp(prefix="ICHSegmenter-", dir=slicer.app.temporaryPath))
        try:
            np.save(folder / "hu.npy", volume.hu)
            message = self._ask(self._request(volume, folder))
            keys = ("labelmap", "maps", "uncertainty")
            arrays = [np.load(folder / name) if (name := message.get(key)) else None for key in keys]
            return AnalysisResult.from_json(message["result"], volume.geometry, *arrays)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Let the worker go."""
        self._client.shutdown()

    def _request(self, volume: Volume, folder: Path) -> Message:
        geometry, source = volume.geometry, volume.source
        return {
            "type": "analyze",
            "job": str(folder),
            "geometry": {
                "shape": list(geometry.shape),
                "column_step": geometry.column_step.tolist(),
                "row_step": geometry.row_step.tolist(),
                "slice_origins": geometry.slice_origins.tolist(),
            },
            "source": {
                "format": source.format,
                "series_uid": source.series_uid,
                "kernel": source.kernel,
                "warnings": list(source.warnings),
            },
            **self._options,
        }

    def _ask(self, request: Message) -> Message:
        answers: list[Message] = []
        failures: list[Failure] = []
        loop = qt.QEventLoop()

        def done(message: Message) -> None:
            answers.append(message)
            loop.quit()

        def failed(failure: Failure) -> None:
            failures.append(failure)
            loop.quit()

        self._client.submit(request, progress=_showProgress, done=done, failed=failed)
        if not answers and not failures:
            loop.exec_()
        if failures:
            raise errorOf(failures[0])
        self._client.finish(State.DONE)
        return answers[0]


def errorOf(failure: Failure) -> ICHSegmenterError:
    """The exception that the worker meant."""
    classes = [ICHSegmenterError]
    for one in classes:
        classes += one.__subclasses__()
    kinds = {one.kind: one for one in reversed(classes)}
    return kinds.get(failure.kind, WorkerError)(failure.message)


def main(arguments: Sequence[str]) -> int:
    """Run a batch; returns the exit code."""
    try:
        chosen = _parser().parse_args([one for one in arguments if one != "--"])
    except SystemExit as stop:  # argparse has printed what is wrong, or help
        return EXIT_WRONG_USE if stop.code else EXIT_DONE
    try:
        return _run(chosen)
    except ICHSegmenterError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except ValueError as error:
        print(f"wrong use: {error}", file=sys.stderr)
        return EXIT_WRONG_USE
    except Exception:  # Slicer would stay open, without a window
        traceback.print_exc()
        return EXIT_FAILED


def _run(chosen: argparse.Namespace) -> int:
    settings = settings_of(chosen)
    check_device_request(chosen.device, chosen.precision)
    missing = _missing(settings)
    if missing and not chosen.install_dependencies:
        print(f"error: {', '.join(missing)} missing; run again with --install-dependencies", file=sys.stderr)
        return EXIT_FAILED
    if missing:
        dependencies.install(missing, ask=False)

    from ICHSegmenterLib.batch.run import SUMMARY_FILE, find_exams, run_batch  # needs what was installed just now

    analyzer = WorkerAnalyzer(
        {
            "method": settings.method,
            "weights": [str(path.resolve()) for path in settings.weights],
            "options": dict(settings.options),
            "threshold": settings.threshold,
            "detection_threshold": settings.detection_threshold,
            "detector": settings.detector,
            "detector_weights": [str(path.resolve()) for path in settings.detector_weights],
            "detector_options": dict(settings.detector_options),
            "device": chosen.device,
            "precision": chosen.precision,
            "save_maps": chosen.save_maps,
        }
    )
    try:
        outcomes = run_batch(
            find_exams(chosen.input),
            chosen.output,
            analyzer,
            settings=settings,
            overwrite=not chosen.resume,
            save_maps=chosen.save_maps,
            announce=_announce,
        )
    finally:
        analyzer.close()
    counts = {status: sum(one.status == status for one in outcomes) for status in ("done", "skipped", "failed")}
    for one in outcomes:
        if one.status == "failed":
            print(f"failed: {one.exam.name}: {one.message}", file=sys.stderr)
    print(
        f"{counts['done']} done, {counts['skipped']} done before, {counts['failed']} failed: "
        f"{chosen.output / SUMMARY_FILE}"
    )
    return EXIT_FAILED if counts["failed"] else EXIT_DONE


def _missing(settings: Settings) -> list[str]:
    """Requirements of the batch and its methods that are not installed, each once."""
    methods = [settings.method, settings.detector] if settings.detector else [settings.method]
    missing = dependencies.missingForBatch()
    for method in methods:
        missing += dependencies.missing(get_card(method))
    return list(dict.fromkeys(missing))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="batch.py", description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, nargs="+", required=True, help="folders and files, with subfolders")
    parser.add_argument("--output", type=Path, required=True, help="one folder an exam, and results.csv")
    add_method_arguments(parser)
    add_detector_arguments(parser)
    parser.add_argument("--save-maps", action="store_true", help="also write map.nii.gz")
    parser.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help="leave out what is done (default)"
    )
    parser.add_argument("--overwrite", dest="resume", action="store_false", help="replace results that are there")
    parser.add_argument("--install-dependencies", action="store_true", help="install missing packages, without asking")
    return parser


def _announce(done: int, total: int, name: str) -> None:
    if name:
        print(f"[{done + 1}/{total}] {name}", flush=True)


def _showProgress(done: int, total: int, message: str) -> None:
    if done in (0, total):
        print(f"    {message}", flush=True)


def _toStderr(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    slicer.util.exit(main(sys.argv[1:]))
