"""Jobs of the worker: one method a request type, all sharing the networks that are warm."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.comparison import compare as comparison
from ICHSegmenterLib.analysis.comparison.vote import vote_result
from ICHSegmenterLib.analysis.default_method import WeightsOffer, first_run_offer
from ICHSegmenterLib.analysis.features import FEATURE_METHODS, extract_features
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cards.json.trust import trust_facts
from ICHSegmenterLib.cards.published_files import AUTHORS_FILES
from ICHSegmenterLib.cards.table import ModelCard, get_card, method_cards
from ICHSegmenterLib.computer.diagnosis import diagnosis_lines
from ICHSegmenterLib.computer.processor_check import check_processor
from ICHSegmenterLib.errors import DependencyError, OutputError
from ICHSegmenterLib.measuring.exam import measure_exam
from ICHSegmenterLib.measuring.follow_up import follow_up
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.preprocessing.input_check import check_input
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.protocol import Message, MessageType, Phase, Stage, read_object, read_text, read_texts
from ICHSegmenterLib.request import AnalysisRequest, CompareRequest
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.runtime.device import available_devices, import_torch
from ICHSegmenterLib.volume.volume import Volume
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.cache import bundled_folder
from ICHSegmenterLib.weights.download import Transfer, download_model
from ICHSegmenterLib.weights.own_file import OwnFacts
from ICHSegmenterLib.worker.exam import Exam
from ICHSegmenterLib.worker.reading import read_exam
from ICHSegmenterLib.worker.report import write_report
from ICHSegmenterLib.worker.server import Handler

MIN_THREADS = 2
THOUSANDTHS = 1000


class Jobs:
    """The work of the worker; keeps networks between requests."""

    def __init__(self) -> None:
        self._session = Session(keeps_predictions=True)
        self._threads_are_limited = False

    def handlers(self) -> dict[str, Handler]:
        """Request type to method."""
        return {
            MessageType.ANALYZE: self.analyze,
            MessageType.COMPARE: self.compare,
            MessageType.CHECK: self.check,
            MessageType.READ: self.read,
            MessageType.FOLLOW_UP: self.follow_up,
            MessageType.MEASURE: self.measure,
            MessageType.WARM: self.warm,
            MessageType.DESCRIBE: self.describe,
            MessageType.DOWNLOAD: self.download,
            MessageType.IMPORT: self.import_weights,
            MessageType.REMOVE: self.remove,
            MessageType.VERIFY: self.verify,
            MessageType.TEST: self.test,
            MessageType.DIAGNOSE: self.diagnose,
            MessageType.REPORT: self.report,
            MessageType.FREE: self.free,
        }

    def analyze(self, message: Message, context: RunContext) -> Message:
        """Analyze one exam and write its arrays into the job folder."""
        exam = Exam.from_message(message)
        request = AnalysisRequest.from_json(read_object(message, "request"))
        self._limit_threads(request.card)
        volume = exam.volume()
        context.only_kept = message.get("only_kept") is True
        result = analyze(volume, request, context, self._session, brain_mask=exam.brain_mask())
        answer = _answer(result, exam.job)
        answer["activation"] = None
        if request.keeps_maps and request.method in FEATURE_METHODS:
            answer["activation"] = self._write_activation(volume, request, context, exam.job)
        return {"type": MessageType.RESULT, **answer}

    def compare(self, message: Message, context: RunContext) -> Message:
        """Let several methods analyze one exam; write the arrays of each, and their vote, into the job folder."""
        exam = Exam.from_message(message)
        request = CompareRequest.from_json(read_object(message, "request"))
        with contextlib.suppress(DependencyError):  # the classical methods run without torch
            for method in request.methods:
                self._limit_threads(request.of_method(method).card)
        volume = exam.volume()
        compared = comparison.compare(
            volume,
            request,
            over_all(context, request.methods),
            self._session,
            brain_mask=exam.brain_mask(),
        )
        vote = _answer(vote_result(compared, volume), exam.job, "vote.") if compared.results else None
        results = [
            {"method": method, **_answer(result, exam.job, f"{method}.")} for method, result in compared.results.items()
        ]
        return {"type": MessageType.RESULT, "results": results, "agreement": compared.to_json(), "vote": vote}

    def check(self, message: Message, context: RunContext) -> Message:
        """What is found about an exam before any method runs; needs neither torch nor weights."""
        exam = Exam.from_message(message)
        context.report(0, 1, Phase.FINDING_BRAIN)
        findings = check_input(exam.volume(), exam.brain_mask())
        return {"type": MessageType.DONE, "findings": [finding.to_json() for finding in findings]}

    def read(self, message: Message, context: RunContext) -> Message:
        """Read an exam into the job folder, or list the series of a folder that holds several."""
        job, path = Path(read_text(message, "job")), Path(read_text(message, "path"))
        return {"type": MessageType.DONE, **read_exam(path, job, context, series_uid=message.get("series_uid"))}

    def follow_up(self, message: Message, context: RunContext) -> Message:
        """Compare an outlined exam with a prior one; write the prior outline on the current grid."""
        context.report(0, 1, Phase.REGISTERING)
        current, prior = (Exam.from_message(part) for part in (message, read_object(message, "prior")))
        comparison, outline = follow_up(
            current.outlined(read_object(message, "outline")), prior.outlined(read_object(message, "prior_outline"))
        )
        name = _write(current.job, "prior.npy", outline)
        return {"type": MessageType.DONE, "follow_up": comparison.to_json(), "prior": name}

    def measure(self, message: Message, context: RunContext) -> Message:
        """Measure an exam with the outline that it has now."""
        context.report(0, 1, Phase.MEASURING)
        exam = Exam.from_message(message).outlined(read_object(message, "outline"))
        view = AxialView.at_border(exam.volume.geometry)
        measures = measure_exam(view.volume(exam.volume), view.apply(exam.labelmap), exam.labels)
        return {"type": MessageType.DONE, "measures": measures.to_json()}

    def warm(self, message: Message, context: RunContext) -> Message:
        """Load the network of a method, so that the next exam starts at once."""
        request = AnalysisRequest.from_json(read_object(message, "request"))
        card = request.card
        context.report(0, 1, Phase.LOADING)
        self._limit_threads(card)
        files = store.find(card, request.weights)
        device = self._session.device(card, request.device, request.precision)
        self._session.predictor(card, files, device)
        return {"type": MessageType.DONE, "device": device.name, "precision": device.precision}

    def describe(self, message: Message, context: RunContext) -> Message:
        """The methods with the state of their weights, the offer of better ones, and this computer's processors."""
        try:
            version, problem, devices = import_torch().__version__, None, available_devices()
        except DependencyError as error:
            version, problem, devices = None, error, []
        methods = [_describe_method(card) for card in method_cards().values()]
        return {
            "type": MessageType.DONE,
            "methods": methods,
            "offer": _describe_offer(first_run_offer()),
            "devices": devices,
            "torch": version,
            "torch_problem": "" if problem is None else str(problem),
            "torch_notice": None if problem is None or problem.notice is None else problem.notice.to_json(),
        }

    def download(self, message: Message, context: RunContext) -> Message:
        """Download the weights that a method lacks."""
        card = get_card(read_text(message, "method"))
        stage = Stage(Phase.DOWNLOADING, card.name)
        transfer = Transfer(
            progress=lambda done, total, _text: context.progress(done, total, stage), cancelled=context.cancelled
        )
        choices = {key: message.get(key) is True for key in ("all_files", "accept_license")}
        paths = download_model(card, transfer, **choices)
        return {"type": MessageType.DONE, "names": [path.name for path in paths]}

    def import_weights(self, message: Message, context: RunContext) -> Message:
        """Import weight files, whatever they are called; of one's own with method, title and license."""
        stated = OwnFacts(**{key: str(message.get(key) or "") for key in ("method", "title", "license")})
        return {
            "type": MessageType.DONE,
            "names": [file.name for file in store.import_files(read_texts(message, "paths"), stated)],
        }

    def remove(self, message: Message, context: RunContext) -> Message:
        """Delete weight files by name or method, and the networks made from them."""
        self._session.free()
        return {"type": MessageType.DONE, "names": [path.name for path in store.remove(read_texts(message, "names"))]}

    def verify(self, message: Message, context: RunContext) -> Message:
        """Read every weight file again, and say what has become of it."""
        conditions = store.verify(lambda done, total, _text: context.report(done, total, Phase.VERIFYING))
        bundled = bundled_folder()
        files = [
            {"name": path.name, "condition": condition.value, "is_bundled": path.parent == bundled}
            for path, condition in conditions
        ]
        return {"type": MessageType.DONE, "files": files}

    def test(self, message: Message, context: RunContext) -> Message:
        """Compute on a processor, and compare with the CPU."""
        return {"type": MessageType.DONE, **asdict(check_processor(read_text(message, "device")))}

    def diagnose(self, message: Message, context: RunContext) -> Message:
        """What is installed and what works, as text for a report of a problem."""
        return {"type": MessageType.DONE, "text": "\n".join(diagnosis_lines())}

    def report(self, message: Message, context: RunContext) -> Message:
        """Write the report of a result as its segments are now; needs neither torch nor weights."""
        return write_report(message)

    def free(self, message: Message, context: RunContext) -> Message:
        """Drop the warm networks, and give back what the graphics card still holds."""
        self._session.free()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            gc.collect()
            torch.cuda.empty_cache()
        return {"type": MessageType.DONE}

    def _write_activation(self, volume: Volume, request: AnalysisRequest, context: RunContext, job: Path) -> str:
        """Write the activation of the warm encoder, 0 to 1; returns the file's name."""
        drawing = RunContext(
            lambda done, total, _stage: context.report(done, total, Phase.ACTIVATION), context.cancelled
        )
        features = extract_features(volume, request, drawing, self._session)
        return _write(job, "activation.npy", features.activation)

    def _limit_threads(self, card: ModelCard) -> None:
        """Leave one core to Slicer's window, unless there are only two or the user has decided."""
        if not card.needs_weights or self._threads_are_limited:
            return
        torch = import_torch()
        if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > MIN_THREADS:
            torch.set_num_threads(torch.get_num_threads() - 1)
        self._threads_are_limited = True


