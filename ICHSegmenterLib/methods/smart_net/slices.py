"""The part that all SMART-Net methods share: an exam as their slices, and a network run over them in batches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ICHSegmenterLib.errors import WeightsError, WeightsMissingError
from ICHSegmenterLib.methods.smart_net.activation_maps import activation_maps, pooled_features
from ICHSegmenterLib.methods.smart_net.input import Slices, SmartNetStack
from ICHSegmenterLib.methods.smart_net.mask import resized_mask
from ICHSegmenterLib.methods.smart_net.networks.fused import fuse
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.preprocessing.spec import SmartNetPreprocessing
from ICHSegmenterLib.protocol import Phase
from ICHSegmenterLib.runtime.context import RunContext

Found = TypeVar("Found")

CPU_BATCH_SIZE, GPU_BATCH_SIZE = 2, 32
"""A slice needs about 100 MB in float32 on its way, and every feature map before the first pooling is full size.

On a CPU the maps of more slices pass 32 MB, from where the C library asks the system for fresh memory each time.
"""
STACKED, SLICE_WISE = "stacked", "slice-wise"
MODES = (STACKED, SLICE_WISE)
"""The authors' two tests: gray values normalized over the whole volume, or over each slice by itself."""


@dataclass(frozen=True, eq=False)
class EncodedSlices:
    """Features and activation of an exam's slices.

    Attributes:
        stack: The slices it saw.
        vectors: float32 (slices, 2048), pooled features.
        maps: float32 (slices, size, size) in [0, 1], where it is active.
        exam_vector: float32 (512,), of the network that classifies exams.
    """

    stack: SmartNetStack
    vectors: NDArray[np.float32]
    maps: NDArray[np.float32]
    exam_vector: NDArray[np.float32] | None = None


def default_batch_size(device: str) -> int:
    """Slices at a time."""
    return CPU_BATCH_SIZE if device == "cpu" else GPU_BATCH_SIZE


def check_mode(mode: str) -> None:
    """Raise a ValueError that names the modes unless it is one of them."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")


def one_file(title: str, count: int) -> None:
    """These methods have one network.

    Raises:
        WeightsMissingError: No file.
        WeightsError: Several files.
    """
    if not count:
        raise WeightsMissingError(
            f"{title} has no published weights: train it, or choose a file that its authors gave you with --weights.",
            Cause.WEIGHTS_MISSING,
        )
    if count > 1:
        raise WeightsError(f"{title} uses one weight file, got {count}; choose one of them.", Cause.UNWANTED_WEIGHTS)


def fit_for_inference(network: nn.Module, device: str, dtype: torch.dtype, in_float32: Collection[str] = ()) -> None:
    """Evaluation mode, fused, moved, kernels in the faster memory format. In place; but for parts kept in float32."""
    fuse(network.requires_grad_(False).eval())
    network.to(device)
    for name, part in network.named_children():
        part.to(torch.float32 if name in in_float32 else dtype)
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = _channels_last(parameter.data)


def stack_of(exam: PreparedVolume, *, mode: str = STACKED, drop_empty_ends: bool = False) -> SmartNetStack:
    """Network input of an exam."""
    if not isinstance(exam.preprocessing, SmartNetPreprocessing):
        raise ValueError(f"{type(exam.preprocessing).__name__} does not say what SMART-Net sees")
    normalize: Literal["slice", "volume"] = "volume" if mode == STACKED else "slice"
    preprocessing = replace(exam.preprocessing, normalize=normalize, drop_empty_ends=drop_empty_ends)
    return SmartNetStack.of(exam.volume, exam.view, preprocessing)


def brain_of(exam: PreparedVolume, stack: SmartNetStack) -> Tensor:
    """Brain mask at the network's pixels, bool (slices seen, size, size): outside it nothing bleeds intracranially."""
    on_display = exam.view.apply_to_slices(exam.brain_mask[list(stack.indices)])
    sampling = exam.preprocessing.mask_sampling if isinstance(exam.preprocessing, SmartNetPreprocessing) else "center"
    return torch.from_numpy(resized_mask(on_display, stack.slices.shape[-1], sampling))


def in_batches(
    slices: Slices, batch_size: int, device: str, dtype: torch.dtype, run: RunContext, step: Callable[[Tensor], Found]
) -> Iterator[Found]:
    """The output of `step` for each batch (B, 1, size, size); progress is counted in slices.

    Raises:
        CancelledError: Between two batches.
    """
    run.report(0, len(slices), Phase.PREDICTING)
    for start in range(0, len(slices), batch_size):
        batch = torch.from_numpy(slices[start : start + batch_size])[:, None].to(device, dtype)
        yield step(batch.contiguous(memory_format=torch.channels_last))
        run.report(min(start + batch_size, len(slices)), len(slices), Phase.PREDICTING)


def encode(
    encoder: nn.Module, stack: SmartNetStack, batch_size: int, device: str, dtype: torch.dtype, run: RunContext
) -> EncodedSlices:
    """Features and activation of each slice."""
    size = stack.slices.shape[-1]

    def step(batch: Tensor) -> tuple[Tensor, Tensor]:
        deepest = encoder(batch)[-1]
        return pooled_features(deepest), activation_maps(deepest, size)

    batches = list(in_batches(stack.slices, batch_size, device, dtype, run, step))
    vectors, maps = (torch.cat(parts).cpu().numpy() for parts in zip(*batches, strict=True))
    return EncodedSlices(stack, vectors, maps)


def _channels_last(kernel: Tensor) -> Tensor:
    """(out, in, rows, columns); with one channel or pixel it is contiguous either way, and its strides say which."""
    _, channels, rows, columns = kernel.shape
    strides = (channels * rows * columns, 1, columns * channels, channels)
    return kernel.contiguous(memory_format=torch.channels_last).as_strided(kernel.shape, strides)
