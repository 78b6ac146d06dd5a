"""What the library hands over as codes stands in the panel in the panel's words."""

import ast
import json
from pathlib import Path

import pytest

SLICER_SIDE = Path(__file__).resolve().parents[3] / "ICHSegmenter"

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


def test_every_notice_of_a_run_and_every_error_has_the_panels_words(shell):
    """In English they are those of the library, so that panel, batch and command line say the same."""
    from ICHSegmenterLib.notices import error_notice, run_notice
    from ICHSegmenterSlicer.words import failure_text, run_notice_text

    assert run_notice_text._texts() == dict(run_notice.SENTENCES)
    assert failure_text._texts() == dict(error_notice.SENTENCES)


def test_every_cause_says_what_is_wrong_and_what_to_do_without_its_detail(shell, monkeypatch):
    """Both are sentences of the panel, in which nothing is filled in: the detail stands apart, whatever it says."""
    from ICHSegmenterLib.notices.cause_notice import Cause, CauseNotice
    from ICHSegmenterSlicer.words import cause_text

    monkeypatch.setattr(cause_text, "_", lambda text: f"«{text}»")
    texts = cause_text._texts()
    assert set(texts) == set(Cause)
    for parts in texts.values():
        assert all(text.startswith("«") and text.endswith(".»") and "{" not in text for text in parts)
    assert len({text for parts in texts.values() for text in parts}) == 2 * len(Cause)
    text = cause_text.causeText(CauseNotice(Cause.DAMAGED_FILE, {"sentence": "ct.nii: {7} bytes."}))
    assert text.splitlines()[1:] == ["«Detail: ct.nii: {7} bytes.»"]


def test_the_lines_that_every_panel_shows_are_those_of_the_library(panel):
    from ICHSegmenterLib.analysis.default_method import WeightsOffer
    from ICHSegmenterLib.results import RESEARCH_NOTICE
    from ICHSegmenterSlicer.views import trust_box

    assert RESEARCH_NOTICE in panel.ui.noticeLabel.text
    offer = WeightsOffer(
        "blast-ct", "BLAST-CT", "compact-unet", 2, 8, "Apache-2.0", "adults", ("0 of 2", "1 of 2", "heads")
    )
    assert trust_box._alarmsText(offer) == offer.reason


def test_a_memory_fallback_is_told_in_the_panels_words(shell, panel, phantom, monkeypatch):
    from ICHSegmenterLib.notices.run_notice import RunCode, RunNotice
    from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
    from ICHSegmenterSlicer.views.results.verdict_text import verdictLines
    from ICHSegmenterSlicer.words import run_notice_text

    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, 120, "the end of the run")
    plain = json.loads(panel.shown.resultNode.GetText())
    notice = RunNotice(RunCode.SMALLER_BATCHES, {"size": 2})
    plain["notices"] = [notice.to_json()]
    plain["provenance"]["warnings"] = [notice.text, "A sentence of an older version."]
    monkeypatch.setattr(run_notice_text, "_", lambda text: f"«{text}»")
    lines = verdictLines(StoredResult.fromJson(plain), None)
    assert "⚠ «Memory ran out; continued with batches of 2.»" in lines
    assert "⚠ A sentence of an older version." in lines


def test_a_failure_of_the_worker_is_told_in_the_panels_words(shell, panel, phantom, monkeypatch):
    from ICHSegmenterLib.errors import Failure, VolumeError
    from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
    from ICHSegmenterLib.preprocessing.checks.findings import InputCode, InputFinding
    from ICHSegmenterSlicer.client import worker_client
    from ICHSegmenterSlicer.words import failure_text, finding_text

    for module in (failure_text, finding_text):
        monkeypatch.setattr(module, "_", lambda text: f"«{text}»")
    message = {"kind": "oom_ram", "message": "English", "notice": ErrorNotice(ErrorCode.NO_MEMORY).to_json()}
    panel.status.fail(worker_client._failure(message))
    assert panel.ui.statusLabel.text.startswith("⚠ «This computer has too little memory.")
    panel.status.fail(worker_client._failure({"kind": "failed", "message": "Only this."}))
    assert panel.ui.statusLabel.text == "⚠ Only this."
    panel.status.fail(Failure.of(VolumeError(InputFinding(InputCode.BLANK, {"value": 7.0}))))
    assert panel.ui.statusLabel.text.startswith("⚠ «Every voxel is 7")
    panel.status.end()


def test_no_error_of_the_panel_has_words_that_cannot_be_translated():
    """A literal sentence in a typed error or a failure must stand in `_()`."""
    untranslated = []
    for path in sorted(SLICER_SIDE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _name(node.func).endswith(("Error", "Failure")) and _isTyped(node):
                untranslated += [f"{path.name}:{node.lineno}" for text in _sentences(node) if " " in text]
    assert untranslated == []


def _name(function):
    return function.id if isinstance(function, ast.Name) else ""


def _isTyped(call):
    return _name(call.func) not in ("ValueError", "TypeError", "RuntimeError", "FileNotFoundError", "AssertionError")


def _sentences(call):
    """Literal texts below a call, but for those within `_()`."""
    waiting = list(call.args)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call) and _name(node.func) == "_":
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.strip()
        waiting += ast.iter_child_nodes(node)
