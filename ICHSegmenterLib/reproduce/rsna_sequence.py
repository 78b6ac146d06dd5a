"""The table of the slice-and-sequence transformer: weighted log loss on held-out series of RSNA 2019."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from numpy.typing import NDArray

from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.datasets.prepare import load_prepared
from ICHSegmenterLib.datasets.rsna import layout as rsna
from ICHSegmenterLib.datasets.sources import ReadOptions, existing_folder
from ICHSegmenterLib.datasets.splits import Split, load_split, save_split, split_patients
from ICHSegmenterLib.errors import EvaluationError, Failure
from ICHSegmenterLib.evaluation.attempt import attempt
from ICHSegmenterLib.evaluation.bootstrap import PatientBootstrap, Weights
from ICHSegmenterLib.evaluation.rsna.csv_files import write_predictions, write_submission
from ICHSegmenterLib.evaluation.rsna.metric import COMPETITION_WEIGHTS, logits_of
from ICHSegmenterLib.evaluation.rsna.run import by_series
from ICHSegmenterLib.evaluation.rsna.slices import rsna_slice
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.methods.rsna_sequence.ensemble import ENSEMBLE_WEIGHTS
from ICHSegmenterLib.reproduce.deviations import Deviation
from ICHSegmenterLib.reproduce.options import ReproduceOptions
from ICHSegmenterLib.reproduce.outcome import Outcome
from ICHSegmenterLib.reproduce.training import TRAINING, further_deviations, prepared, settled_topics, trained
from ICHSegmenterLib.training.fit import CACHE, SPLIT, bleeding_units, wait_for
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.digests import named_digests

METHOD = "rsna-sequence"
AS_AUTHORS = (
    "precision=32-true",
    "data.split_by=series",
    "augmentation.per_slice=true",
    "augmentation.crop_scale=[0.8,1.2]",
    "augmentation.crop_rule=aspect",
)
AUTHORS_SHARE, AUTHORS_SEED = 0.1, 42


def sequence_transformer(table: str, options: ReproduceOptions) -> Outcome:
    """Train on nine tenths of the series, or take weights, and score the last tenth."""
    data, training = options.rsna(), options.output / TRAINING
    recipe = load_recipe(METHOD, [*(AS_AUTHORS if options.as_authors else ()), *options.changes])
    split = _split(recipe, data, training, options)
    files = options.weights or (trained(recipe, training / CACHE, training, options),)
    if rank_zero_only.rank:
        return Outcome(table, missing="the first process evaluates")
    held_out = _held_out(split, data, options)
    values, labels, patients, ids, failures = _predicted(held_out, files, data, options)
    figure = log_loss_figure(values, labels, patients, options)
    _write_files(values, ids, options.output)
    further = further_deviations(options, None if options.weights else training / CACHE)
    if failures:
        ours = f"{len(failures)} could not be predicted, first {failures[0].case}: {failures[0].message}"
        further.append(Deviation("held-out series", "all", ours))
    count = f"{len(held_out) - len(failures)} held-out series, {len(ids)} slices of {len(set(patients))} patients"
    return Outcome(
        table,
        {"ensemble" if len(files) == len(ENSEMBLE_WEIGHTS) else "log_loss": figure},
        options.as_authors,
        f"RSNA 2019 layout: {count}",
        named_digests(files),
        has_trained=not options.weights,
        further=further,
        settled=settled_topics(options),
    )


def log_loss_figure(
    values: NDArray[np.float64], labels: NDArray[np.float64], patients: Sequence[str], options: ReproduceOptions
) -> dict[str, Any]:
    """The weighted log loss with its interval over patients.

    Args:
        values: (slices, 6) probabilities in RSNA's order.
        labels: (slices, 6) of 0 and 1.
        patients: (slices,).
        options: Settings of the bootstrap.
    """
    logits = logits_of(values)
    costs = np.maximum(logits, 0) - logits * labels + np.log1p(np.exp(-np.abs(logits)))
    each = costs @ np.asarray(COMPETITION_WEIGHTS)

    def mean(numbers: NDArray[np.float64], weights: Weights) -> float:
        return float(weights @ numbers / weights.sum())

    draws = PatientBootstrap(tuple(patients), options.resamples, options.seed)
    return draws.estimate(partial(mean, each)).to_json()


def _split(recipe: Recipe, data: Path, training: Path, options: ReproduceOptions) -> Split:
    """The split of the training, drawn before it and kept; the authors' where their quirks are on."""
    if rank_zero_only.rank:
        wait_for(training / SPLIT)
    if (training / SPLIT).is_file():
        return load_split(training / SPLIT)
    split_by = recipe.data.split_by
    if options.weights:  # nothing is learned, so headers say enough
        bleeds = _bleeding_of_headers(data, split_by, options)
    else:
        bleeds = bleeding_units(load_prepared(prepared(data, recipe, training, options)), split_by)
    if options.as_authors:
        split = authors_split(sorted(bleeds))
    else:
        share = recipe.data.validation_share
        split = split_patients(bleeds, validation_share=share, seed=recipe.seed, split_by=split_by)
    save_split(split, training / SPLIT)
    return split


