"""The features of an exam: vectors to compare slices and exams by, and where the encoder is active."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cards.table import MODEL_CARDS
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume, prepare
from ICHSegmenterLib.preprocessing.spec import SmartNetPreprocessing
from ICHSegmenterLib.request import AnalysisRequest
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
    """Features of an exam.

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
    request: AnalysisRequest,
    context: RunContext | None = None,
    session: Session | None = None,
) -> ExamFeatures:
    """Run only the encoder of a method on one head CT.

    Args:
        volume: HU on the acquired grid.
        request: Its method is one of `FEATURE_METHODS`; thresholds and outputs have no meaning here.
        context: Progress and cancellation.
        session: Keeps networks warm between exams.

    Raises:
        ICHSegmenterError: Typed.
        ValueError: The method has no such features.
    """
    if not isinstance(request.card.preprocessing, SmartNetPreprocessing):
        raise ValueError(f"{request.method} has no features to show; available: {', '.join(FEATURE_METHODS)}")
    context, session = context or RunContext(), session or Session()
    view = AxialView.at_border(volume.geometry)
    axial, card = view.volume(volume), request.card
    device = session.device(card, request.device, request.precision)
    predictor = session.predictor(card, store.find(card, request.weights), device)
    if not isinstance(predictor, Encoder):
        raise ValueError(f"the predictor of {request.method} shows no features")
    whole = np.ones(axial.geometry.shape, dtype=bool)
    encoded = predictor.encode(prepare(axial, card.preprocessing, whole), context)
    activation = np.zeros(axial.geometry.shape, dtype=np.float32)
    for index, slice_map in zip(encoded.stack.indices, encoded.maps, strict=True):
        activation[index] = encoded.stack.restore(slice_map)
    vector = encoded.vectors.mean(axis=0) if encoded.exam_vector is None else encoded.exam_vector
    return ExamFeatures(encoded.stack.indices, encoded.vectors, vector, np.ascontiguousarray(view.undo(activation)))
