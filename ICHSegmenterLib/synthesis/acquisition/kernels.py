"""Reconstruction kernels from soft to bone: how fine a picture is, how edges overshoot, and how its noise is grained.

Filtered back projection leaves noise whose power grows with frequency until the kernel cuts it off, so that neighbors
are alike and pixels two apart are slightly opposite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from ICHSegmenterLib.synthesis.fields import Field, Random

OVERSHOOT_HU = (-200.0, 1800.0)
"""Edges of air are not sharpened: a real kernel rings there too, but what lies in the brain comes from bone."""
PEAK_OF_CUTOFF = 0.75


@dataclass(frozen=True)
class Kernel:
    """A reconstruction filter.

    Attributes:
        cutoff: Cycles a mm at which a soft kernel passes 1/e: 0.35 soft, 1.0 bone.
        boost: By what share of itself the band below the cutoff is raised; 0 soft, up to 1.5 bone.
        streaks: 0 to 1, share of the noise that runs from left to right, where the skull base takes most rays.
    """

    cutoff: float = 0.5
    boost: float = 0.0
    streaks: float = 0.0

    def __post_init__(self) -> None:
        if self.cutoff <= 0 or self.boost < 0:
            raise ValueError(f"cutoff must be positive and boost not negative, got {self.cutoff} and {self.boost}")

    def transfer(self, frequency: NDArray[np.float32]) -> NDArray[np.float32]:
        """Share of each frequency (cycles a mm) that passes."""
        square = (frequency / np.float32(self.cutoff)) ** 2
        raised = square / np.float32(PEAK_OF_CUTOFF**2)
        return np.asarray(np.exp(-square) * (1 + self.boost * raised * np.exp(1 - raised)), dtype=np.float32)

    def reconstruct(self, image: Field, pixel_mm: float) -> Field:
        """A slice (rows, columns) as this kernel shows it."""
        transfer = self.transfer(_frequencies(image.shape, pixel_mm))
        ringing = np.clip(image, *OVERSHOOT_HU)
        spectrum = fft.rfft2(ringing) * transfer
        soft = np.exp(-((_frequencies(image.shape, pixel_mm) / np.float32(self.cutoff)) ** 2))
        rest = fft.irfft2(fft.rfft2(image - ringing) * soft, s=image.shape)
        return np.asarray(fft.irfft2(spectrum, s=image.shape) + rest, dtype=np.float32)

    def noise(self, shape: tuple[int, int], pixel_mm: float, random: Random) -> Field:
        """Noise (rows, columns) of unit SD with this kernel's grain."""
        frequency = _frequencies(shape, pixel_mm)
        amplitude = np.sqrt(frequency + np.float32(0.02)) * self.transfer(frequency)
        white = fft.rfft2(random.standard_normal(shape, dtype=np.float32))
        noise = fft.irfft2(white * amplitude, s=shape)
        noise /= max(float(noise.std()), 1e-6)
        if self.streaks:
            down = np.abs(fft.fftfreq(shape[0], pixel_mm))[:, None] * np.float32(1.0)
            along = fft.rfftfreq(shape[1], pixel_mm)[None, :]
            lines = fft.irfft2(white * amplitude * np.exp(-((along / 0.025) ** 2)) * (down > 0), s=shape)
            noise += np.float32(self.streaks) * lines / max(float(lines.std()), 1e-6)
            noise /= max(float(noise.std()), 1e-6)
        return np.asarray(noise, dtype=np.float32)


def draw_kernel(sharpness: float, random: Random) -> Kernel:
    """A kernel of 0 (soft) to 1 (bone)."""
    cutoff = 0.36 + 0.64 * sharpness + float(random.uniform(-0.04, 0.04))
    return Kernel(cutoff, 1.5 * max(0.0, sharpness - 0.25), float(random.uniform(0, 0.6)) * (random.random() < 0.5))


def _frequencies(shape: tuple[int, ...], pixel_mm: float) -> NDArray[np.float32]:
    """Cycles a mm of the terms of `rfft2`."""
    rows, columns = fft.fftfreq(shape[0], pixel_mm), fft.rfftfreq(shape[1], pixel_mm)
    return np.asarray(np.hypot(rows[:, None], columns[None, :]), dtype=np.float32)
