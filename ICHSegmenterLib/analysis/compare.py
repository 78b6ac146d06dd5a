"""Several methods on one exam: where they agree, what each measured, and the vote of all."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis.analyze import analyze, configured
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cards.table import NO_CONFIG, method_cards
from ICHSegmenterLib.errors import CancelledError, ICHSegmenterError
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.preprocessing.input_check import check_head_ct
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.pipeline import prepare
from ICHSegmenterLib.preprocessing.spec import NoPreprocessing
from ICHSegmenterLib.results import RESEARCH_NOTICE, AnalysisResult
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.runtime.device import check_device_request
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume
from ICHSegmenterLib.weights import store

logger = logging.getLogger(__name__)

MAJORITY = 0.5
"""A voxel is blood by vote if more than this fraction of the outlining methods say so."""
NO_FILES: Mapping[str, Sequence[Path]] = MappingProxyType({})
NO_OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class MethodFailure:
    """A method that gave no result: kind as of `errors`, and why."""

    method: str
    kind: str
    message: str


@dataclass(frozen=True)
class PairAgreement:
    """How far two methods outline the same blood: Dice, 0 to 1; 1 also where neither finds any."""

    first: str
    second: str
    dice: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """What several methods say of one exam.

    Attributes:
        geometry: The acquired grid.
        results: Method to its result, in the order asked for; only those that succeeded.
        failures: The methods that did not.
        pairs: Dice of the blood of every two methods that outline.
        agreement: float32 (slices, rows, columns): the fraction of the outlining methods that call the voxel blood.
    """

    geometry: VolumeGeometry
    results: Mapping[str, AnalysisResult]
    failures: tuple[MethodFailure, ...]
    pairs: tuple[PairAgreement, ...]
    agreement: NDArray[np.float32]

    @property
    def outlining(self) -> tuple[str, ...]:
        """The methods that outlined, in order."""
        return tuple(name for name, result in self.results.items() if result.segmentation is not None)

    @property
    def vote(self) -> NDArray[np.bool_]:
        """bool (slices, rows, columns): blood by majority."""
        return np.asarray(self.agreement > MAJORITY)

    @property
    def vote_ml(self) -> float:
        """Volume of the vote."""
        return float(self.vote.sum(axis=(1, 2)) @ self.geometry.voxel_volumes_mm3) / 1000.0

    def dice(self, first: str, second: str) -> float:
        """Dice of two outlining methods, in either order; 1 with itself."""
        if first == second:
            return 1.0
        found = [one.dice for one in self.pairs if {one.first, one.second} == {first, second}]
        if not found:
            raise ValueError(f"{first} and {second} were not compared; compared: {', '.join(self.outlining)}")
        return found[0]

    def to_json(self) -> dict[str, Any]:
        """Plain data for `agreement.json`; no voxels."""
        return {
            "notice": RESEARCH_NOTICE,
            "methods": {name: _summary(result) for name, result in self.results.items()},
            "failures": [{"method": one.method, "error": one.kind, "message": one.message} for one in self.failures],
            "dice": [{"first": one.first, "second": one.second, "dice": round(one.dice, 6)} for one in self.pairs],
            "vote": {"of": list(self.outlining), "more_than": MAJORITY, "blood_ml": round(self.vote_ml, 4)},
        }


def ready_methods() -> tuple[str, ...]:
    """The methods whose weights and Python packages are on this computer, in the order of the table."""
    return tuple(card.name for card in method_cards().values() if store.is_ready(card))


def compare(
    volume: Volume,
    methods: Sequence[str],
    *,
    weights: Mapping[str, Sequence[Path]] = NO_FILES,
    options: Mapping[str, Mapping[str, Any]] = NO_OPTIONS,
    device: str = "auto",
    precision: str = "auto",
    brain_mask: NDArray[np.bool_] | None = None,
    save_maps: bool = False,
    run: RunContext | None = None,
    session: Session | None = None,
) -> Comparison:
    """Run several methods on one exam; one that fails does not stop the others.

    Args:
        volume: HU on the acquired grid.
        methods: Names of `method_cards()`, each once; `ready_methods()` for all that can run.
        weights: Files to use instead of the installed ones, by method.
        options: Other values for options of a method, by method.
        device, precision, brain_mask, save_maps, run, session: As for `engine.analyze`.

    Raises:
        ModelNotFoundError: A method does not exist.
        DeviceError: No processor is called so.
        VolumeError: The volume is no head CT, so that no method could run.
        CancelledError: The run was cancelled.
        ValueError: No method, or one twice; weights or options for a method that is not run; an unknown option.
    """
    if not methods or len(set(methods)) < len(methods):
        raise ValueError(f"name each method once, got {', '.join(methods) or 'none'}")
    for given, what in ((weights, "weights"), (options, "options")):
        if unused := set(given) - set(methods):
            raise ValueError(f"{what} are given for {', '.join(sorted(unused))}, which is not among the methods to run")
    cards = [configured(name, options.get(name, NO_CONFIG), weights.get(name, ())) for name in methods]
    check_device_request(device, precision)
    run, session = run or RunContext(), session or Session()
    view = AxialView.of(volume.geometry)
    axial = volume if view.keeps_slices else view.volume(volume)
    check_head_ct(axial)
    if brain_mask is None:  # once for all methods
        run.report(0, 1, "Finding the brain")
        found = prepare(axial, NoPreprocessing()).brain_mask
        brain_mask = found if view.keeps_slices else view.undo(found)
    results: dict[str, AnalysisResult] = {}
    failures: list[MethodFailure] = []
    for card in cards:
        try:
            results[card.name] = analyze(
                volume,
                card.name,
                weights=weights.get(card.name, ()),
                options=options.get(card.name, NO_CONFIG),
                device=device,
                precision=precision,
                brain_mask=brain_mask,
                save_maps=save_maps,
                run=_run_of(run, card.title),
                session=session,
            )
        except CancelledError:
            raise
        except ICHSegmenterError as error:
            failures.append(MethodFailure(card.name, error.kind, str(error)))
        except Exception as error:  # a defect of one method must not hide what the others say
            logger.exception("%s: unexpected failure", card.name)
            failures.append(MethodFailure(card.name, "failed", f"Unexpected {type(error).__name__}: {error}"))
    return agreement_of(results, volume.geometry, failures)


def agreement_of(
    results: Mapping[str, AnalysisResult], geometry: VolumeGeometry, failures: Sequence[MethodFailure] = ()
) -> Comparison:
    """Compare results that are there already, all on the same acquired grid."""
    masks = {
        name: result.segmentation.blood_mask for name, result in results.items() if result.segmentation is not None
    }
    votes = np.zeros(geometry.shape, dtype=np.float32)
    for mask in masks.values():
        votes += mask
    pairs = tuple(PairAgreement(one, other, dice(masks[one], masks[other])) for one, other in combinations(masks, 2))
    return Comparison(geometry, dict(results), tuple(failures), pairs, votes / np.float32(max(1, len(masks))))


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """2 |A and B| / (|A| + |B|) of two masks; 1 if both are empty."""
    total = np.count_nonzero(one) + np.count_nonzero(other)
    return 2.0 * np.count_nonzero(one & other) / total if total else 1.0


def _run_of(run: RunContext, title: str) -> RunContext:
    """A run of one method that reports under its title; its warnings are its own."""
    return RunContext(lambda done, total, message: run.progress(done, total, f"{title}: {message}"), run.cancelled)


def _summary(result: AnalysisResult) -> dict[str, Any]:
    plain = {
        "title": result.provenance.title,
        "verdict": result.verdict,
        "positive": result.detection.is_positive,
        "value_name": result.provenance.value_name,
        "any": round(float(result.detection.exam_probabilities[ANY]), 6),
        "positive_slices": len(result.detection.positive_slices),
        "seconds": round(sum(result.provenance.seconds.values()), 3),
    }
    if result.segmentation is not None:
        plain["blood_ml"] = round(result.blood_ml, 4)
        plain["segments_ml"] = {one.key: round(one.volume_ml, 4) for one in result.measurements}
    return plain
