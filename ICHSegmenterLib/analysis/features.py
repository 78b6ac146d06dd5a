"""The features of an exam: vectors to compare slices and exams by, and where the encoder is active."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cards.table import MODEL_CARDS, NO_CONFIG, with_options
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume, prepare
from ICHSegmenterLib.preprocessing.spec import SmartNetPreprocessing
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.volume.volume import Volume
from ICHSegmenterLib.weights import store

if TYPE_CHECKING:
    from ICHSegmenterLib.methods.smart_net.slices import EncodedSlices

FEATURE_METHODS = tuple(
    card.name for card in MODEL_CARDS.values() if isinstance(card.preprocessing, SmartNetPreprocessing)
)


@runtime_checkable
class Encoder(Protocol):
    """A predictor that can show what its encoder makes of an exam."""

    def encode(self, exam: PreparedVolume, run: RunContext) -> EncodedSlices:
        """Features and activation of each slice that the network sees."""
        ...


@dataclass(frozen=True, eq=False)
class ExamFeatures:
    """What an encoder makes of an exam.

    Attributes:
        slice_indices: Of the axial slices that the network saw, in the acquired array; from inferior to superior.
        slice_vectors: float32 (slices seen, 2048).
        exam_vector: float32: the vector that classifies the exam, else the mean of its slices' vectors.
        activation: float32 (slices, rows, columns) in [0, 1] on the acquired grid; 0 where the network saw nothing.
    """

    slice_indices: tuple[int, ...]
    slice_vectors: NDArray[np.float32]
    exam_vector: NDArray[np.float32]
    activation: NDArray[np.float32]


def extract_features(
    volume: Volume,
    method: str,
    *,
    weights: Sequence[Path] = (),
    device: str = "auto",
    precision: str = "auto",
    options: Mapping[str, Any] = NO_CONFIG,
    run: RunContext | None = None,
    session: Session | None = None,
) -> ExamFeatures:
    """Run only the encoder of a method on one head CT.

    Args:
        volume: HU on the acquired grid.
        method: One of `FEATURE_METHODS`.
        weights, device, precision, options, run, session: As for `engine.analyze`.

    Raises:
        ICHSegmenterError: Typed.
        ValueError: The method has no such features.
    """
    card = store.card_of(method, weights)
    if not isinstance(card.preprocessing, SmartNetPreprocessing):
        raise ValueError(f"{method} has no features to show; available: {', '.join(FEATURE_METHODS)}")
    run, session = run or RunContext(), session or Session()
    view = AxialView.of(volume.geometry)
    axial = volume if view.keeps_slices else view.volume(volume)
    card = with_options(card, options)
    predictor = session.predictor(card, store.find(card, weights), session.device(card, device, precision))
    if not isinstance(predictor, Encoder):
        raise ValueError(f"the predictor of {method} shows no features")
    found = predictor.encode(prepare(axial, card.preprocessing, np.ones(axial.geometry.shape, dtype=bool)), run)
    activation = np.zeros(axial.geometry.shape, dtype=np.float32)
    for index, one in zip(found.stack.indices, found.maps, strict=True):
        activation[index] = found.stack.restore(one)
    vector = found.vectors.mean(axis=0) if found.exam_vector is None else found.exam_vector
    on_grid = activation if view.keeps_slices else np.ascontiguousarray(view.undo(activation))
    return ExamFeatures(found.stack.indices, found.vectors, vector, on_grid)
