"""What the worker can do: one method a request type, all sharing the networks that are warm."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis import compare as comparison
from ICHSegmenterLib.analysis.combine import analyze_together
from ICHSegmenterLib.analysis.features import FEATURE_METHODS, extract_features
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.analysis.vote import vote_result
from ICHSegmenterLib.cards.table import ModelCard, get_card, method_cards
from ICHSegmenterLib.errors import DependencyError, OutputError
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.runtime.device import available_devices, import_torch
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.download import Transfer, download_model
from ICHSegmenterLib.worker.channel import Message
from ICHSegmenterLib.worker.request import AnalyzeRequest, CompareRequest, text, texts
from ICHSegmenterLib.worker.server import Handler

MIN_THREADS = 2
PREDICTING = "Predicting"
ACTIVATION = "Drawing the activation map"
THOUSANDTHS = 1000


class Jobs:
    """The work of the worker; keeps networks between requests."""

    def __init__(self) -> None:
        self._session = Session()
        self._threads_are_limited = False

    def handlers(self) -> dict[str, Handler]:
        """Request type to method."""
        return {
            "analyze": self.analyze,
            "compare": self.compare,
            "warm": self.warm,
            "describe": self.describe,
            "download": self.download,
            "import": self.import_weights,
            "remove": self.remove,
            "free": self.free,
        }

    def analyze(self, message: Message, run: RunContext) -> Message:
        """Analyze one exam and write its arrays into the job folder."""
        request = AnalyzeRequest.of(message)
        self._limit_threads(store.card_of(request.method, request.weights))
        result = analyze_together(
            request.volume(),
            request.method,
            request.detector,
            weights=request.weights,
            detector_weights=request.detector_weights,
            device=request.device,
            precision=request.precision,
            brain_mask=request.brain_mask(),
            threshold=request.threshold,
            detection_threshold=request.detection_threshold,
            save_maps=request.save_maps,
            options=request.options,
            detector_options=request.detector_options,
            run=run,
            session=self._session,
        )
        answer = _answer(result, request.job)
        answer["activation"] = None
        if request.save_maps and request.method in FEATURE_METHODS:
            answer["activation"] = self._write_activation(request, run)
        return {"type": "result", **answer}

    def compare(self, message: Message, run: RunContext) -> Message:
        """Let several methods analyze one exam; write the arrays of each, and their vote, into the job folder."""
        request = CompareRequest.of(message)
        cards = [store.card_of(method, request.weights.get(method, ())) for method in request.methods]
        with contextlib.suppress(DependencyError):  # the classical methods run without torch
            for card in cards:
                self._limit_threads(card)
        volume = request.volume()
        found = comparison.compare(
            volume,
            request.methods,
            weights=request.weights,
            options=request.options,
            device=request.device,
            precision=request.precision,
            brain_mask=request.brain_mask(),
            save_maps=request.save_maps,
            run=over_all(run, [card.title for card in cards]),
            session=self._session,
        )
        vote = _answer(vote_result(found, volume), request.job, "vote.") if found.results else None
        results = [
            {"method": method, **_answer(result, request.job, f"{method}.")} for method, result in found.results.items()
        ]
        return {"type": "result", "results": results, "agreement": found.to_json(), "vote": vote}

    def warm(self, message: Message, run: RunContext) -> Message:
        """Load the network of a method, so that the next exam starts at once."""
        weights = [Path(path) for path in texts(message, "weights")]
        card = store.card_of(text(message, "method"), weights)
        run.report(0, 1, "Loading the network")
        self._limit_threads(card)
        files = store.find(card, weights)
        requested, precision = text(message, "device", "auto"), text(message, "precision", "auto")
        place = self._session.device(card, requested, precision)
        self._session.predictor(card, files, place)
        return {"type": "done", "device": place.name, "precision": place.precision}

    def describe(self, message: Message, run: RunContext) -> Message:
        """The methods with the state of their weights, and the processors of this computer."""
        try:
            version, problem, devices = import_torch().__version__, "", available_devices()
        except DependencyError as error:
            version, problem, devices = None, str(error), []
        methods = [_describe_method(card) for card in method_cards().values()]
        return {
            "type": "done",
            "methods": methods,
            "devices": devices,
            "torch": version,
            "torch_problem": problem,
        }

    def download(self, message: Message, run: RunContext) -> Message:
        """Download the weights that a method lacks."""
        transfer = Transfer(progress=run.progress, cancelled=run.cancelled)
        card = get_card(text(message, "method"))
        paths = download_model(card, transfer, all_files=bool(message.get("all_files", False)))
        return {"type": "done", "names": [path.name for path in paths]}

    def import_weights(self, message: Message, run: RunContext) -> Message:
        """Import weight files, whatever they are called."""
        return {"type": "done", "names": [file.name for file in store.import_files(texts(message, "paths"))]}

    def remove(self, message: Message, run: RunContext) -> Message:
        """Delete weight files by name or method, and the networks made from them."""
        self._session.free()
        return {"type": "done", "names": [path.name for path in store.remove(texts(message, "names"))]}

    def free(self, message: Message, run: RunContext) -> Message:
        """Drop the warm networks, and give back what the graphics card still holds."""
        self._session.free()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            gc.collect()
            torch.cuda.empty_cache()
        return {"type": "done"}

    def _write_activation(self, request: AnalyzeRequest, run: RunContext) -> str:
        """Where the encoder of the warm network is active, 0 to 1; returns the file's name."""
        found = extract_features(
            request.volume(),
            request.method,
            weights=request.weights,
            device=request.device,
            precision=request.precision,
            options=request.options,
            session=self._session,
            run=RunContext(lambda done, total, _phase: run.progress(done, total, ACTIVATION), run.cancelled),
        )
        return _write(request.job, "activation.npy", found.activation)

    def _limit_threads(self, card: ModelCard) -> None:
        """Leave one core to Slicer's window, unless there are only two or the user has decided."""
        if not card.needs_weights or self._threads_are_limited:
            return
        torch = import_torch()
        if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > MIN_THREADS:
            torch.set_num_threads(torch.get_num_threads() - 1)
        self._threads_are_limited = True


