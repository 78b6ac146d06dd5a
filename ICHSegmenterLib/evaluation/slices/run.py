"""The walk of a method over one exam, slice by slice at the network's pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.evaluation.dataset import KnownExam, read_exam
from ICHSegmenterLib.evaluation.slices.methods import SliceMethod
from ICHSegmenterLib.evaluation.slices.slice_scores import (
    THRESHOLDS,
    SlicePictures,
    SliceScores,
    dice_sweep,
    load_scores,
    save_scores,
)
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume, prepare
from ICHSegmenterLib.preprocessing.spec import BRAIN_WINDOW

OWN_BRAIN = "found from HU"


def scores_file(method: SliceMethod, case: Case, output: Path) -> Path:
    """Where the scores of a case are kept."""
    return output / "slices" / method.name / f"{case.name}.npz"


def score_slices(method: SliceMethod, case: Case, output: Path) -> SliceScores:
    """The scores of one exam, computed now or kept from an earlier run.

    Raises:
        ICHSegmenterError: The exam cannot be read, holds no head, or has no mask.
    """
    brain = OWN_BRAIN if case.brain_mask is None else f"{case.brain_mask.parent.name}/{case.brain_mask.name}"
    facts, path = method.facts(case.patient, brain), scores_file(method, case, output)
    done = load_scores(path, facts)
    if done is not None:
        return done
    exam = read_exam(case)
    prepared, mask = _prepared(exam, method)
    network = method.network(case.patient)
    count = prepared.volume.geometry.shape[0]
    values = np.zeros(count)
    outlined, sweeps = [], []
    gray, masks, soft = [], [], []
    for start in range(0, count, network.batch_size):
        indices = list(range(start, min(start + network.batch_size, count)))
        batch = network.predict_batch(prepared, indices)
        values[indices] = batch.probabilities[ANY]
        if mask is None or batch.maps is None:
            continue
        truth, pixels = prepared.mask_at_network(mask, indices), _gray(prepared, indices)
        for n, index in enumerate(indices):
            if truth[n].any():
                blood = batch.maps[n].sum(axis=0)
                outlined.append(index)
                sweeps.append(dice_sweep(blood, truth[n]))
                gray.append(pixels[n])
                masks.append(truth[n])
                soft.append(blood.astype(np.float16))
    scores = SliceScores(
        case.name,
        case.patient,
        method.name,
        exam.slice_truth,
        exam.slice_truth if exam.slice_labels is None else exam.slice_labels,
        values,
        np.array(outlined, dtype=np.intp),
        np.array(sweeps, dtype=np.float64).reshape(-1, len(THRESHOLDS)),
        facts,
    )
    save_scores(scores, SlicePictures(np.array(gray), np.array(masks), np.array(soft)), path)
    return scores


def _prepared(exam: KnownExam, method: SliceMethod) -> tuple[PreparedVolume, NDArray[np.bool_] | None]:
    """The exam with axial slices, and its true mask turned with it."""
    view = AxialView.at_border(exam.volume.geometry)
    brain = None if exam.brain_mask is None else view.apply(exam.brain_mask)
    prepared = prepare(view.volume(exam.volume), method.card.preprocessing, brain)
    return prepared, None if exam.mask is None else np.ascontiguousarray(view.apply(exam.mask))


def _gray(prepared: PreparedVolume, indices: list[int]) -> NDArray[np.uint8]:
    """The slices in the brain window at the network's pixels, uint8 (slices, crop, crop)."""
    low, high = BRAIN_WINDOW.edges
    hu = prepared.view.apply_to_slices(prepared.volume.hu[indices])
    shown = np.clip((prepared.grid.forward(hu) - low) / (high - low), 0, 1)
    return np.asarray(np.rint(shown * 255), dtype=np.uint8)
