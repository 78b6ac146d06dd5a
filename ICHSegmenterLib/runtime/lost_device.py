"""A graphics card that stopped: every further computation on it in this process fails."""

from __future__ import annotations

_SIGNS = ("CUDA error", "CUDA driver error", "device-side assert", "NVML", "HIP error", "MPS backend error")


def is_device_lost(error: BaseException) -> bool:
    """True if an exception says so; PyTorch has no type of its own for it before 2.8."""
    if type(error).__name__ == "OutOfMemoryError":
        return False
    return type(error).__name__ == "AcceleratorError" or any(sign in str(error) for sign in _SIGNS)
