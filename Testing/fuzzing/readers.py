"""Every reader of the program: its seeds, its share of the inputs, and how an input is given to it."""

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzzing import seeds
from ICHSegmenterLib.errors import ICHSegmenterError

Read = Callable[[Path], None]


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        kind: Of its inputs; see `mutations`.
        file: Name under which an input is written.
        share: Part of all inputs, relative to the others.
        seeds: Makes valid inputs in a folder, where what they refer to lies as well.
        read: Path to nothing; imports what it needs itself.
        typed: What it may raise.
    """

    kind: str
    file: str
    share: float
    seeds: Callable[[Path], list[bytes]]
    read: Read
    typed: tuple[type[Exception], ...] = (ICHSegmenterError,)


def _volume(path: Path) -> None:
    """As `batch` reads it: in the reader process."""
    from fuzzing.child import reader_process

    reader_process().volume(path)


def _dicom(path: Path) -> None:
    """As `batch` does: searched in this process, read in the reader process."""
    from fuzzing.child import reader_process
    from ICHSegmenterLib.batch.discovery import exams_in

    for exam in exams_in(path.parent):
        if not exam.problem:
            reader_process().volume(exam.path, series_uid=exam.series_uid, files=exam.files)
    reader_process().volume(path)


def _weights(path: Path) -> None:
    from ICHSegmenterLib.checkpoints.checkpoint import read_state
    from ICHSegmenterLib.weights.own_file import embedded_facts

    embedded_facts(path)
    read_state(path)


def _card(path: Path) -> None:
    from ICHSegmenterLib.cards.json.reader import card_from, read_json
    from ICHSegmenterLib.cards.table import MODEL_CARDS

    content = read_json(path)
    if content is not None:
        card_from(content, path.name, MODEL_CARDS)


def _recipe(path: Path) -> None:
    from ICHSegmenterLib.learning.recipe_file import load_recipe

    load_recipe(path)


def _index(path: Path) -> None:
    from ICHSegmenterLib.datasets.slices import read_table

    read_table([path])


def _split(path: Path) -> None:
    from ICHSegmenterLib.datasets.splits import load_split

    load_split(path)


def _labels(path: Path) -> None:
    from ICHSegmenterLib.datasets.rsna.layout import read_labels

    read_labels(path)


def _diagnoses(path: Path) -> None:
    from ICHSegmenterLib.datasets.physionet import read_diagnoses

    read_diagnoses(path)


def _plan(path: Path) -> None:
    from ICHSegmenterLib.datasets.prepare import _read_plan

    _read_plan(path)


def _folds(path: Path) -> None:
    from ICHSegmenterLib.evaluation.cases import _read_patients
    from ICHSegmenterLib.evaluation.thresholds import read_folds

    for read in (read_folds, _read_patients):
        try:
            read(path)
        except ICHSegmenterError:
            continue


def _submission(path: Path) -> None:
    from ICHSegmenterLib.evaluation.rsna import csv_files

    for read in (csv_files.read_submission, csv_files.read_predictions, csv_files.read_slice_ids):
        try:
            read(path)
        except ICHSegmenterError:
            continue


def _result(path: Path) -> None:
    """As a batch that goes on, a single exam over another, and an evaluation read it."""
    import numpy as np

    from batch_inputs import CLASSICAL, small_head
    from ICHSegmenterLib.batch.done import done_before
    from ICHSegmenterLib.batch.existing import check_folder
    from ICHSegmenterLib.results import AnalysisResult

    geometry = small_head(slices=8).geometry if not _grids else _grids[0]
    _grids[:] = [geometry]
    for read in (
        lambda: done_before(path.parent.parent, CLASSICAL),
        lambda: check_folder(path.parent, CLASSICAL, "", path),
    ):
        try:
            read()
        except ICHSegmenterError:
            continue
    try:
        plain = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    AnalysisResult.from_json(plain, geometry, np.zeros(geometry.shape, np.uint8))


_grids: list = []


def _exam_index(path: Path) -> None:
    from ICHSegmenterLib.batch.index.choice import choices
    from ICHSegmenterLib.batch.index.exams import exams_of
    from ICHSegmenterLib.batch.index.store import Store
    from ICHSegmenterLib.batch.index.walk import FileState

    with Store(path.parent) as store:
        list(choices(store.series()))
        list(exams_of(store))
        list(store.problems())
        store.unread([FileState(path, 1, 1)])


def _cache(path: Path) -> None:
    from ICHSegmenterLib.evaluation.calibration import observations
    from ICHSegmenterLib.evaluation.predictions import _read_done
    from ICHSegmenterLib.evaluation.smart_net import evaluate
    from ICHSegmenterLib.reproduce import rsna_sequence
    from ICHSegmenterLib.weights import digests

    os.environ["ICHSEGMENTER_WEIGHTS"] = str(path.parent)
    content = path.read_bytes()
    for name in (digests.MEMORY_FILE, "result.json"):
        (path.parent / name).write_bytes(content)
    digests._read_memory()
    _read_done(path.parent)
    evaluate._load(path, {})
    rsna_sequence._load(path, {})
    with contextlib.suppress(_MadeAnewError):
        observations.cached(path, "k", _made_anew)


class _MadeAnewError(Exception):
    """A cache was not taken."""


def _made_anew():
    raise _MadeAnewError


def _batch_state(path: Path) -> None:
    from ICHSegmenterLib.batch.attempts import ATTEMPTS_FILE, Attempts
    from ICHSegmenterLib.batch.names import IDENTITY_FILE, result_name
    from ICHSegmenterLib.batch.owner import OWNER_FILE
    from ICHSegmenterLib.volume.input_files import InputDigest

    folder = path.parent / "output"
    folder.mkdir(exist_ok=True)
    content = path.read_bytes()
    for name in (ATTEMPTS_FILE, IDENTITY_FILE, OWNER_FILE):
        (folder / name).write_bytes(content)
    record = Attempts(folder)
    for step in (
        lambda: record.check("a", InputDigest(1, 1, "x")),
        lambda: record.begin("a", InputDigest(1, 1, "x")),
        record.close,
        lambda: result_name(folder, "a", path, None),
        lambda: _owned(folder),
    ):
        try:
            step()
        except ICHSegmenterError:
            continue


def _owned(folder: Path) -> None:
    from ICHSegmenterLib.batch.owner import owned

    with owned(folder):
        pass


def _worker(path: Path) -> None:
    """A line, then a ping: the worker answers both, and nothing but the errors that it expects happens in it."""
    import io

    from ICHSegmenterLib.worker.channel import Channel
    from ICHSegmenterLib.worker.jobs import Jobs
    from ICHSegmenterLib.worker.server import Server

    handlers = {
        kind: _typed(work)
        for kind, work in (_jobs[0] if _jobs else Jobs().handlers()).items()
        if kind not in ("download", "import", "remove", "describe")  # they change folders, or ask for none of the input
    }
    _jobs[:] = [handlers]
    stream = io.BytesIO()
    server = Server(Channel(stream), handlers, idle_s=0.001)
    server.read(io.BytesIO(path.read_bytes() + b'\n{"type": "ping"}\n'), lambda: None)
    server.work()
    kinds = [json.loads(line)["type"] for line in stream.getvalue().splitlines()]
    if "pong" not in kinds and b"shutdown" not in path.read_bytes():
        raise AssertionError("the worker no longer answers")
    if _untyped:
        raise _untyped.pop()


_jobs: list = []
_untyped: list[BaseException] = []


def _typed(work):
    if getattr(work, "is_watched", False):
        return work

    def watched(message, context):
        try:
            return work(message, context)
        except (ICHSegmenterError, ValueError):
            raise
        except Exception as error:
            _untyped.append(error)
            raise

    watched.is_watched = True
    return watched


def _receiver_config(path: Path) -> None:
    from ICHSegmenterLib.receive.config import read_config

    read_config(path)


def _received_object(path: Path) -> None:
    """As the port takes an object: whatever is wrong with it, it is refused."""
    from ICHSegmenterLib.receive.server import study_uid_of

    study_uid_of(path.read_bytes())


def _port(path: Path) -> None:
    """A connection that sends the input: it comes to an end, and the receiver still listens."""
    import socket

    server = _server(path.parent)
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", server.port)) as link,
    ):
        link.settimeout(0.2)
        link.sendall(path.read_bytes())
        link.shutdown(socket.SHUT_WR)
        while link.recv(1 << 16):
            pass
    until = time.monotonic() + ASSOCIATION_S
    while len(server._server.active_associations) > 3 and time.monotonic() < until:
        time.sleep(0.1)
    if not server._thread.is_alive() or time.monotonic() >= until:
        raise AssertionError("the receiver no longer listens")
    if _untyped:
        raise _untyped.pop()


def _server(folder: Path):
    import threading

    from ICHSegmenterLib.receive import server
    from ICHSegmenterLib.receive.config import Peer, ReceiverConfig
    from ICHSegmenterLib.receive.inbox import Inbox
    from ICHSegmenterLib.receive.server import Server

    if not _servers:
        server.GREETING_S = 0.5  # what is refused is forgotten sooner
        config = ReceiverConfig(folder / "received", folder / "results", (Peer("PACS"),), port=0)
        _servers.append(Server(config, Inbox(config.folder, config.limits)))
        threading.excepthook = _thread_died
    return _servers[0]


def _thread_died(failure) -> None:
    """pynetdicom ends a connection by this error when an answer crosses the end; the thread was ending anyway."""
    from pynetdicom.fsm import InvalidEventError

    if not isinstance(failure.exc_value, InvalidEventError):
        _untyped.append(failure.exc_value)


_servers: list = []
ASSOCIATION_S = 30.0
"""In which connections that were closed must be gone."""


LABELS = "ID,Label\n" + "".join(
    f"ID_{number}_{kind},0\n"
    for number in (1, 2)
    for kind in ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")
)
DIAGNOSES = (
    "PatientNumber,SliceNumber,Intraventricular,Intraparenchymal,Subarachnoid,Epidural,Subdural,No_Hemorrhage\n"
    "1,1,0,0,0,0,0,1\n1,2,0,1,0,0,0,0\n"
)
STATE = (
    '{"killers": {"a": {"times": "x", "message": "m"}}, "unfinished": {"a": {"number": 2, "times": "x"}}}',
    '{"id": "8c5f7a52-5b1c-4f0e-9d6b-1b2c3d4e5f60"}',
    '{"pid": 1, "host": "x", "started": "2026-01-01T00:00:00+00:00"}',
)

READERS: dict[str, Reader] = {
    "nifti": Reader("binary", "ct.nii", 5, seeds.nifti, _volume),
    "nifti-gz": Reader("gzip", "ct.nii.gz", 5, seeds.nifti_gz, _volume),
    "nrrd": Reader("text", "ct.nrrd", 4, seeds.nrrd, _volume),
    "metaimage": Reader("text", "ct.mha", 4, seeds.metaimage, _volume),
    "dicom": Reader("dicom", "0001.dcm", 18, seeds.dicom, _dicom),
    "weights-torch": Reader("zip", "w.pth", 6, seeds.weights(".pth"), _weights),
    "weights-numpy": Reader("zip", "w.npz", 5, seeds.weights(".npz"), _weights),
    "weights-safetensors": Reader("binary", "w.safetensors", 5, seeds.weights(".safetensors"), _weights),
    "weights-paddle": Reader("binary", "w.pdparams", 7, seeds.weights(".pdparams"), _weights),
    "cards": Reader("json", "card.json", 8, seeds.cards, _card),
    "recipes": Reader("text", "recipe.yaml", 4, seeds.recipes, _recipe),
    "index": Reader("text", "index.csv", 4, seeds.index, _index),
    "split": Reader("json", "split.json", 4, seeds.split, _split),
    "labels": Reader("text", "labels.csv", 3, seeds.text(LABELS), _labels),
    "diagnoses": Reader("text", "diagnoses.csv", 3, seeds.text(DIAGNOSES), _diagnoses),
    "plan": Reader("json", "plan.json", 2, seeds.text('{"layout": "rsna", "shards": [["a", 1]]}'), _plan),
    "folds": Reader("text", "folds.csv", 2, seeds.text("patient,fold\na,1\nb,2\n", "exam,patient\na,1\nb,2\n"), _folds),
    "submission": Reader(
        "text", "s.csv", 2, seeds.text("ID,Label\na,0.5\n", "1,0 0 0 0 0 1\n", "slice_id,x\na,0.5\n"), _submission
    ),
    "result": Reader("json", "output/exam/result.json", 6, seeds.results, _result),
    "exam-index": Reader("binary", "output/.ichsegmenter-index.sqlite", 3, seeds.exam_index, _exam_index),
    "caches": Reader("json", "cache.json", 3, seeds.caches, _cache),
    "batch-state": Reader("json", "state.json", 3, seeds.text(*STATE), _batch_state),
    "receiver-config": Reader("text", "receive.toml", 4, seeds.receiver_configs, _receiver_config),
    "received-object": Reader("dicom", "0001.dcm", 4, seeds.dicom, _received_object, (Exception,)),
    "port": Reader("binary", "sent.bin", 0.5, seeds.association, _port),
    "worker": Reader("json", "line.json", 5, seeds.worker_lines, _worker),
}
"""Name to reader."""


def write_input(reader: Reader, folder: Path, content: bytes) -> Path:
    """The file of an input."""
    path = folder / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (1.7e9, 1.7e9))
    return path