def over_all(run: RunContext, titles: Sequence[str]) -> RunContext:
    """A run of several methods, one after the other, that reports how far all of them are, in thousandths.

    Args:
        run: Hears it.
        titles: Of the methods in their order; a phase of a method is called "TITLE: PHASE".
    """
    reached = 0

    def progress(done: int, total: int, message: str) -> None:
        nonlocal reached
        begun = next((n for n, title in enumerate(titles) if message.startswith(f"{title}: ")), 0)
        part = done / total if total else 0.0
        if not message.endswith(PREDICTING):  # loading and preparing are told as no progress, measuring as all of it
            part = float(message.endswith("Measuring"))
        reached = max(reached, round(THOUSANDTHS * (begun + part) / len(titles)))
        run.progress(reached, THOUSANDTHS, message)

    return RunContext(progress, run.cancelled)


def _answer(result: AnalysisResult, job: Path, prefix: str = "") -> dict[str, Any]:
    """A result in JSON, and the names of the files with its arrays, which are written here."""
    arrays: dict[str, NDArray[Any] | None] = {"labelmap": None, "maps": None, "uncertainty": None}
    if result.segmentation is not None:
        found = result.segmentation
        arrays = {"labelmap": found.labelmap, "maps": found.soft_maps, "uncertainty": found.uncertainty}
    names = {
        name: None if array is None else _write(job, f"{prefix}{name}.npy", array) for name, array in arrays.items()
    }
    return {"result": result.to_json(), **names}


def _write(job: Path, name: str, array: NDArray[Any]) -> str:
    """Write an array into the job folder; returns its name."""
    try:
        np.save(job / name, array, allow_pickle=False)
    except OSError as error:
        raise OutputError(
            f"The result cannot be written to {job} ({error.strerror or error}). Is the disk full?"
        ) from error
    return name


def _describe_method(card: ModelCard) -> dict[str, Any]:
    now = store.state(card)
    return {
        "name": card.name,
        "title": card.title,
        "summary": card.summary,
        "license": card.license,
        "paper": card.paper,
        "limits": card.limits,
        "labels": [label.key for label in card.labels],
        "needs_weights": card.needs_weights,
        "is_ready": now.is_ready and not card.missing_packages,
        "missing_packages": [one.package for one in card.missing_packages],
        "present": [file.name for file in now.present],
        "missing": [file.name for file in now.missing],
        "download_bytes": now.download_bytes,
    }
