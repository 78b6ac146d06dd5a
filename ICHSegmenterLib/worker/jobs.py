"""What the worker can do: one method a request type, all sharing the networks that are warm."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ICHSegmenterLib.errors import DependencyError, OutputError
from ICHSegmenterLib.inference import engine
from ICHSegmenterLib.inference.device import available_devices, import_torch
from ICHSegmenterLib.inference.run import Run
from ICHSegmenterLib.inference.session import Session
from ICHSegmenterLib.model_cards import MODEL_CARDS, ModelCard, get_card
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.download import Transfer, download_model
from ICHSegmenterLib.worker.channel import Message
from ICHSegmenterLib.worker.request import AnalyzeRequest, text, texts
from ICHSegmenterLib.worker.server import Handler

MIN_THREADS = 2


class Jobs:
    """The work of the worker; keeps networks between requests."""

    def __init__(self) -> None:
        self._session = Session()
        self._threads_are_limited = False

    def handlers(self) -> dict[str, Handler]:
        """Request type to method."""
        return {
            "analyze": self.analyze,
            "warm": self.warm,
            "describe": self.describe,
            "download": self.download,
            "import": self.import_weights,
            "remove": self.remove,
            "free": self.free,
        }

    def analyze(self, message: Message, run: Run) -> Message:
        """Analyze one exam and write its arrays into the job folder."""
        request = AnalyzeRequest.of(message)
        self._limit_threads(get_card(request.method))
        result = engine.analyze(
            request.volume(),
            request.method,
            weights=request.weights,
            device=request.device,
            precision=request.precision,
            brain_mask=request.brain_mask(),
            threshold=request.threshold,
            save_maps=request.save_maps,
            run=run,
            session=self._session,
        )
        return {"type": "result", "result": result.to_json(), **_save(result, request.job)}

    def warm(self, message: Message, run: Run) -> Message:
        """Load the network of a method, so that the next exam starts at once."""
        card = get_card(text(message, "method"))
        run.report(0, 1, "Loading the network")
        self._limit_threads(card)
        files = store.find(card, [Path(path) for path in texts(message, "weights")])
        wish, precision = text(message, "device", "auto"), text(message, "precision", "auto")
        place = self._session.device(card, wish, precision)
        self._session.predictor(card, files, place)
        return {"type": "done", "device": place.name, "precision": place.precision}

    def describe(self, message: Message, run: Run) -> Message:
        """The methods with the state of their weights, and the processors of this computer."""
        try:
            version, problem, devices = import_torch().__version__, "", available_devices()
        except DependencyError as error:
            version, problem, devices = None, str(error), []
        methods = [_describe_method(card) for card in MODEL_CARDS.values()]
        return {
            "type": "done", "methods": methods, "devices": devices, "torch": version, "torch_problem": problem,
        }  # fmt: skip

    def download(self, message: Message, run: Run) -> Message:
        """Download the weights that a method lacks."""
        transfer = Transfer(progress=run.progress, cancelled=run.cancelled)
        card = get_card(text(message, "method"))
        paths = download_model(card, transfer, all_files=bool(message.get("all_files", False)))
        return {"type": "done", "names": [path.name for path in paths]}

    def import_weights(self, message: Message, run: Run) -> Message:
        """Import weight files, whatever they are called."""
        return {"type": "done", "names": [file.name for file in store.import_files(texts(message, "paths"))]}

    def remove(self, message: Message, run: Run) -> Message:
        """Delete weight files by name or method, and the networks made from them."""
        self._session.free()
        return {"type": "done", "names": [path.name for path in store.remove(texts(message, "names"))]}

    def free(self, message: Message, run: Run) -> Message:
        """Drop the warm networks, and give back what the graphics card still holds."""
        self._session.free()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            gc.collect()
            torch.cuda.empty_cache()
        return {"type": "done"}

    def _limit_threads(self, card: ModelCard) -> None:
        """Leave one core to Slicer's window, unless there are only two or the user has decided."""
        if not card.needs_weights or self._threads_are_limited:
            return
        torch = import_torch()
        if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > MIN_THREADS:
            torch.set_num_threads(torch.get_num_threads() - 1)
        self._threads_are_limited = True


def _save(result: AnalysisResult, job: Path) -> dict[str, str | None]:
    """Write the arrays of a result; returns their file names."""
    names: dict[str, str | None] = {"labelmap": None, "maps": None}
    if result.segmentation is None:
        return names
    arrays = {"labelmap": result.segmentation.labelmap, "maps": result.segmentation.soft_maps}
    for name, array in arrays.items():
        if array is None:
            continue
        try:
            np.save(job / f"{name}.npy", array, allow_pickle=False)
        except OSError as error:
            raise OutputError(
                f"The result cannot be written to {job} ({error.strerror or error}). Is the disk full?"
            ) from error
        names[name] = f"{name}.npy"
    return names


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
        "is_ready": now.is_ready,
        "present": [file.name for file in now.present],
        "missing": [file.name for file in now.missing],
        "download_bytes": now.download_bytes,
    }
