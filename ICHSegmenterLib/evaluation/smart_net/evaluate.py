"""SMART-Net's tests on a data set: every exam kept, figures with intervals, a table, pictures of reconstructions."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.errors import EvaluationError, Failure
from ICHSegmenterLib.evaluation import detection_metrics
from ICHSegmenterLib.evaluation.attempt import attempt
from ICHSegmenterLib.evaluation.bootstrap import Estimate, PatientBootstrap, Weights
from ICHSegmenterLib.evaluation.dataset import check_cases, read_exam
from ICHSegmenterLib.evaluation.detection_metrics import ScoredItems
from ICHSegmenterLib.evaluation.evaluate import Announce, silent
from ICHSegmenterLib.evaluation.smart_net import metrics
from ICHSegmenterLib.evaluation.smart_net.outputs import ExamOutputs, Test, outputs_of, tests_of
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.methods.from_card import load_network
from ICHSegmenterLib.preprocessing.spec import SmartNetPreprocessing
from ICHSegmenterLib.report.slice_pictures import draw_reconstruction
from ICHSegmenterLib.runtime.device import choose_device
from ICHSegmenterLib.weights.digests import named_digests

COLUMNS = ("case", "items", "bleeding", "dice", "false_positive_voxels", "reconstruction_error")


def evaluate_smart_net(
    cases: Sequence[Case],
    card: ModelCard,
    weights: Path,
    output: Path,
    *,
    device: str = "auto",
    resamples: int = 1000,
    seed: int = 0,
    announce: Announce = silent,
) -> tuple[dict[str, dict[str, Any]], list[Failure]]:
    """Every test that a network can take; exams that are done are not run again.

    Args:
        cases: With masks.
        card: A SMART-Net method; its network is built and filled.
        weights: The file.
        output: Folder of tables and pictures.
        device: As of a request; computed in float32 on any.
        resamples, seed: Of the bootstrap; the seed also draws the slices of the slice-wise test.
        announce: Called before each exam.

    Returns:
        Test to its figures as plain data, and the exams that could not be scored, once each.

    Raises:
        EvaluationError: No exam could be scored.
    """
    check_cases(cases)
    network = load_network(card, weights)
    preprocessing = card.preprocessing
    if not isinstance(preprocessing, SmartNetPreprocessing):
        raise EvaluationError(f"{card.name} is no SMART-Net method; choose smart-net-up, -cls or -seg.")
    network.eval().requires_grad_(False).to(choose_device(device, "float32").name)
    figures: dict[str, dict[str, Any]] = {}
    failures: dict[str, Failure] = {}
    for test in tests_of(network):
        facts = {"weights": named_digests((weights,)), "seed": seed, "mask_sampling": preprocessing.mask_sampling}
        scored: list[tuple[Case, ExamOutputs]] = []
        for number, case in enumerate(cases):
            announce(number, len(cases), f"{test}: {case.name}")
            path = output / test / f"{case.name}.json"
            done = _load(path, facts)
            if done is None:
                run = partial(_outputs, network, case, preprocessing, test, seed + number)
                outcome = attempt(run, card.name, case.name)
                if isinstance(outcome, Failure):
                    failures[case.name] = outcome
                    continue
                done = outcome
                _save(done, facts, path)
            scored.append((case, done))
        announce(len(cases), len(cases), "")
        if not scored:
            first = next(iter(failures.values()))
            raise EvaluationError(f"None of the {len(cases)} exams could be scored. {first.case}: {first.message}")
        _write_table(scored, output / f"{test}.csv")
        figures[test] = _figures(scored, resamples, seed)
    return figures, list(failures.values())


def _outputs(
    network: nn.Module, case: Case, preprocessing: SmartNetPreprocessing, test: Test, seed: int
) -> ExamOutputs:
    return outputs_of(network, read_exam(case), preprocessing, test, seed)


def _figures(scored: Sequence[tuple[Case, ExamOutputs]], resamples: int, seed: int) -> dict[str, Any]:
    """AUC and rates over items, Dice and reconstruction over exams, false positive voxels as their sum."""
    truth = np.concatenate([each.truth for _, each in scored])
    values = np.concatenate([each.values for _, each in scored])
    whose = tuple(case.patient for case, each in scored for _ in each.truth)
    plain: dict[str, Any] = {"exams": len(scored), "items": len(truth), "bleeding": int(truth.sum())}
    if not np.isnan(values).any():
        items = ScoredItems(truth, values, values > metrics.POSITIVE_ABOVE, whose)
        for name, estimate in detection_metrics.scores(items, resamples=resamples, seed=seed).items():
            plain[name] = estimate.to_json()
    patients = tuple(case.patient for case, _ in scored)
    for name in ("dice", "error"):
        numbers = np.array([getattr(each, name) for _, each in scored], dtype=np.float64)
        plain[name] = _mean(numbers, patients, resamples, seed).to_json()
    plain["false_positive_voxels"] = sum(each.false_positive_voxels for _, each in scored)
    voxels = [float("nan") if each.truth.any() else float(each.false_positive_voxels) for _, each in scored]
    plain["false_positive_voxels_an_exam"] = _mean(np.array(voxels), patients, resamples, seed).to_json()
    return plain


def _mean(numbers: NDArray[np.float64], patients: tuple[str, ...], resamples: int, seed: int) -> Estimate:
    """Mean of what is defined, with its interval over patients."""
    kept = ~np.isnan(numbers)

    def mean(values: NDArray[np.float64], weights: Weights) -> float:
        total = float(weights.sum())
        return float(weights @ values) / total if total else float("nan")

    whose = tuple(np.asarray(patients, dtype=np.str_)[kept].tolist())
    draws = PatientBootstrap(whose, resamples, seed)
    return draws.estimate(partial(mean, numbers[kept]), undefined="undefined: no exam has it")


def _save(outputs: ExamOutputs, facts: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if outputs.picture is not None:
        draw_reconstruction(*outputs.picture, path.with_suffix(".png"))
    content = {
        "facts": facts,
        "truth": outputs.truth.tolist(),
        "values": [None if np.isnan(value) else value for value in outputs.values.tolist()],
        "dice": None if np.isnan(outputs.dice) else outputs.dice,
        "false_positive_voxels": outputs.false_positive_voxels,
        "error": None if np.isnan(outputs.error) else outputs.error,
    }
    with replacing(path) as draft:
        draft.write_text(json.dumps(content), encoding="utf-8")


def _load(path: Path, facts: dict[str, Any]) -> ExamOutputs | None:
    """Outputs of an earlier run, None if there are none that were made with these facts."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["facts"] != facts:
            return None
        return ExamOutputs(
            np.array(content["truth"], dtype=bool),
            np.array(content["values"], dtype=np.float64),
            float("nan") if content["dice"] is None else float(content["dice"]),
            int(content["false_positive_voxels"]),
            float("nan") if content["error"] is None else float(content["error"]),
        )
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        return None


def _write_table(scored: Sequence[tuple[Case, ExamOutputs]], path: Path) -> None:
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for case, each in scored:
            numbers = ("" if np.isnan(value) else f"{value:.6g}" for value in (each.dice, each.error))
            dice, error = numbers
            row = (case.name, len(each.truth), int(each.truth.sum()), dice, each.false_positive_voxels, error)
            writer.writerow(row)
