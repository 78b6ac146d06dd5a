"""The tables of HGI-SAM's papers on PhysioNet CT-ICH, slice by slice: `hgi-sam`, `swin-sam`, `unet`, `swin-unetr`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ICHSegmenterLib.cards.card import ModelCard, with_options
from ICHSegmenterLib.datasets.brain_masks import AUTHORS_FOLDER, with_brain_masks
from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.datasets.splits import save_folds
from ICHSegmenterLib.errors import EvaluationError
from ICHSegmenterLib.evaluation.cases import find_cases
from ICHSegmenterLib.evaluation.fold_networks import FoldNetworks
from ICHSegmenterLib.evaluation.slices.authors_folds import folds_of
from ICHSegmenterLib.evaluation.slices.evaluate import SliceProtocol, evaluate_slices
from ICHSegmenterLib.evaluation.slices.methods import SliceMethod
from ICHSegmenterLib.evaluation.thresholds import read_folds
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.preprocessing.spec import PHYSIONET_WINDOWS, RSNA_WINDOWS, SlicePreprocessing
from ICHSegmenterLib.reproduce.deviations import Deviation
from ICHSegmenterLib.reproduce.options import ReproduceOptions
from ICHSegmenterLib.reproduce.outcome import Outcome
from ICHSegmenterLib.reproduce.training import TRAINING, further_deviations, prepared, settled_topics, trained
from ICHSegmenterLib.training.cross_validation import fit_folds, fold_count
from ICHSegmenterLib.training.fit import CACHE, FOLDS
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.digests import named_digests

AS_AUTHORS = ("precision=32-true", "preprocessing.mask_sampling=floor")
FOLDS_AS_AUTHORS = (*AS_AUTHORS, "data.split_by=slice")
"""Folds are of patients, by a file; slices part what is outside of them into training and validation."""
RSNA_AS_AUTHORS = (
    *AS_AUTHORS,
    "data.split_by=slice",
    "data.header_window=true",
    "preprocessing.windows=[[40,80],[80,200],[600,2800]]",
)
SOFTMAX_TWICE = "loss.softmax_before_cross_entropy=true"
CLIMBS = dict.fromkeys(("hgi-sam", "swin-sam"), tuple(round(0.01 * step, 2) for step in range(3, 15)))
"""The authors' search of a threshold: 0.03 to 0.14, up to the first that is no better."""
HEADERS = "headers"


def attention_maps(table: str, options: ReproduceOptions) -> Outcome:
    """`hgi-sam` and `swin-sam`: a classifier of RSNA's slices, whose maps are scored on PhysioNet."""
    physionet = options.physionet()
    if options.weights:
        files = options.weights
    else:
        switched = (*RSNA_AS_AUTHORS, *([SOFTMAX_TWICE] if table == "hgi-sam" else [])) if options.as_authors else ()
        recipe = load_recipe(table, [*switched, *options.changes])
        folder = options.output / TRAINING
        files = (trained(recipe, prepared(options.rsna(), recipe, folder, options), folder, options),)
    if rank_zero_only.rank:
        return Outcome(table, missing="the first process evaluates")
    cases = find_cases(physionet, "physionet", options.output / HEADERS)
    folds = _folds(cases, options)
    return _scored(table, options, physionet, cases, files, folds, None)


def fold_networks(table: str, options: ReproduceOptions) -> Outcome:
    """`unet` and `swin-unetr`: a network a fold, each scored on the patients that it never met."""
    physionet = options.physionet()
    cases = find_cases(physionet, "physionet", options.output / HEADERS)
    if options.weights:
        files, folds = options.weights, _folds(cases, options)
    else:
        switched = FOLDS_AS_AUTHORS if options.as_authors else ()
        is_given = options.as_authors or options.folds is not None
        given = (f"data.folds_file={json.dumps(str(_folds_file(cases, options).absolute()))}",) if is_given else ()
        recipe = load_recipe(table, [*switched, f"data.folds={options.fold_count}", *given, *options.changes])
        count, folder = fold_count(recipe), options.output / TRAINING
        done = fit_folds(
            recipe,
            prepared(physionet, recipe, folder, options),
            folder,
            part=options.part,
            machine=options.machine,
            callbacks=lambda fold: options.callbacks(f"fold {fold + 1} of {count}"),
        )
        if rank_zero_only.rank or not done.is_complete:
            return Outcome(
                table, missing="folds of other parts are not finished; run the others, or again without --part"
            )
        files, folds = done.weights, read_folds(done.folds)
    return _scored(table, options, physionet, cases, files, folds, FoldNetworks.of(folds, files))


