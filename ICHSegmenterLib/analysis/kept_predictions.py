"""What methods predicted for the last exam, kept so that another threshold needs no network."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.notices.notice import Notice
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.volume.volume import Volume

MAX_KEPT_BYTES = 2_000_000_000
"""Maps of one method that are larger than this are not kept: 300 slices of 512 x 512 pixels and five labels are."""

T = TypeVar("T")


@dataclass(frozen=True)
class Kept(Generic[T]):
    """What was predicted, the warnings of that, and the reasons for which no verdict may be confident."""

    predicted: T
    warnings: tuple[Notice, ...]
    caps: tuple[str, ...]


class KeptPredictions(Generic[T]):
    """Predictions of the methods that ran on one exam; another exam takes their place."""

    def __init__(self) -> None:
        self._exam = ""
        self._kept: dict[str, Kept[T]] = {}

    def key(
        self, volume: Volume, request: AnalysisRequest, files: Sequence[Path], brain_mask: NDArray[np.bool_] | None
    ) -> str:
        """All that predictions depend on: voxels, grid, method and its options, weights. No threshold is among it."""
        self._begin(_digest(volume, brain_mask))
        weights = [f"{path}{path.stat().st_mtime_ns}" for path in files]
        what = "detect" if request.detection_only else "outline"
        return "|".join((request.method, what, str(sorted(request.card.option_values.items())), *weights))

    def get(self, key: str) -> Kept[T] | None:
        """What was predicted; None if it is not kept."""
        return self._kept.get(key)

    def put(self, key: str, kept: Kept[T], predictions: Sequence[SlicePrediction]) -> None:
        """Keep what was predicted, unless its maps are too large."""
        if sum(one.maps.nbytes for one in predictions if one.maps is not None) <= MAX_KEPT_BYTES:
            self._kept[key] = kept

    def clear(self) -> None:
        """Forget everything."""
        self._exam = ""
        self._kept.clear()

    def _begin(self, exam: str) -> None:
        if exam != self._exam:
            self.clear()
            self._exam = exam


def _digest(volume: Volume, brain_mask: NDArray[np.bool_] | None) -> str:
    """Checksum of an exam: its voxels, its grid, the mask that was given."""
    geometry = volume.geometry
    arrays = [volume.hu, geometry.column_step, geometry.row_step, geometry.slice_origins]
    digest = 0
    for array in (*arrays, *([] if brain_mask is None else [brain_mask])):
        digest = zlib.crc32(np.ascontiguousarray(array).data, digest)
    return f"{geometry.shape}{digest:08x}{volume.source.kernel}"
