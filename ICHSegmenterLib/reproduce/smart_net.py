"""SMART-Net's table: the upstream network, then exams classified and outlined from its encoder; given test part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ICHSegmenterLib.errors import EvaluationError, Failure
from ICHSegmenterLib.evaluation.cases import find_cases
from ICHSegmenterLib.evaluation.smart_net.evaluate import evaluate_smart_net
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.preprocessing.spec import SmartNetPreprocessing
from ICHSegmenterLib.reproduce.deviations import Deviation
from ICHSegmenterLib.reproduce.options import ReproduceOptions
from ICHSegmenterLib.reproduce.outcome import Outcome
from ICHSegmenterLib.reproduce.training import TRAINING, further_deviations, prepared, settled_topics, trained
from ICHSegmenterLib.training.fit import CACHE
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.digests import named_digests

METHODS = ("smart-net-up", "smart-net-cls", "smart-net-seg")
LAYOUT = ("data.layout=smart-net", "data.given_split=true", "data.folds=0")
AS_AUTHORS = ("precision=32-true", "preprocessing.mask_sampling=floor", "optimizer.schedule_lags=true")


def smart_net(table: str, options: ReproduceOptions) -> Outcome:
    """Train the three networks, or take weights in this order, and test each on the test part."""
    data = options.smart_net()
    files = _given(options) if options.weights else _trained(data, options)
    if rank_zero_only.rank:
        return Outcome(table, missing="the first process evaluates")
    cases = find_cases(data, "smart-net", options.output / "headers")
    figures: dict[str, Mapping[str, Any]] = {}
    failures: list[Failure] = []
    for method, file in files.items():
        card = store.card_of(method, (file,))
        if options.as_authors and isinstance(card.preprocessing, SmartNetPreprocessing):
            card = replace(card, preprocessing=replace(card.preprocessing, mask_sampling="floor"))
        tests, failed = evaluate_smart_net(
            cases,
            card,
            file,
            options.output / "evaluation" / method,
            device=options.device,
            resamples=options.resamples,
            seed=options.seed,
            announce=options.announce,
        )
        figures |= _named(method, tests)
        failures += failed
    further = further_deviations(options, None if options.weights else _cache(options))
    for failure in failures:
        ours = f"{failure.case} could not be scored by {failure.method}: {failure.message}"
        further.append(Deviation("exams", "all", ours))
    return Outcome(
        table,
        figures,
        options.as_authors,
        f"SMART-Net layout: test part of {len(cases)} exams",
        named_digests(files.values()),
        has_trained=not options.weights,
        further=further,
        settled=settled_topics(options),
    )


def _given(options: ReproduceOptions) -> dict[str, Path]:
    """The given files, one a network.

    Raises:
        EvaluationError: There are too many.
    """
    if len(options.weights) > len(METHODS):
        raise EvaluationError(f"smart-net takes one file for each of {', '.join(METHODS)}, in this order.")
    return dict(zip(METHODS, options.weights, strict=False))


def _trained(data: Path, options: ReproduceOptions) -> dict[str, Path]:
    """The three trainings, one after the other; the last two start from the first one's encoder."""
    files: dict[str, Path] = {}
    for method in METHODS:
        recipe = load_recipe(method, [*LAYOUT, *(AS_AUTHORS if options.as_authors else ()), *options.changes])
        if files:
            network = replace(recipe.network, initial_weights=str(files[METHODS[0]]))
            recipe = replace(recipe, network=network)
        if options.as_authors:
            recipe = replace(
                recipe, phases=tuple(replace(each, update_frozen_batchnorm=True) for each in recipe.phases)
            )
            if method != METHODS[0]:
                network = replace(recipe.network, config={**recipe.network.config, "per_depth": True})
                recipe = replace(recipe, network=network)
        folder = options.output / TRAINING / method
        cache = _cache(options) if files else prepared(data, recipe, folder, options)
        files[method] = trained(recipe, cache, folder, options, method)
    return files


def _cache(options: ReproduceOptions) -> Path:
    """The prepared data of all three trainings."""
    return options.output / TRAINING / METHODS[0] / CACHE


def _named(method: str, tests: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Figures under the keys of the published ones."""
    short = method.removeprefix("smart-net-")
    named: dict[str, Mapping[str, Any]] = {}
    for test, figures in tests.items():
        prefix = short if test == "exams" else f"{short}.{test}"
        for name, figure in figures.items():
            plain = figure if isinstance(figure, Mapping) else {"value": figure, "patients": figures["exams"]}
            named[f"{prefix}.{name}"] = plain
    return named