def _scored(
    table: str,
    options: ReproduceOptions,
    physionet: Path,
    cases: Sequence[Case],
    files: Sequence[Path],
    folds: Mapping[str, str],
    networks: FoldNetworks | None,
) -> Outcome:
    further = further_deviations(options, None if options.weights else options.output / TRAINING / CACHE)
    if options.as_authors:
        if (physionet / AUTHORS_FOLDER).is_dir():
            cases = with_brain_masks(cases, physionet / AUTHORS_FOLDER)
        else:
            further.append(
                Deviation(
                    "brain masks", f"the folder {AUTHORS_FOLDER}", "found from HU: the data set has no such folder"
                )
            )
    if options.weights and networks is not None:
        further.append(
            Deviation(
                "folds of the given files",
                "the published U-Net files are of the first release, which split slices",
                "file n is taken to have never met the patients of fold n",
            )
        )
    card = _card(store.card_of(table, files), as_authors=options.as_authors)
    method = SliceMethod(card, files, networks, options.device, options.precision)
    climb = CLIMBS.get(table, ()) if options.as_authors else ()
    protocol = SliceProtocol(
        folds, climb=climb, by_label=options.as_authors, resamples=options.resamples, seed=options.seed
    )
    evaluation = evaluate_slices(cases, [method], options.output / "evaluation", protocol, announce=options.announce)
    if evaluation.failures:
        first = evaluation.failures[0]
        further.append(
            Deviation("exams", "all", f"{len(evaluation.failures)} failed, first {first.case}: {first.message}")
        )
    group = evaluation.summary["methods"][card.name]["all"]
    return Outcome(
        table,
        figures_of(group),
        options.as_authors,
        f"PhysioNet CT-ICH layout: {group['patients']} patients, {group['slices']} slices, {group['outlined_slices']} "
        f"with blood in view; {len(set(folds.values()))} folds",
        named_digests(files),
        has_trained=not options.weights,
        further=further,
        settled=settled_topics(options),
    )


def figures_of(group: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The figures of all folds together under the keys of the published ones."""
    return {
        "dice": group["dice"],
        "iou": group["iou"],
        "hard_label_auc": group["hard_label_auc"],
        **group["detection"],
    }


def _card(card: ModelCard, *, as_authors: bool) -> ModelCard:
    """The card for PhysioNet: its windows, and the authors' mask rule where their quirks are on."""
    preprocessing = card.preprocessing
    if not isinstance(preprocessing, SlicePreprocessing):
        raise EvaluationError(f"{card.name}: its card shows it {type(preprocessing).__name__}, not slices.")
    options = {}
    if as_authors:
        preprocessing = replace(preprocessing, mask_sampling="floor")
        if card.predictor == "unet":
            options = {"inside_brain": False}
    if preprocessing.windows == RSNA_WINDOWS:  # the authors learn from these and look at PhysioNet through its own
        preprocessing = replace(preprocessing, windows=PHYSIONET_WINDOWS)
    return replace(with_options(card, options), preprocessing=preprocessing)


def _folds(cases: Sequence[Case], options: ReproduceOptions) -> dict[str, str]:
    """The given folds, or drawn ones, which are kept."""
    return read_folds(_folds_file(cases, options))


def _folds_file(cases: Sequence[Case], options: ReproduceOptions) -> Path:
    """The file of patients and folds in the output."""
    path = options.output / FOLDS
    path.parent.mkdir(parents=True, exist_ok=True)
    if options.folds is None:
        bleeds = {case.patient: any(case.slice_labels or ()) for case in cases}
        save_folds(bleeds, path, folds=options.fold_count, seed=options.seed)
        return path
    lines = [f"{patient},{fold}" for patient, fold in folds_of(options.folds, cases).items()]
    with replacing(path) as draft:
        draft.write_text("\n".join(["patient,fold", *lines]) + "\n", encoding="utf-8")
    return path