def _plans(data: Path, options: ReproduceOptions) -> list[rsna.RsnaPlan]:
    """The series of the data set; their headers are kept with the prepared data."""
    source = rsna.source(data, ReadOptions(options.output / TRAINING / CACHE))
    return [plan for plan in source.plans if plan.files]


def _bleeding_of_headers(data: Path, split_by: str, options: ReproduceOptions) -> dict[str, bool]:
    """Patient or series to whether any of its slices bleeds."""
    bleeds: dict[str, bool] = {}
    for plan in _plans(data, options):
        unit = plan.series if split_by == "series" else plan.patient
        bleeds[unit] = bleeds.get(unit, False) or any(labels[-1] for _, labels in plan.files)
    return bleeds


def authors_split(series: Sequence[str]) -> Split:
    """The authors' validation series: scikit-learn's split of the sorted names, a tenth, seed 42."""
    from sklearn.model_selection import train_test_split

    train, held_out = train_test_split(list(series), test_size=AUTHORS_SHARE, random_state=AUTHORS_SEED)
    return Split(tuple(sorted(train)), tuple(sorted(held_out)), (), AUTHORS_SEED, 0, 0, "series")


def _held_out(split: Split, data: Path, options: ReproduceOptions) -> list[rsna.RsnaPlan]:
    """The series of the validation part."""
    names = set(split.validation)
    plans = _plans(data, options)
    held_out = [plan for plan in plans if (plan.series if split.split_by == "series" else plan.patient) in names]
    if not held_out:
        raise EvaluationError("No series is held out; prepare more data, or raise data.validation_share.")
    return held_out


def _predicted(
    held_out: Sequence[rsna.RsnaPlan], files: Sequence[Path], data: Path, options: ReproduceOptions
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str], list[str], list[Failure]]:
    """Values and labels (slices, 6), patients and slice ids; series that are done are not predicted again.

    A series with an image that cannot be read fails, and the others are scored.
    """
    card = store.card_of(METHOD, files)
    session = Session()
    predictor: Any = session.predictor(card, files, session.device(card, options.device, options.precision))
    predict = by_series(predictor, xyz_order=options.as_authors)
    images = existing_folder(data, *rsna.IMAGES)
    facts = {"weights": named_digests(files), "as_authors": options.as_authors}
    values, labels, patients, ids = [], [], [], []
    failures: list[Failure] = []
    for number, plan in enumerate(held_out):
        options.announce(number, len(held_out), f"{METHOD}: {plan.series}")
        path = options.output / "evaluation" / "series" / f"{plan.series}.json"
        predicted = _load(path, facts)
        if predicted is None:
            members = sorted(
                (rsna_slice(images / header.name) for header, _ in plan.files), key=lambda one: one.position
            )
            outcome = attempt(partial(predict, members), METHOD, plan.series)
            if isinstance(outcome, Failure):
                failures.append(outcome)
                continue
            predicted = outcome
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as draft:
                draft.write_text(json.dumps({"facts": facts, "values": predicted}), encoding="utf-8")
        for header, truth in plan.files:
            name = Path(header.name).stem
            values.append(predicted[name])
            labels.append(truth)
            patients.append(plan.patient)
            ids.append(name)
    options.announce(len(held_out), len(held_out), "")
    if not values:
        raise EvaluationError(f"None of {len(held_out)} series could be predicted. {failures[0].message}")
    return np.array(values, dtype=np.float64), np.array(labels, dtype=np.float64), patients, ids, failures


def _load(path: Path, facts: Mapping[str, Any]) -> dict[str, list[float]] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        values: dict[str, list[float]] = content["values"]
        return values if content["facts"] == facts else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _write_files(values: NDArray[np.float64], ids: Sequence[str], output: Path) -> None:
    """The held-out slices as the competition's files."""
    write_predictions(output / "predictions.csv", range(len(ids)), values)
    write_submission(output / "predictions.csv", ids, output / "submission.csv", complete=True)
