"""Exams that an earlier run of a batch finished, and whether their results still belong to what lies there now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ICHSegmenterLib.analysis.comparison.differences import differences
from ICHSegmenterLib.batch.exam import Exam
from ICHSegmenterLib.batch.summary import numbers_of
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.outputs.result_json import DONE_FILE
from ICHSegmenterLib.outputs.table import select
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import RESULT_FORMAT_VERSION
from ICHSegmenterLib.volume.input_files import digest_of


@dataclass(frozen=True)
class DoneExam:
    """A finished exam: the columns of the summary that its result fills, and the record of its input."""

    numbers: Mapping[str, object]
    input: Mapping[str, Any]


@dataclass
class DoneBefore:
    """Exams of an output folder by their names.

    Attributes:
        exams: Finished by an equal request.
        newer: Written by a newer version: not understood, and not to be replaced unasked.
    """

    exams: dict[str, DoneExam] = field(default_factory=dict)
    newer: set[str] = field(default_factory=set)


def done_before(output: Path, request: AnalysisRequest) -> DoneBefore:
    """All that an earlier run finished here with the outputs of the request; a result that is not whole is none.

    Raises:
        OutputError: One came about by another request: two kinds of numbers in one folder would be taken for one.
    """
    done = DoneBefore()
    others: dict[str, list[str]] = {}
    outputs = select(request.outputs)
    for path in sorted(output.glob(f"*/{DONE_FILE}")):
        name = path.parent.name
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            if result.get("format", 0) > RESULT_FORMAT_VERSION:
                done.newer.add(name)
            elif changes := differences(request, result):
                others[name] = changes
            elif set(outputs) <= set(result.get("outputs", outputs)):  # earlier versions recorded none
                done.exams[name] = DoneExam(numbers_of(result), _input_of(result))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration, RecursionError):
            continue  # it is not there whole
    if others:
        name, changes = next(iter(others.items()))
        more = f" and {len(others) - 1} more exams" if len(others) > 1 else ""
        raise OutputError(
            f"{output} holds results of another run: {name}{more} of {'; '.join(changes)}. Name another --output "
            "folder, or replace them by --overwrite."
        )
    return done


def is_current(exam: Exam, done: DoneExam) -> bool:
    """True if the input of an exam is still what its result came from; results of before had no record of it."""
    if not done.input:
        return True
    try:
        files = exam.input_files()
        return digest_of(files).is_input_of(done.input, files)
    except OSError:
        return False


def _input_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    recorded = result["provenance"].get("input") or {}
    if not isinstance(recorded, dict):
        raise TypeError("input is an object")
    return recorded
