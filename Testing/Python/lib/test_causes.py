"""Why files, weights and requests cannot be used: each sentence that the panel may show is the detail of a cause."""

import ast
import json
import pickle
from pathlib import Path

import pytest

import hostile_files
from ICHSegmenterLib import errors
from ICHSegmenterLib.errors import Failure, ICHSegmenterError, VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause, CauseNotice
from ICHSegmenterLib.notices.error_notice import ErrorCode
from ICHSegmenterLib.preprocessing.checks.findings import InputCode
from ICHSegmenterLib.protocol import read_notice
from ICHSegmenterLib.volume.dicom.series import SeveralSeriesError
from ICHSegmenterLib.volume.reader.process import ReaderProcess
from ICHSegmenterLib.weights.store import import_files

LIBRARY = Path(errors.__file__).parent
PANEL = LIBRARY.parent / "ICHSegmenter"
WITHOUT_CAUSE = {
    "TimeLimitError": "only a batch has a limit",
    "GrowingError": "the panel says it by its densities",
    "SeveralSeriesError": "has its cause itself",
}


def test_every_sentence_that_the_panel_may_show_is_the_detail_of_a_cause():
    kinds = {kind.__name__ for kind in _kinds(ICHSegmenterError)} - set(WITHOUT_CAUSE)
    bare, with_cause = [], 0
    for path in sorted(_behind_the_panel()):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in kinds):
                continue
            if any(_is_cause(argument) for argument in call.args):
                with_cause += 1
            elif any(_has_words(argument) for argument in call.args):
                bare.append(f"{path.relative_to(LIBRARY)}:{call.lineno}")
    assert bare == []
    assert with_cause > 100


def test_a_sentence_with_a_cause_stays_the_same_sentence():
    error = pickle.loads(pickle.dumps(VolumeError("ct.nii: truncated; copy it again.", Cause.DAMAGED_FILE)))
    failure = Failure.of(error)
    assert str(error) == failure.message == "ct.nii: truncated; copy it again."
    assert failure.notice == CauseNotice(Cause.DAMAGED_FILE, {"sentence": "ct.nii: truncated; copy it again."})
    assert read_notice(json.loads(json.dumps(failure.notice.to_json()))) == failure.notice
    assert SeveralSeriesError("Two series.", []).notice.code is Cause.SEVERAL_SERIES


def test_no_two_kinds_of_failures_share_a_code():
    values = [code.value for codes in (Cause, ErrorCode, InputCode) for code in codes]
    assert len(set(values)) == len(values)


@pytest.mark.parametrize(
    ("name", "write", "cause"),
    [
        ("ct.mhd", hostile_files.write_crashing_metaimage, Cause.READER_ENDED),
        ("ct.mha", lambda path: hostile_files.write_compressed_metaimage(path, damage="bit"), Cause.DAMAGED_FILE),
        ("ct.nii.gz", lambda path: path.write_bytes(b"damaged"), Cause.DAMAGED_FILE),
        ("ct.txt", lambda path: path.write_text("no CT"), Cause.UNKNOWN_FORMAT),
        ("empty", Path.mkdir, Cause.NO_CT),
    ],
)
def test_the_cause_comes_through_the_process_that_reads(name, write, cause, tmp_path):
    write(tmp_path / name)
    with ReaderProcess() as reader, pytest.raises(VolumeError) as caught:
        reader.volume(tmp_path / name)
    assert caught.value.notice.code is cause
    assert caught.value.notice.text == str(caught.value)


def test_a_file_that_is_no_weights_has_a_cause(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"no weights")
    with pytest.raises(ICHSegmenterError) as caught:
        import_files([tmp_path / "model.pt"])
    assert caught.value.notice.code is Cause.NOT_IMPORTED


def _kinds(base):
    return {base} | {kind for child in base.__subclasses__() for kind in _kinds(child)}


def _is_cause(node):
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Cause"


def _has_words(node):
    """A sentence, or what a function says; a notice, a code and a name that holds one are none."""
    if isinstance(node, ast.Call):
        return not (isinstance(node.func, ast.Name) and node.func.id.endswith(("Notice", "Finding", "_notice")))
    return isinstance(node, ast.JoinedStr | ast.BinOp) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _behind_the_panel():
    """Files of the library that worker, reader and panel import, or load by name; what only a batch needs is none."""
    waiting = [path for folder in ("worker", "volume", "outputs") for path in (LIBRARY / folder).rglob("*.py")]
    waiting += [*LIBRARY.glob("methods/**/*predictor.py"), *LIBRARY.glob("methods/**/*network*.py")]
    waiting += [path for path in PANEL.rglob("*.py") if path.name != "batch.py"]
    seen = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(LIBRARY.name):
                names = (node.module, *(f"{node.module}.{name.name}" for name in node.names))
                waiting += filter(Path.is_file, (LIBRARY.parent / f"{name.replace('.', '/')}.py" for name in names))
    return {path for path in seen if LIBRARY in path.parents}
