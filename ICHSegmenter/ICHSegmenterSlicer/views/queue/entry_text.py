"""The entries of a queue in the user's language."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence

from slicer.i18n import tr as _

from ICHSegmenterSlicer.exam_queue import QueueEntry, QueueState
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.views.results.verdict_text import verdictWord
from ICHSegmenterSlicer.words.failure_text import failureText


def stateText(entry: QueueEntry) -> str:
    """The state of an exam in a word; while it runs, how far it is."""
    if entry.state is QueueState.RUNNING and entry.fraction is not None:
        return f"{entry.fraction:.0%}"
    return {
        QueueState.WAITING: _("waiting"),
        QueueState.RUNNING: _("running"),
        QueueState.DONE: _("done"),
        QueueState.FAILED: _("failed"),
        QueueState.CANCELLED: _("cancelled"),
    }[entry.state]


def verdictText(result: StoredResult, editedMl: float | None) -> str:
    """The verdict in a word, and the blood that the method outlined; or how much is outlined after edits."""
    if editedMl is not None:
        return _("edited, {volume:.1f} mL").format(volume=editedMl)
    word, bloodMl = verdictWord(result.analysis.assessment.code), result.analysis.blood_ml
    return _("{verdict}, {volume:.1f} mL").format(verdict=word, volume=bloodMl) if bloodMl else word


def summaryText(entries: Sequence[tuple[str, QueueEntry]]) -> str:
    """HTML: how many are done and failed, and why the first one failed; empty without entries.

    Args:
        entries: Titles of exams, and their entries.
    """
    counts = Counter(entry.state for _title, entry in entries)
    parts = [
        (QueueState.DONE, _("{count} done")),
        (QueueState.WAITING, _("{count} waiting")),
        (QueueState.FAILED, _("{count} failed")),
        (QueueState.CANCELLED, _("{count} cancelled")),
    ]
    lines = [", ".join(text.format(count=counts[state]) for state, text in parts if counts[state])]
    failures = [(title, entry.failure) for title, entry in entries if entry.failure is not None]
    for title, failure in failures[:1]:
        text = _("⚠ {exam}: {reason}").format(exam=title, reason=failureText(failure))
        lines.append(html.escape(text))
    return "<br>".join(filter(None, lines))
