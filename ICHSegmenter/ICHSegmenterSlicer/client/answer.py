"""The worker's answer, parsed once: results with their arrays, which stay on disk until they are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.agreement import Agreement
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.protocol import Message
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.geometry import VolumeGeometry

ARRAYS = ("labelmap", "maps", "uncertainty", "below_threshold")
"""Fields of a "result" message that name files in the job's folder, in the order of `AnalysisResult.from_json`."""


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer of one method.

    Attributes:
        plain: Content of `result.json`, as the worker sent it.
        result: The same, parsed, with its arrays.
        activation: float32 (slices, rows, columns), 0 to 1, of an encoder; None unless asked for.
    """

    plain: Message
    result: AnalysisResult
    activation: NDArray[np.float32] | None = None

    @classmethod
    def fromMessage(cls, message: Message, folder: Path, geometry: VolumeGeometry, *, inMemory: bool = False) -> Answer:
        """The parsed answer.

        Args:
            message: The worker's "result" line, or a part of that of a comparison.
            folder: Folder of the job; arrays lie there.
            geometry: The acquired grid of the exam.
            inMemory: Read the arrays now, because the folder will go.

        Raises:
            ResultError: It is incomplete, or of a format that this version does not read.
        """
        arrays = [_array(message, name, folder, inMemory) for name in ARRAYS]
        # Detections are of axial slices; masks lie on the acquired grid.
        axial = AxialView.at_border(geometry).geometry(geometry)
        result = AnalysisResult.from_json(message["result"], axial, *arrays)
        if result.segmentation is not None:
            result = replace(result, segmentation=replace(result.segmentation, geometry=geometry))
        return cls(message["result"], result, _array(message, "activation", folder, inMemory))


@dataclass(frozen=True, eq=False)
class ComparisonAnswer:
    """The answers of several methods.

    Attributes:
        agreement: How far they agree, and which ones failed.
        results: One for each that succeeded.
        vote: Their majority, None if all failed.
    """

    agreement: Agreement
    results: tuple[Answer, ...]
    vote: Answer | None

    @classmethod
    def fromMessage(cls, message: Message, folder: Path, geometry: VolumeGeometry) -> ComparisonAnswer:
        """The parsed answer; arguments and errors are those of `Answer.fromMessage`."""
        vote = message["vote"]
        return cls(
            Agreement.from_json(message["agreement"]),
            tuple(Answer.fromMessage(part, folder, geometry) for part in message["results"]),
            None if vote is None else Answer.fromMessage(vote, folder, geometry),
        )


def _array(message: Message, field: str, folder: Path, inMemory: bool) -> NDArray[Any] | None:
    name = message.get(field)
    return np.load(folder / name, mmap_mode=None if inMemory else "r") if name else None
