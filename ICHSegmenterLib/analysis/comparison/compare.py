"""Several methods on one exam: where they agree, what each measured, and the vote of all."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.agreement import MAJORITY, Agreement, MethodSummary, PairAgreement
from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.border import as_acquired
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.errors import CancelledError, Failure, ICHSegmenterError
from ICHSegmenterLib.preprocessing.input_check import check_head_ct
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.pipeline import prepare
from ICHSegmenterLib.preprocessing.spec import NoPreprocessing
from ICHSegmenterLib.protocol import Phase
from ICHSegmenterLib.request import CompareRequest
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.overlap import dice
from ICHSegmenterLib.volume.volume import Volume

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Comparison:
    """The answers of several methods to one exam.

    Attributes:
        geometry: The acquired grid.
        results: Method to its result, in the order asked for; only those that succeeded.
        failures: The methods that did not.
        pairs: Dice of the blood of every two methods that outline.
        agreement: float32 (slices, rows, columns): the fraction of the outlining methods that call the voxel blood.
    """

    geometry: VolumeGeometry
    results: Mapping[str, AnalysisResult]
    failures: tuple[Failure, ...]
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

    @property
    def summary(self) -> Agreement:
        """The comparison in numbers, without voxels."""
        methods = {name: MethodSummary.from_result(result) for name, result in self.results.items()}
        return Agreement(methods, self.failures, self.pairs, self.outlining, self.vote_ml)

    def dice(self, first: str, second: str) -> float:
        """Dice of two outlining methods, in either order; 1 with itself."""
        return self.summary.dice(first, second)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `agreement.json`; no voxels."""
        return self.summary.to_json()


def compare(
    volume: Volume,
    request: CompareRequest,
    context: RunContext | None = None,
    session: Session | None = None,
    *,
    brain_mask: NDArray[np.bool_] | None = None,
) -> Comparison:
    """Run several methods on one exam; one that fails does not stop the others.

    Args:
        volume: HU on the acquired grid.
        request: The methods and their settings.
        context, session, brain_mask: As for `analyze`.

    Raises:
        VolumeError: The volume is no head CT, so that no method could run.
        CancelledError: The run was cancelled.
    """
    context, session = context or RunContext(), session or Session()
    view = AxialView.at_border(volume.geometry)
    axial = view.volume(volume)
    check_head_ct(axial)
    if brain_mask is None:  # once for all methods
        context.report(0, 1, Phase.FINDING_BRAIN)
        mask = prepare(axial, NoPreprocessing()).brain_mask
    else:
        mask = view.apply(brain_mask)
    results: dict[str, AnalysisResult] = {}
    failures: list[Failure] = []
    for method in request.methods:
        part = request.of_method(method)
        try:
            result = analyze(axial, part, context.of_method(method), session, brain_mask=mask)
            results[method] = as_acquired(result, view, volume)
        except CancelledError:
            raise
        except ICHSegmenterError as error:
            failures.append(Failure.of(error, method=method))
        except Exception as error:  # a defect of one method must not hide what the others say
            logger.exception("%s: unexpected failure", method)
            failures.append(Failure("failed", f"Unexpected {type(error).__name__}: {error}", method=method))
    return agreement_of(results, volume.geometry, failures)


def agreement_of(
    results: Mapping[str, AnalysisResult], geometry: VolumeGeometry, failures: Sequence[Failure] = ()
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
