"""The cases of an evaluation: a data set as distributed, and whose exams they are."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.datasets.layouts import labeled_layout
from ICHSegmenterLib.errors import EvaluationError
from ICHSegmenterLib.files import typed_reader


def find_cases(folder: Path, layout: str, cache: Path, patients: Path | None = None) -> list[Case]:
    """The cases of a data set.

    Args:
        folder: The data set.
        layout: A name of `LAYOUTS` whose truth is known.
        cache: Where a layout keeps headers.
        patients: CSV with the columns exam,patient; else the layout says whose exams they are.

    Raises:
        TrainingDataError: The folder is not what its layout promises.
        EvaluationError: The list of patients does not fit.
        ValueError: There is no such layout, or it comes without labels.
    """
    cases = labeled_layout(layout).cases(folder, cache)
    return cases if patients is None else _with_patients(cases, _read_patients(patients))


@typed_reader(EvaluationError)
def _read_patients(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file)
            if not {"exam", "patient"} <= set(lines.fieldnames or ()):
                columns = ",".join(lines.fieldnames or ()) or "nothing"
                raise EvaluationError(f"{path.name}: it needs the columns exam,patient; found {columns}.")
            return {line["exam"]: line["patient"] for line in lines}
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be read ({error.strerror}). Name a CSV of exam and patient.") from error


def _with_patients(cases: Sequence[Case], patients: Mapping[str, str]) -> list[Case]:
    absent = [case.name for case in cases if case.name not in patients]
    if absent:
        raise EvaluationError(f"{len(absent)} exams have no patient ({', '.join(absent[:3])}). Add them to the list.")
    return [replace(case, patient=patients[case.name]) for case in cases]
