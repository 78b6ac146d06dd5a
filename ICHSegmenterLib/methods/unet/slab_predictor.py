"""The network with context on an exam: every slab once, with its neighbors, and maps back on the acquired slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.errors import WeightsMissingError
from ICHSegmenterLib.labels import ANY, SUBTYPE_LABELS
from ICHSegmenterLib.methods.from_card import load_network
from ICHSegmenterLib.methods.test_time_augmentation import binary_entropy, mirrored
from ICHSegmenterLib.methods.unet.predictor import BACKGROUND, slice_probability
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.preprocessing.pipeline import MIN_BRAIN_AREA_CM2, PreparedVolume
from ICHSegmenterLib.preprocessing.slabs import SlabGrid, neighbor_table, weighted, windowed
from ICHSegmenterLib.preprocessing.spec import SlabPreprocessing
from ICHSegmenterLib.protocol import Phase
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.runtime.device import torch_dtype

CPU_BATCH_SIZE, GPU_BATCH_SIZE = 4, 32
FAINT = 0.02
"""Maps below are taken for zero, so that most of a scan need not be brought back."""


class SlabUnetPredictor:
    """Mean of networks that see a slab with its neighbors.

    Args:
        networks: float32, filled with weights; they are moved to the device and precision.
        preprocessing: What they are shown.
        with_subtypes: They have six classes: background and the subtypes.
        tta: Each network also sees the mirrored slabs.
        min_pixels: A slice's value is what so many pixels of blood reach, at the network's size.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        preprocessing: SlabPreprocessing,
        *,
        device: str,
        precision: str,
        with_subtypes: bool = True,
        tta: bool = False,
        min_pixels: int = 11,
    ) -> None:
        if not networks:
            raise ValueError("an ensemble needs at least one network")
        if min_pixels < 1:
            raise ValueError(f"min_pixels must be at least 1, got {min_pixels}")
        self.device, self.precision, self.tta, self.min_pixels = device, precision, tta, min_pixels
        self.labels = SUBTYPE_LABELS if with_subtypes else (ANY,)
        self.batch_size = CPU_BATCH_SIZE if device == "cpu" else GPU_BATCH_SIZE
        self._preprocessing = preprocessing
        self._dtype = torch_dtype(precision)
        self._networks = [
            network.requires_grad_(False).eval().to(device=device, dtype=self._dtype) for network in networks
        ]

    @classmethod
    def load(cls, card: ModelCard, weights: Sequence[Path], *, device: str, precision: str) -> SlabUnetPredictor:
        """The predictor of a model card.

        Raises:
            WeightsError: no file, or a file does not fit.
        """
        if not weights:
            raise WeightsMissingError(
                f"{card.title} needs at least one weight file; download or import one.", Cause.WEIGHTS_MISSING
            )
        if not isinstance(card.preprocessing, SlabPreprocessing):
            raise ValueError(f"{card.name}: its network sees slabs, not {type(card.preprocessing).__name__}")
        networks = [load_network(card, path) for path in weights]
        return cls(
            networks,
            card.preprocessing,
            device=device,
            precision=precision,
            with_subtypes=card.knows_subtypes,
            **card.option_values,
        )

    def predict(self, exam: PreparedVolume, run: RunContext) -> list[SlicePrediction]:
        """Each class of blood as a map on every acquired slice that shows any.

        Raises:
            CancelledError: between two batches.
        """
        return self.begin(exam, run)()

    @torch.inference_mode()
    def begin(self, exam: PreparedVolume, run: RunContext) -> Callable[[], list[SlicePrediction]]:
        """All of `predict` up to the slabs' maps; the rest lays them on the slices."""
        grid = SlabGrid.of(exam.volume.geometry, exam.brain_mask, self._preprocessing)
        slabs = grid.forward(exam.volume.hu)
        todo = self._slabs_with_brain(grid, exam.brain_mask)
        side = self._preprocessing.side
        maps = np.zeros((grid.count, max(1, len(self.labels) - 1), side, side), dtype=np.float32)
        entropy = np.zeros((grid.count, 1, side, side), dtype=np.float32) if self._averages else None
        weights = neighbor_table(grid.positions_mm, self._preprocessing)
        run.report(0, len(todo), Phase.PREDICTING)
        for start in range(0, len(todo), self.batch_size):
            batch = todo[start : start + self.batch_size]
            shown = np.stack(
                [windowed(slabs[one], weighted(slabs, weights[one]), self._preprocessing) for one in batch]
            )
            blood = self._blood(torch.from_numpy(shown).to(self.device, self._dtype))
            maps[batch] = blood.masked_fill(blood < FAINT, 0).cpu().numpy()
            if entropy is not None:
                entropy[batch, 0] = _entropy(blood.sum(dim=1)).cpu().numpy()
            run.report(start + len(batch), len(todo), Phase.PREDICTING)

        def on_slices() -> list[SlicePrediction]:
            return [self._on_slice(index, grid, maps, entropy, brain) for index, brain in enumerate(exam.brain_mask)]

        return on_slices

    @property
    def _averages(self) -> bool:
        return self.tta or len(self._networks) > 1

    def _slabs_with_brain(self, grid: SlabGrid, brain_mask: NDArray[np.bool_]) -> list[int]:
        """Slabs of which any acquired slice has `MIN_BRAIN_AREA_CM2` of brain, ascending."""
        geometry = grid.geometry
        row_mm, column_mm = geometry.pixel_spacing_mm
        area = np.count_nonzero(grid.view.apply(brain_mask), axis=(1, 2)) * row_mm * column_mm / 100
        slices = np.flatnonzero(area >= MIN_BRAIN_AREA_CM2)
        return sorted({int(index) // grid.slices_a_slab for index in slices})

    def _on_slice(
        self,
        index: int,
        grid: SlabGrid,
        maps: NDArray[np.float32],
        entropy: NDArray[np.float32] | None,
        brain: NDArray[np.bool_],
    ) -> SlicePrediction:
        seen = grid.mixed(maps, index)
        if not seen.any():
            return SlicePrediction(index, dict.fromkeys(self.labels, 0.0))
        label_maps = torch.from_numpy(np.concatenate((seen, seen.sum(axis=0)[None]))[-len(self.labels) :])
        values = slice_probability(label_maps, self.min_pixels).tolist()
        on_slice = grid.inverse(maps, index, within=brain)  # outside the skull nothing bleeds intracranially
        doubt = None if entropy is None else grid.inverse(entropy, index, within=brain)[0]
        return SlicePrediction(index, dict(zip(self.labels, values, strict=True)), on_slice, doubt)

    def _blood(self, slabs: torch.Tensor) -> torch.Tensor:
        """Mean probabilities float32 (B, classes of blood, side, side) of networks and flips."""
        mean = self._mean(slabs)
        if self.tta:
            mean += mirrored(self._mean(mirrored(slabs)))
            mean /= 2
        return mean

    def _mean(self, slabs: torch.Tensor) -> torch.Tensor:
        first, *others = (network(slabs).float().softmax(dim=1)[:, BACKGROUND + 1 :] for network in self._networks)
        for other in others:
            first += other
        return first.div_(len(self._networks)) if others else first


def _entropy(total: torch.Tensor) -> torch.Tensor:
    """Entropy of probabilities of blood, 0 where they are faint, as they are nearly everywhere."""
    entropy, is_seen = torch.zeros_like(total), total >= FAINT
    entropy[is_seen] = binary_entropy(total[is_seen])
    return entropy
