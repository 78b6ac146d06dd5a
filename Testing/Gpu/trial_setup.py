"""What a run works with: device, size, time left, the exam, and weight files made from a seed."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.volume import Volume

SHAPE, SMALL_SHAPE = (28, 512, 512), (8, 64, 64)
HEAD_MM = 230.0
"""Field of view; the slices cover five eighths of it."""
SEED = 0


@dataclass
class Setup:
    """One run.

    Attributes:
        device: "cuda", "cuda:N", or "cpu" for a rehearsal.
        is_small: Rehearse with small networks and images.
        folder: For weight files; emptied by who made it.
        deadline: Of `time.monotonic`; what would begin later is not run.
    """

    device: str
    is_small: bool
    folder: Path
    deadline: float = float("inf")
    files: dict[tuple[str, int], Path] = field(default_factory=dict)

    @property
    def is_cuda(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def is_late(self) -> bool:
        return time.monotonic() > self.deadline

    @cached_property
    def volume(self) -> Volume:
        """A head with one bleed, of a usual exam's size."""
        shape = SMALL_SHAPE if self.is_small else SHAPE
        pixel_mm, step_mm = HEAD_MM / shape[1], HEAD_MM / 1.6 / shape[0]
        geometry = head_geometry(shape, pixel_mm=(pixel_mm, pixel_mm), slice_step_mm=step_mm)
        return make_phantom(geometry, HeadModel(bleeds=(Bleed(),)), subsamples=(1, 1, 1)).volume

    def weights(self, method: str, count: int = 1) -> list[Path]:
        """Seeded weight files of a method; times and memory do not depend on the values."""
        card = get_card(method)
        for number in range(count):
            if (method, number) in self.files:
                continue
            torch.manual_seed(SEED + number)
            path = self.folder / f"{method}-{number}.pt"
            torch.save(create_model(card.network, **card.network_config).state_dict(), path)
            self.files[method, number] = path
        return [self.files[method, number] for number in range(count)]

    def synchronize(self) -> None:
        """Wait for the device, before a clock is read."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def reset_peak(self) -> None:
        """Forget unused memory and the highest use so far."""
        if self.is_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    @property
    def peak_gb(self) -> float:
        """Most memory of tensors on the device since `reset_peak`; without a CUDA device, of this process so far."""
        if self.is_cuda:
            return torch.cuda.max_memory_allocated(self.device) / 1e9
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1e9 if sys.platform == "darwin" else 1e6)


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """float32 multiplied as float32: torch rounds the factors of convolutions to 11 bits on Ampere and later."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value
