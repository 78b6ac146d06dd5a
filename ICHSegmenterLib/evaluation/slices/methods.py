"""A method under the slice protocol: its card, its network or one network a fold, and what its scores depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.json.writer import what_runs
from ICHSegmenterLib.errors import EvaluationError
from ICHSegmenterLib.evaluation.fold_networks import FoldNetworks
from ICHSegmenterLib.methods.slice_batches import SliceNetwork
from ICHSegmenterLib.weights.digests import named_digests


@dataclass(frozen=True)
class SliceMethod:
    """One method.

    Attributes:
        card: With its options set.
        files: Its weights; an ensemble if several and no `folds`.
        folds: Which file never met which patient; None: all files for everyone.
        device, precision: As of a request.
        session: Keeps networks warm.
    """

    card: ModelCard
    files: Sequence[Path]
    folds: FoldNetworks | None = None
    device: str = "auto"
    precision: str = "auto"
    session: Session = field(default_factory=Session)

    @property
    def name(self) -> str:
        """Of the card."""
        return self.card.name

    @property
    def searches_threshold(self) -> bool:
        """True if its outline is a map cut at a threshold that is searched on other patients."""
        return self.card.predictor == "swin_map"

    def files_of(self, patient: str) -> Sequence[Path]:
        """The weights for one patient."""
        return self.files if self.folds is None else (self.folds.file_of(patient),)

    def network(self, patient: str) -> SliceNetwork:
        """The network for one patient.

        Raises:
            EvaluationError: The method does not judge single slices.
        """
        device = self.session.device(self.card, self.device, self.precision)
        predictor = self.session.predictor(self.card, self.files_of(patient), device)
        if not isinstance(predictor, SliceNetwork):
            raise EvaluationError(
                f"{self.name} judges no single slices, so the slice protocol cannot look at them. Use --protocol exams."
            )
        return predictor

    def facts(self, patient: str, brain: str) -> dict[str, Any]:
        """What the scores of a patient depend on, besides the exam; the brain mask is named by its origin."""
        return {
            "card": what_runs(self.card),
            "options": dict(self.card.option_values),
            "weights": named_digests(self.files_of(patient)),
            "precision": self.precision,
            "brain": brain,
        }