def over_all(context: RunContext, methods: Sequence[str]) -> RunContext:
    """A context of several methods, one after the other, that reports how far all of them are, in thousandths.

    Args:
        context: Gets the reports.
        methods: Names, in their order.
    """
    reached = 0

    def progress(done: int, total: int, stage: Stage) -> None:
        nonlocal reached
        begun = methods.index(stage.method) if stage.method in methods else 0
        part = done / total if total else 0.0
        if stage.phase is not Phase.PREDICTING:  # loading and preparing count as no progress, measuring as all of it
            part = float(stage.phase is Phase.MEASURING)
        reached = max(reached, round(THOUSANDTHS * (begun + part) / len(methods)))
        context.progress(reached, THOUSANDTHS, stage)

    return RunContext(progress, context.cancelled)


def _answer(result: AnalysisResult, job: Path, prefix: str = "") -> dict[str, Any]:
    """A result in JSON, and the names of the files with its arrays, which are written here."""
    arrays: dict[str, NDArray[Any] | None] = dict.fromkeys(("labelmap", "maps", "uncertainty", "below_threshold"))
    if result.segmentation is not None:
        outlines = result.segmentation
        arrays = {
            "labelmap": outlines.labelmap,
            "maps": outlines.soft_maps,
            "uncertainty": outlines.uncertainty,
            "below_threshold": outlines.below_threshold,
        }
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
            f"The result cannot be written to {job} ({error.strerror or error}). Is the disk full?", Cause.DISK
        ) from error
    return name


def _describe_method(card: ModelCard) -> dict[str, Any]:
    """A method as it would run: the card beside its weights, if they have one."""
    now = store.state(card)
    card = store.card_of(card.name)
    authors = AUTHORS_FILES.get(card.name)
    return {
        "name": card.name,
        "title": card.title,
        "summary": card.summary,
        "license": card.license,
        "paper": card.paper,
        "limits": card.limits,
        "release": card.release,
        "terms": card.trust.terms,
        "trust": trust_facts(card.trust),
        "trust_lines": [list(line) for line in card.trust.lines()],
        "draws_attention": card.draws_attention,
        "authors_file": None if authors is None else asdict(authors),
        "labels": [label.key for label in card.labels],
        "needs_weights": card.needs_weights,
        "is_ready": now.is_ready and not card.missing_packages,
        "missing_packages": [one.package for one in card.missing_packages],
        "present": [file.name for file in now.present],
        "missing": [file.name for file in now.missing],
        "download_bytes": now.download_bytes,
    }


def _describe_offer(offer: WeightsOffer | None) -> dict[str, Any] | None:
    return (
        None
        if offer is None
        else {
            **asdict(offer),
            "reason": offer.reason,
            "command": offer.command,
            "sentence": offer.sentence,
        }
    )
