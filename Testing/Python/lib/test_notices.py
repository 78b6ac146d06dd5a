"""What people are told: a code with parameters, one sentence in English, and the way through pipes and processes."""

import json
import pickle
import string

import pytest

from ICHSegmenterLib import errors
from ICHSegmenterLib.agreement import Agreement
from ICHSegmenterLib.errors import CancelledError, Failure, GrowingError, ICHSegmenterError, VolumeError
from ICHSegmenterLib.notices.cause_notice import CauseNotice
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.notices.run_notice import RunCode, RunNotice
from ICHSegmenterLib.preprocessing.checks.findings import InputCode, InputFinding
from ICHSegmenterLib.protocol import read_notice
from ICHSegmenterLib.volume.reader.reader_warning import ReaderCode, ReaderWarning
from ICHSegmenterLib.worker.failures import explain

KINDS = (RunNotice, ErrorNotice, CauseNotice, InputFinding, ReaderWarning)


@pytest.mark.parametrize("kind", KINDS)
def test_every_code_has_one_sentence(kind):
    assert set(kind.sentences) == set(kind.codes)
    assert all(kind.sentences.values())


@pytest.mark.parametrize("kind", [RunNotice, ErrorNotice, CauseNotice])
def test_a_notice_with_its_parameters_comes_back_from_plain_data(kind):
    for code, sentence in kind.sentences.items():
        names = {name for _, name, *_ in string.Formatter().parse(sentence) if name}
        notice = kind(code, dict.fromkeys(names, 0.25))
        assert kind.from_json(json.loads(json.dumps(notice.to_json()))) == notice
        assert str(notice) == notice.text


@pytest.mark.parametrize(
    "plain",
    [None, "text", [], {}, {"code": "nobody's", "parameters": {}}, {"code": "smaller_batches", "parameters": {}}],
)
def test_what_is_no_notice_is_refused(plain):
    with pytest.raises(ValueError, match="is no RunNotice|nobody's"):
        RunNotice.from_json(plain)


def test_an_error_keeps_its_code_and_says_its_sentence_in_another_process_too():
    notice = ErrorNotice(ErrorCode.GPU_STOPPED, {"reason": "Xid 79"})
    error = pickle.loads(pickle.dumps(VolumeError(notice)))
    assert (error.notice, str(error)) == (notice, notice.text)
    assert VolumeError("a sentence").notice is None
    assert ICHSegmenterError().notice is None
    assert GrowingError("too little contrast", (50.0, 40.0)).densities == (50.0, 40.0)


def test_every_typed_error_takes_a_notice():
    notice = ErrorNotice(ErrorCode.NOT_KEPT)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ICHSegmenterError)]
    assert len(kinds) > 20
    assert all(kind(notice).notice == notice for kind in kinds)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CancelledError(ErrorNotice(ErrorCode.CANCELLED)), ErrorCode.CANCELLED),
        (MemoryError(), ErrorCode.NO_MEMORY),
        (ModuleNotFoundError("No module named 'timm'", name="timm"), ErrorCode.PACKAGE_MISSING),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), ErrorCode.GPU_STOPPED),
        (ZeroDivisionError("division by zero"), ErrorCode.MISTAKE),
    ],
)
def test_the_failure_of_an_exception_has_a_code(error, code):
    failure = explain(error)
    assert failure.notice.code is code
    assert failure.message == failure.notice.text
    assert failure.is_fatal == (code is ErrorCode.GPU_STOPPED)
    assert read_notice(json.loads(json.dumps(failure.notice.to_json()))) == failure.notice


def test_a_volume_that_the_check_refuses_is_refused_with_the_code_of_the_check():
    finding = InputFinding(InputCode.BLANK, {"value": 0.0})
    failure = Failure.of(VolumeError(finding), method="compact-unet")
    assert (failure.kind, failure.message, failure.method) == ("bad_input", finding.text, "compact-unet")
    assert read_notice(failure.notice.to_json()) == finding


def test_the_failures_of_a_comparison_keep_their_codes():
    failure = Failure.of(VolumeError(InputFinding(InputCode.NO_BRAIN)), method="blast-ct")
    agreement = Agreement({}, (failure, Failure("failed", "A sentence.", method="unet")), (), (), 0.0)
    read = Agreement.from_json(json.loads(json.dumps(agreement.to_json())))
    assert read.failures == agreement.failures


def test_a_code_of_another_version_leaves_the_sentence():
    assert read_notice({"code": "of_the_future", "parameters": {}}) is None
    assert read_notice(None) is None
    assert ReaderWarning.from_json("As older scenes hold it.").code is ReaderCode.SENTENCE
    assert RunNotice(RunCode.FLOAT32).text.startswith("The network's numbers left the range")
