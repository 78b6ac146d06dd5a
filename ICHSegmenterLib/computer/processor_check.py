"""A test of a processor: a small convolution in the precision of a run, timed, and compared with the CPU's numbers."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ICHSegmenterLib.errors import DeviceError
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.runtime.device import choose_device, import_torch, torch_dtype

CHANNELS, PIXELS, KERNEL = 16, 256, 3
REPEATS = 3
TF32_EPSILON = 2.0**-10
"""Unit of the last place of 1 in TensorFloat32, in which CUDA cards may compute a convolution of float32."""
TOLERANCE_EPSILONS = 4.0
"""Image, weight and result are rounded once each, by half an epsilon; all terms are positive, so that no error of a
term grows by cancellation. The rest is for sums in parts."""


@dataclass(frozen=True)
class ProcessorCheck:
    """A processor that computes rightly.

    Attributes:
        device, precision: As of `runtime.device.Device`.
        milliseconds: One convolution of 16 channels of 256 x 256 pixels; the mean of a few, after a first one.
    """

    device: str
    precision: str
    milliseconds: float


def check_processor(name: str) -> ProcessorCheck:
    """Compute on a processor as a network does, and compare.

    Args:
        name: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        DependencyError: PyTorch is missing or broken.
        DeviceError: The processor does not exist, cannot compute, or computes wrong numbers.
    """
    chosen = choose_device(name)
    torch = import_torch()
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, CHANNELS, PIXELS, PIXELS, generator=generator)
    weight = torch.rand(CHANNELS, CHANNELS, KERNEL, KERNEL, generator=generator)
    convolve, dtype = torch.nn.functional.conv2d, torch_dtype(chosen.precision)
    expected = convolve(image, weight)
    there = [tensor.to(chosen.name, dtype) for tensor in (image, weight)]
    computed = convolve(*there).float().cpu()  # the first one also loads the programs
    started = time.perf_counter()
    for _ in range(REPEATS):
        computed = convolve(*there)
    computed = computed.float().cpu()  # waits for the processor
    seconds = (time.perf_counter() - started) / REPEATS
    error = float(((computed - expected).abs() / expected).max())
    tolerance = TOLERANCE_EPSILONS * max(TF32_EPSILON, torch.finfo(dtype).eps)
    if not error <= tolerance:  # NaN is wrong too
        raise DeviceError(
            ErrorNotice(ErrorCode.WRONG_NUMBERS, {"device": chosen.name, "error": error, "tolerance": tolerance})
        )
    return ProcessorCheck(chosen.name, chosen.precision, 1000.0 * seconds)
