"""Processor and precision: chosen once, probed before use, with the reason when not as requested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ICHSegmenterLib.errors import DependencyError, DeviceError
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.notices.run_notice import RunCode, RunNotice
from ICHSegmenterLib.request import check_device_request, check_precision_on

if TYPE_CHECKING:
    import torch

MIN_CUDA_CAPABILITY_FOR_BFLOAT16 = (8, 0)
"""Ampere: older cards emulate bfloat16 slowly."""
MIN_CUDA_CAPABILITY_FOR_FLOAT16 = (7, 0)
"""Volta and Turing: the first cards with matrix units for float16. Older ones compute it no faster than float32."""


@dataclass(frozen=True)
class Device:
    """A processor that works.

    Attributes:
        name: "cpu", "cuda", "cuda:N" or "mps".
        precision: "float32", "bfloat16" or "float16".
        notices: Why it is not the one asked for, or slow; empty if it is neither.
    """

    name: str
    precision: str
    notices: tuple[RunNotice, ...] = ()


CLASSICAL = Device("cpu", "float32")
"""Device of methods without a network."""


def choose_device(requested: str = "auto", precision: str = "auto") -> Device:
    """The processor to use.

    Args:
        requested: "auto" (CUDA, then Apple's MPS, then CPU), "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto" (bfloat16 where the processor computes in it, float16 on the CUDA cards that were built
            before that, else float32), "float32", "bfloat16" or "float16", which the CPU refuses.

    Raises:
        DependencyError: PyTorch is missing or broken.
        DeviceError: The processor named explicitly has no such name, does not exist or cannot compute, or float16 is
            asked for and only the CPU is left.
        ValueError: Unknown precision.
    """
    check_device_request(requested, precision)
    torch = import_torch()
    if requested != "auto":
        problem = _problem_of(torch, requested)
        if problem:
            raise DeviceError(ErrorNotice(ErrorCode.DEVICE_UNUSABLE, {"device": requested, "problem": problem}))
        return Device(requested, _precision_on(torch, requested, precision), _slowness_of(torch, requested, precision))
    notices: tuple[RunNotice, ...] = ()
    for name in _accelerators(torch):
        problem = _problem_of(torch, name)
        if not problem:
            return Device(name, _precision_on(torch, name, precision), notices)
        notices = (RunNotice(RunCode.GPU_NOT_USED, {"problem": problem}),)
    check_precision_on("cpu", precision)
    slowness = _slowness_of(torch, "cpu", precision)
    return Device("cpu", _precision_on(torch, "cpu", precision), (*notices, *slowness))


def import_torch() -> Any:
    """The torch module.

    Raises:
        DependencyError: It is missing or broken.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise DependencyError(ErrorNotice(ErrorCode.BROKEN_TORCH, {"reason": str(error)})) from error
        raise DependencyError(ErrorNotice(ErrorCode.NO_TORCH)) from error
    except (ImportError, OSError) as error:
        raise DependencyError(ErrorNotice(ErrorCode.UNLOADABLE_TORCH, {"reason": str(error)})) from error
    return torch


def available_devices() -> list[dict[str, str]]:
    """Every processor that could be chosen, with its name and why it would not work ("" if it does)."""
    torch = import_torch()
    devices = [{"name": "cpu", "title": "CPU", "problem": ""}]
    for name in _accelerators(torch):
        title = torch.cuda.get_device_name(name) if name.startswith("cuda") else "Apple GPU"
        devices.append({"name": name, "title": title, "problem": _problem_of(torch, name)})
    return devices


def torch_dtype(precision: str) -> torch.dtype:
    """The torch dtype of a resolved precision."""
    backend = import_torch()
    dtypes = {"float32": backend.float32, "bfloat16": backend.bfloat16, "float16": backend.float16}
    dtype: torch.dtype = dtypes[precision]
    return dtype


def _accelerators(torch: Any) -> list[str]:
    names = [f"cuda:{n}" for n in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return names + (["mps"] if torch.backends.mps.is_available() else [])


def _problem_of(torch: Any, name: str) -> str:
    """Empty if one small convolution runs there, else a sentence."""
    if name == "cpu":
        return ""
    try:
        device = torch.device(name)
        image = torch.ones(1, 1, 4, 4, device=device)
        torch.nn.functional.conv2d(image, torch.ones(1, 1, 3, 3, device=device)).sum().item()
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        return str(error).strip().splitlines()[0].rstrip(".") + "."
    return ""


def _precision_on(torch: Any, name: str, requested: str) -> str:
    if requested != "auto":
        return requested
    if name == "cpu":
        return "bfloat16" if _cpu_computes_bfloat16(torch) else "float32"
    if name.startswith("cuda"):
        capability = torch.cuda.get_device_capability(name)
        if capability >= MIN_CUDA_CAPABILITY_FOR_BFLOAT16:
            return "bfloat16"
        return "float16" if capability >= MIN_CUDA_CAPABILITY_FOR_FLOAT16 else "float32"
    return "float32"


def _slowness_of(torch: Any, name: str, requested: str) -> tuple[RunNotice, ...]:
    """A notice where the precision asked for takes many times as long as another one, else none."""
    if name != "cpu" or requested != "bfloat16" or _cpu_computes_bfloat16(torch):
        return ()
    return (RunNotice(RunCode.SLOW_BFLOAT16),)


def _cpu_computes_bfloat16(torch: Any) -> bool:
    """True if the CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX); emulation would be slower than float32."""
    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe)() for probe in probes if hasattr(torch.cpu, probe))
