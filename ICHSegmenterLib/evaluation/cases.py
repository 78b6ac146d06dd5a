"""Data sets as distributed, planned by the readers of training, as cases of an evaluation."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from ICHSegmenterLib.batch.run import exam_name
from ICHSegmenterLib.datasets import nifti_folder, physionet, rsna
from ICHSegmenterLib.datasets.sources import BadFile, SeriesPlan, existing_folder
from ICHSegmenterLib.errors import EvaluationError
from ICHSegmenterLib.evaluation.dataset import Case

Layout = Literal["nifti", "physionet", "rsna"]
Told = tuple[tuple[bool, ...] | None, tuple[tuple[bool, ...], ...] | None]
LAYOUTS: tuple[str, ...] = get_args(Layout)


def find_cases(folder: Path, layout: str, cache: Path, patients: Path | None = None) -> list[Case]:
    """The cases of a data set.

    Args:
        folder: The data set.
        layout: One of `LAYOUTS`.
        cache: Where headers of RSNA files are kept.
        patients: CSV with the columns exam,patient; else every file of a NIfTI folder is another patient.

    Raises:
        TrainingDataError: The folder is not what its layout promises.
        EvaluationError: The list of patients does not fit.
    """
    if layout == "rsna":
        images = existing_folder(folder, *rsna.IMAGES)
        return _rsna(rsna.source(folder, cache, allow_missing=False).plans, images)
    if layout == "physionet":
        cases = [_physionet(plan) for plan in physionet.source(folder, allow_missing=False).plans]
    else:
        plans = nifti_folder.source(folder, allow_missing=False).plans
        cases = [_case(plan, plan.files[0], plan.files[1]) for plan in plans]
    return cases if patients is None else _with_patients(cases, _read_patients(patients))


def _case(plan: SeriesPlan, image: Path, mask: Path, labels: Sequence[Sequence[int]] = ()) -> Case:
    return Case(exam_name("", image), plan.patient, (image,), mask, *_any_and_subtypes(labels))


def _any_and_subtypes(labels: Sequence[Sequence[int]]) -> Told:
    """Six labels of each slice in RSNA's order, "any" last; nothing if there are none."""
    if not labels:
        return None, None
    return tuple(bool(one[-1]) for one in labels), tuple(tuple(map(bool, one[:-1])) for one in labels)


def _physionet(plan: SeriesPlan) -> Case:
    scan, mask, slices = plan.files
    return _case(plan, scan, mask, [slices[number] for number in sorted(slices)])


def _rsna(plans: Sequence[SeriesPlan], images: Path) -> list[Case]:
    """Series of RSNA; files that cannot be read are no slices of any."""
    cases = []
    for plan in plans:
        if not isinstance(plan.files, BadFile):
            files = tuple(images / header.name for header, _ in plan.files)
            told = _any_and_subtypes([of_file for _, of_file in plan.files])
            cases.append(Case(exam_name(plan.series, images), plan.patient, files, None, *told))
    return cases


def _read_patients(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file)
            if not {"exam", "patient"} <= set(lines.fieldnames or ()):
                found = ",".join(lines.fieldnames or ()) or "nothing"
                raise EvaluationError(f"{path.name}: it needs the columns exam,patient; found {found}.")
            return {line["exam"]: line["patient"] for line in lines}
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be read ({error.strerror}). Name a CSV of exam and patient.") from error


def _with_patients(cases: Sequence[Case], patients: Mapping[str, str]) -> list[Case]:
    absent = [case.name for case in cases if case.name not in patients]
    if absent:
        raise EvaluationError(f"{len(absent)} exams have no patient ({', '.join(absent[:3])}). Add them to the list.")
    return [replace(case, patient=patients[case.name]) for case in cases]
