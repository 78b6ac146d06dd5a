"""SMART-Net downstream: the exam classified by an LSTM over its slices, or outlined with 3D convolutions.

Kyung et al., Med Image Anal 2022 (babbu3682/SMART-Net, MIT). The encoder runs over slices in batches; what joins the
slices runs once. Order of the slices: inferior to superior, as the authors'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.checkpoints.checkpoint import load_checkpoint
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.methods.smart_net import slices as smart_net_slices
from ICHSegmenterLib.methods.smart_net.activation_maps import pooled_features
from ICHSegmenterLib.methods.smart_net.networks.downstream import SmartNetDownCls, SmartNetDownSeg
from ICHSegmenterLib.methods.unet.predictor import slice_probability
from ICHSegmenterLib.predictions import ExamPredictions, SlicePrediction
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.runtime.device import torch_dtype
from ICHSegmenterLib.runtime.networks import create_model

Network = TypeVar("Network", SmartNetDownCls, SmartNetDownSeg)
Loaded = TypeVar("Loaded", bound="_ExamPredictor[Any]")

REACH = 3
"""Slices above and below that the 3D operator's three convolutions see."""
CHUNK = 32
"""Slices whose maps the 3D operator joins at a time; 16 channels at full size take 4 MB a slice in float32."""


class _ExamPredictor(Generic[Network]):
    """One network that judges all slices of an exam together.

    Args:
        network: Filled with weights; changed to be faster.
        drop_empty_ends: Leave out slices without tissue at both ends, as training did and the authors' test does not.
    """

    network_type: type[Network]
    purpose: str
    in_float32: tuple[str, ...] = ()
    """Parts of the network that keep their precision."""

    def __init__(self, network: Network, *, device: str, precision: str, drop_empty_ends: bool = False):
        self.device, self.precision = device, precision
        self.batch_size = smart_net_slices.default_batch_size(device)
        self._dtype, self._drop_empty_ends = torch_dtype(precision), drop_empty_ends
        self._network: Network = network
        smart_net_slices.fit_for_inference(network, device, self._dtype, self.in_float32)

    @classmethod
    def load(cls: type[Loaded], card: ModelCard, weights: Sequence[Path], *, device: str, precision: str) -> Loaded:
        """The predictor of a model card."""
        smart_net_slices.one_file(card.title, len(weights))
        network = create_model(card.network, **card.network_config)
        if not isinstance(network, cls.network_type):
            raise ValueError(f"the card {card.name!r} names {card.network!r}, which does not {cls.purpose} volumes")
        load_checkpoint(network, weights[0])
        return cls(network, device=device, precision=precision, **card.option_values)

    @torch.inference_mode()
    def encode(self, exam: PreparedVolume, run: RunContext) -> smart_net_slices.EncodedSlices:
        """Features of each slice."""
        stack = smart_net_slices.stack_of(exam, drop_empty_ends=self._drop_empty_ends)
        return smart_net_slices.encode(self._network.encoder, stack, self.batch_size, self.device, self._dtype, run)


class SmartNetClsPredictor(_ExamPredictor[SmartNetDownCls]):
    """One volume classification network; its LSTM is small and stays in float32."""

    network_type, purpose, in_float32 = SmartNetDownCls, "classify", ("LSTM", "fc", "head")

    @torch.inference_mode()
    def predict(self, exam: PreparedVolume, run: RunContext) -> list[SlicePrediction]:
        """The network judges the exam; a slice's value is its answer to that slice alone, never above the exam's.

        The network was not trained for slices: theirs only order them, for the reader to look at.
        """
        stack = smart_net_slices.stack_of(exam, drop_empty_ends=self._drop_empty_ends)
        features = torch.cat(
            list(
                smart_net_slices.in_batches(
                    stack.slices,
                    self.batch_size,
                    self.device,
                    self._dtype,
                    run,
                    lambda batch: pooled_features(self._network.encoder(batch)[-1]),
                )
            )
        )
        whole = float(self._probabilities(features[None])[0])
        alone = self._probabilities(features[:, None]).clamp(max=whole).tolist()
        values = dict.fromkeys(range(exam.volume.geometry.shape[0]), 0.0)
        values.update((index, value) for index, value in zip(stack.indices, alone, strict=True))
        brain = set(exam.brain_slices)
        slices = (SlicePrediction(index, {ANY: value * (index in brain)}) for index, value in values.items())
        return ExamPredictions(slices, {ANY: whole})

    @torch.inference_mode()
    def encode(self, exam: PreparedVolume, run: RunContext) -> smart_net_slices.EncodedSlices:
        """Features of each slice, and the vector from which the exam is classified."""
        encoded = super().encode(exam, run)
        features = torch.from_numpy(encoded.vectors)[None].to(self.device)
        vector = self._network.pooled(features, torch.tensor([features.shape[1]]))[0]
        return replace(encoded, exam_vector=vector.cpu().numpy())

    def _probabilities(self, features: Tensor) -> Tensor:
        """Slice features (exams, slices, 2048) to (exams,)."""
        depths = torch.full((len(features),), features.shape[1])
        pooled = self._network.pooled(features, depths)
        return self._network.head(pooled).sigmoid().squeeze(1)


class SmartNetSegPredictor(_ExamPredictor[SmartNetDownSeg]):
    """One volume segmentation network."""

    network_type, purpose = SmartNetDownSeg, "outline"

    def __init__(
        self,
        network: SmartNetDownSeg,
        *,
        device: str,
        precision: str,
        drop_empty_ends: bool = False,
        inside_brain: bool = True,
    ):
        super().__init__(network, device=device, precision=precision, drop_empty_ends=drop_empty_ends)
        self._inside_brain = inside_brain

    @torch.inference_mode()
    def predict(self, exam: PreparedVolume, run: RunContext) -> list[SlicePrediction]:
        """The voxel probability inside the skull as map; the slice's value follows from it by the U-Net's rule."""
        stack = smart_net_slices.stack_of(exam, drop_empty_ends=self._drop_empty_ends)
        predictions = [SlicePrediction(index, {ANY: 0.0}) for index in range(exam.volume.geometry.shape[0])]
        maps = torch.cat(
            list(
                smart_net_slices.in_batches(
                    stack.slices, self.batch_size, self.device, self._dtype, run, self._network.slice_maps
                )
            )
        )
        probabilities = volume_probabilities(self._network, maps, run).cpu()
        if self._inside_brain:
            probabilities *= smart_net_slices.brain_of(exam, stack)
        for index, value, probability in zip(
            stack.indices, slice_probability(probabilities).tolist(), probabilities.numpy(), strict=True
        ):
            if index in exam.brain_slices:
                predictions[index] = SlicePrediction(index, {ANY: value}, stack.restore(probability[None]))
        return predictions


def volume_probabilities(network: SmartNetDownSeg, maps: Tensor, run: RunContext) -> Tensor:
    """Slice maps (slices, 16, H, W) through the 3D operator: float32 (slices, H, W).

    In overlapping chunks, so that a thin-slice exam fits into memory; equal to all slices at once.
    """
    chunks = []
    for start in range(0, len(maps), CHUNK):
        run.check()
        first, last = max(start - REACH, 0), min(start + CHUNK + REACH, len(maps))
        stack = maps[first:last].permute(1, 2, 3, 0)[None]  # (slices, 16, H, W) -> (1, 16, H, W, slices)
        logits = network.volume_logits(stack)[0, 0].float()
        chunks.append(logits[..., start - first : start - first + CHUNK].permute(2, 0, 1).sigmoid())
    return torch.cat(chunks)
