"""SMART-Net upstream: each slice by itself, classified and outlined by heads on one encoder.

Kyung et al., Med Image Anal 2022 (babbu3682/SMART-Net, MIT). The reconstruction head only serves training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.checkpoints.checkpoint import load_checkpoint
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.methods.smart_net import slices as smart_net_slices
from ICHSegmenterLib.methods.smart_net.input import SmartNetStack
from ICHSegmenterLib.methods.smart_net.networks.upstream import SmartNetUp
from ICHSegmenterLib.methods.unet.predictor import slice_probability
from ICHSegmenterLib.notices.run_notice import RunCode, RunNotice
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.runtime.device import torch_dtype
from ICHSegmenterLib.runtime.networks import create_model

FULL = "full"
"""The authors' network with all heads; the option `variant` names the others that say something of blood."""


class SmartNetUpPredictor:
    """One upstream network.

    Args:
        network: Filled with weights; changed to be faster.
        mode: "stacked" or "slice-wise", see `smart_net_slices.MODES`.
        inside_brain: Nothing outside the brain mask is outlined, which is not so with the authors.
    """

    def __init__(
        self,
        network: SmartNetUp,
        *,
        device: str,
        precision: str,
        mode: str = smart_net_slices.STACKED,
        inside_brain: bool = True,
    ):
        smart_net_slices.check_mode(mode)
        if not {"cls", "seg"} & set(network.tasks):
            raise ValueError("this network only reconstructs slices; choose one with a cls or seg head")
        self.device, self.precision = device, precision
        self.batch_size = smart_net_slices.default_batch_size(device)
        self._mode, self._dtype, self._network = mode, torch_dtype(precision), network
        self._inside_brain = inside_brain
        smart_net_slices.fit_for_inference(network, device, self._dtype)

    @classmethod
    def load(cls, card: ModelCard, weights: Sequence[Path], *, device: str, precision: str) -> SmartNetUpPredictor:
        """The predictor of a model card; its option `variant` names the network that the file was trained for."""
        options = card.option_values
        variant, mode = options.get("variant", FULL), str(options.get("mode", smart_net_slices.STACKED))
        smart_net_slices.one_file(card.title, len(weights))
        name = card.network if variant == FULL else f"{card.network}_{variant}"
        network = create_model(name, **card.network_config)
        if not isinstance(network, SmartNetUp):
            raise ValueError(f"the card {card.name!r} names {card.network!r}, which is not an upstream SMART-Net")
        load_checkpoint(network, weights[0])
        inside_brain = bool(options.get("inside_brain", True))
        return cls(network, device=device, precision=precision, mode=mode, inside_brain=inside_brain)

    @torch.inference_mode()
    def predict(self, exam: PreparedVolume, run: RunContext) -> list[SlicePrediction]:
        """The cls probability as "any", the seg probability inside the skull as map.

        Without a cls head "any" is the U-Net's rule on the map; without a seg head nothing is outlined.
        """
        if "seg" not in self._network.tasks:
            run.warn(RunNotice(RunCode.ONLY_CLASSIFIES))
        stack, shown, predictions = self._slices_to_show(exam)
        if not shown:
            return predictions
        batches = list(
            smart_net_slices.in_batches(
                stack.slices[shown], self.batch_size, self.device, self._dtype, run, self._probabilities
            )
        )
        values, maps = (torch.cat(parts).cpu() for parts in zip(*batches, strict=True))
        if self._inside_brain:
            maps *= smart_net_slices.brain_of(exam, stack)[shown]
        if "cls" not in self._network.tasks:
            values = slice_probability(maps)
        for number, value, probability in zip(shown, values.tolist(), maps.numpy(), strict=True):
            index = stack.indices[number]
            outline = stack.restore(probability[None]) if "seg" in self._network.tasks else None
            predictions[index] = SlicePrediction(index, {ANY: value}, outline)
        return predictions

    @torch.inference_mode()
    def detect(self, exam: PreparedVolume, run: RunContext) -> list[SlicePrediction]:
        """The same values without maps, by encoder and cls head alone; without a cls head the map has to be made."""
        if "cls" not in self._network.tasks:
            return [SlicePrediction(each.index, each.probabilities) for each in self.predict(exam, run)]
        stack, shown, predictions = self._slices_to_show(exam)
        batches = smart_net_slices.in_batches(
            stack.slices[shown], self.batch_size, self.device, self._dtype, run, self._slice_values
        )
        values = [value for batch in batches for value in batch.tolist()]
        for number, value in zip(shown, values, strict=True):
            index = stack.indices[number]
            predictions[index] = SlicePrediction(index, {ANY: value})
        return predictions

    @torch.inference_mode()
    def encode(self, exam: PreparedVolume, run: RunContext) -> smart_net_slices.EncodedSlices:
        """Features of each slice."""
        stack = smart_net_slices.stack_of(exam, mode=self._mode)
        return smart_net_slices.encode(self._network.encoder, stack, self.batch_size, self.device, self._dtype, run)

    def _slices_to_show(self, exam: PreparedVolume) -> tuple[SmartNetStack, list[int], list[SlicePrediction]]:
        """The slices that the network sees, which of its slices hold brain, and zeros for every acquired slice."""
        stack = smart_net_slices.stack_of(exam, mode=self._mode)
        with_brain = set(exam.brain_slices)
        shown = [number for number, index in enumerate(stack.indices) if index in with_brain]
        return stack, shown, [SlicePrediction(index, {ANY: 0.0}) for index in range(exam.volume.geometry.shape[0])]

    def _slice_values(self, batch: Tensor) -> Tensor:
        """Slices (B, 1, size, size) to values (B,), float32, by the cls head."""
        return self._classified(self._network.encoder(batch))

    def _classified(self, features: Sequence[Tensor]) -> Tensor:
        probabilities: Tensor = self._network.classification_head(features[-1]).float().sigmoid().squeeze(1)
        return probabilities

    def _probabilities(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Slices (B, 1, size, size) to values (B,) and maps (B, size, size), float32; zeros where a head is absent."""
        network = self._network
        features = network.encoder(batch)
        values, maps = torch.zeros(len(batch)), torch.zeros(batch[:, 0].shape)
        if "cls" in network.tasks:
            values = self._classified(features)
        if "seg" in network.tasks:
            maps = network.segmentation_head(network.seg_decoder(features)).float().sigmoid().squeeze(1)
        return values, maps
