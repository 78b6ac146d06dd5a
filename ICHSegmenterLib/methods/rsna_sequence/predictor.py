"""Slice-and-sequence transformer: six probabilities for each slice, each slice judged in the light of the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.errors import VolumeError, WeightsMissingError
from ICHSegmenterLib.labels import SUBTYPE_LABELS
from ICHSegmenterLib.methods.from_card import load_network
from ICHSegmenterLib.methods.packed_linear import pack_linear_layers
from ICHSegmenterLib.methods.rsna_sequence import input as series_cube
from ICHSegmenterLib.methods.rsna_sequence.ensemble import combine
from ICHSegmenterLib.methods.rsna_sequence.network import SERIES_LENGTH, SliceSequenceTransformer
from ICHSegmenterLib.methods.test_time_augmentation import mirrored
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.preprocessing.spec import SeriesPreprocessing
from ICHSegmenterLib.protocol import Phase
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.runtime.device import torch_dtype

CPU_BATCH_SIZE, GPU_BATCH_SIZE = 4, 60
BYTE_MAXIMUM = 255.0
AUTHORS_PREPROCESSING = SeriesPreprocessing()
POSITION_DECIMALS = 4
"""Positions that differ less are equal when slices are sorted by x, y and z."""


class RsnaSequencePredictor:
    """One network, or the authors' ensemble of three.

    Args:
        networks: Filled with weights; with three, best first as the authors weight them.
        masked: False pads with zero slices to 60 as the authors' evaluation does, and these take part in attention.
            True shows the sequence network only the slices there are.
        xyz_order: Sort slices by x, then y, then z as the authors do, instead of by true position: where y changes from
            slice to slice, as in some tilted scans, their order may run from the top to the bottom.
        tta: Each network also sees the mirrored series, as in its training; probabilities are averaged.
    """

    def __init__(
        self,
        networks: Sequence[SliceSequenceTransformer],
        *,
        device: str,
        precision: str,
        masked: bool = False,
        xyz_order: bool = False,
        tta: bool = False,
    ) -> None:
        self.device, self.precision = device, precision
        self.masked, self.xyz_order, self.tta = masked, xyz_order, tta
        self.batch_size = CPU_BATCH_SIZE if device == "cpu" else GPU_BATCH_SIZE
        self._dtype = torch_dtype(precision)
        self._networks = [network.requires_grad_(False).eval().to(device) for network in networks]
        for network in self._networks:
            network.backbone.to(self._dtype)  # the sequence part is small and stays in float32
            pack_linear_layers(network.backbone)

    @classmethod
    def load(cls, card: ModelCard, weights: Sequence[Path], *, device: str, precision: str) -> RsnaSequencePredictor:
        """The predictor of a model card, one network a file."""
        if not weights:
            raise WeightsMissingError(
                f"{card.title} needs a weight file; choose one with --weights FILE.", Cause.WEIGHTS_MISSING
            )
        networks = [cast(SliceSequenceTransformer, load_network(card, path)) for path in weights]
        return cls(networks, device=device, precision=precision, **card.option_values)

    @torch.inference_mode()
    def predict(self, exam: PreparedVolume, run: RunContext) -> list[SlicePrediction]:
        """Six probabilities for each slice; thin slices share those of their group.

        Raises:
            VolumeError: More slices with brain than the network has positions for.
        """
        if not isinstance(exam.preprocessing, SeriesPreprocessing):
            raise ValueError(f"{type(exam.preprocessing).__name__} makes no series")
        hu = exam.view.apply(exam.volume.hu)
        used, groups = _slices_to_show(exam, len(hu))
        order = _xyz_order(exam, used) if self.xyz_order else used
        cube = series_cube.windowed_cube(series_cube.grouped(hu[order], groups), exam.preprocessing.windows)
        slices = torch.from_numpy(series_cube.network_slices(cube, exam.preprocessing.side))
        values = self._ensemble(slices, run)
        axial = np.zeros((len(hu), len(SUBTYPE_LABELS)), dtype=np.float32)
        axial[order] = values[groups]
        return [
            SlicePrediction(
                index,
                dict(zip(SUBTYPE_LABELS, map(float, axial[exam.view.acquired_index(index, len(hu))]), strict=True)),
            )
            for index in range(len(hu))
        ]

    @torch.inference_mode()
    def predict_series(
        self,
        hu: NDArray[np.float32],
        preprocessing: SeriesPreprocessing = AUTHORS_PREPROCESSING,
        run: RunContext | None = None,
    ) -> NDArray[np.float32]:
        """Six probabilities (slices, 6) for HU (slices, rows, columns), in the order given and as stored.

        No brain is looked for and no slices are averaged. More slices than the network has positions for are shown in
        equal parts, each as a series of its own.
        """
        run = run or RunContext()
        cube = series_cube.windowed_cube(hu, preprocessing.windows)
        slices = torch.from_numpy(series_cube.network_slices(cube, preprocessing.side))
        parts = np.array_split(np.arange(len(slices)), -(-len(slices) // SERIES_LENGTH))
        return np.concatenate([self._ensemble(slices[part[0] : part[-1] + 1], run) for part in parts])

    def _ensemble(self, slices: torch.Tensor, run: RunContext) -> NDArray[np.float32]:
        views = [slices, mirrored(slices)] if self.tta else [slices]
        total = len(slices) * len(views) * len(self._networks)
        run.report(0, total, Phase.PREDICTING)
        each = []
        for number, network in enumerate(self._networks):
            probabilities = []
            for pass_number, view in enumerate(views, start=number * len(views)):
                features = self._features(network, view, run, pass_number * len(slices), total)
                probabilities.append(network.sequence(features)[: len(slices)].sigmoid().cpu().numpy())
            each.append(np.mean(probabilities, axis=0))
        return combine(each).astype(np.float32)

    def _features(
        self, network: SliceSequenceTransformer, slices: torch.Tensor, run: RunContext, before: int, total: int
    ) -> torch.Tensor:
        """(slices, width), padded to 60 with the features of a zero slice unless masked."""
        parts = []
        for start in range(0, len(slices), self.batch_size):
            batch = slices[start : start + self.batch_size].to(self.device, self._dtype) / BYTE_MAXIMUM
            parts.append(network.features(batch).float())
            run.report(before + min(start + self.batch_size, len(slices)), total, Phase.PREDICTING)
        if not self.masked and len(slices) < SERIES_LENGTH:
            empty = torch.zeros(1, *slices.shape[1:], device=self.device, dtype=self._dtype)
            parts.append(network.features(empty).float().expand(SERIES_LENGTH - len(slices), -1))
        return torch.cat(parts)


def _xyz_order(exam: PreparedVolume, used: slice) -> NDArray[np.intp]:
    """The axial indices of the used slices, sorted by the x, y and z of their acquired corners."""
    corners = np.round(exam.volume.geometry.slice_origins, POSITION_DECIMALS)
    acquired = np.lexsort(corners.T[::-1])
    axial = np.array([exam.view.acquired_index(int(index), len(acquired)) for index in acquired])
    return axial[(axial >= used.start) & (axial < used.stop)]


def _slices_to_show(exam: PreparedVolume, slices: int) -> tuple[slice, NDArray[np.intp]]:
    """The axial slices that the network sees, and the group of each: all, or those with brain if they are too many."""
    step_mm = exam.volume.geometry.slice_step_mm
    groups = series_cube.slice_groups(slices, step_mm)
    if groups[-1] < SERIES_LENGTH:
        return slice(0, slices), groups
    axial = [exam.view.acquired_index(index, slices) for index in exam.brain_slices] or [0, slices - 1]
    used = slice(min(axial), max(axial) + 1)
    groups = series_cube.slice_groups(used.stop - used.start, step_mm)
    if groups[-1] >= SERIES_LENGTH:
        numbers = {"slices": int(groups[-1]) + 1, "step_mm": step_mm, "limit": SERIES_LENGTH}
        raise VolumeError(ErrorNotice(ErrorCode.TOO_MANY_SLICES, numbers))
    return used, groups
