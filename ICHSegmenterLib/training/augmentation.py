"""Random changes of a slice and its mask: flips, one affine resampling, gray levels, noise, blur."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ICHSegmenterLib.training.recipe import AugmentationRecipe

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]
IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))

BLURS = ("gaussian", "motion", "median")
"""All of 3 x 3 pixels, as likely as each other."""
BLUR_SD_PIXELS = 0.8
"""What OpenCV takes for 3 pixels: 0.3 ((3 - 1) / 2 - 1) + 0.8."""
_LINES = {
    0: ((1, 0), (1, 1), (1, 2)), 45: ((2, 0), (1, 1), (0, 2)),
    90: ((0, 1), (1, 1), (2, 1)), 135: ((0, 0), (1, 1), (2, 2)),
}  # fmt: skip
"""Pixels (row, column) that a motion blur adds up, by its direction in degrees."""


@dataclass(frozen=True)
class Change:
    """One draw.

    Attributes:
        flips: (vertical, horizontal).
        matrix: Place in the output to place in the input, in units of half a side.
        noise_sd: Standard deviation of added noise; 0 for none.
        noise_seed: For the noise itself.
        gain, offset: Of the gray levels.
        blur: One of `BLURS`, empty for none.
        motion_degrees: Direction of a motion blur.
    """

    flips: tuple[bool, bool]
    matrix: Matrix
    noise_sd: float
    noise_seed: int
    gain: float = 1.0
    offset: float = 0.0
    blur: str = ""
    motion_degrees: int = 0


def draw_change(recipe: AugmentationRecipe, random: np.random.Generator) -> Change:
    """Draw once; the number of random numbers taken is always the same for a recipe."""
    chances = random.random(4)
    angle, scale, crop, noise_sd = random.uniform(-1, 1), random.uniform(-1, 1), random.random(), random.random()
    shift = random.uniform(-1, 1, 2)
    noise_seed = int(random.integers(2**62))
    half_turns, changes_grays = random.random() < recipe.half_turn, random.random() < recipe.intensity
    grays, moves = random.uniform(-1, 1, 2), random.uniform(-1, 1, 2)
    turns = chances[2] < recipe.affine
    radians = math.radians(recipe.rotation_deg) * angle if turns else 0.0
    zoom = 1 + recipe.scale * scale if turns else 1.0
    least, most = recipe.crop_scale
    side = math.sqrt(least + (most - least) * crop)
    moved = [2 * recipe.shift * float(one) if turns else 0.0 for one in moves]  # a side is 2 units long
    x, y = (float(one) * (1 - side) + by for one, by in zip(shift, moved, strict=True))
    flips = (bool(chances[0] < recipe.vertical_flip) != half_turns, bool(chances[1] < recipe.flip) != half_turns)
    noise_sd = recipe.least_noise_sd + (recipe.noise_sd - recipe.least_noise_sd) * noise_sd
    blur, motion_degrees = _drawn_blur(recipe, random) if recipe.blur else ("", 0)
    return Change(
        flips, _matrix(radians, side / zoom, (x, y)), noise_sd if chances[3] < recipe.noise else 0.0,
        noise_seed, 1 + recipe.contrast * float(grays[0]) * changes_grays,
        recipe.brightness * float(grays[1]) * changes_grays, blur, motion_degrees,
    )  # fmt: skip


def _drawn_blur(recipe: AugmentationRecipe, random: np.random.Generator) -> tuple[str, int]:
    chance, kind, direction = random.random(), int(random.integers(len(BLURS))), int(random.integers(len(_LINES)))
    return (BLURS[kind], list(_LINES)[direction]) if chance < recipe.blur else ("", 0)


def apply_change(change: Change, images: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Change slices, all in the same way.

    Args:
        change: The draw.
        images: float32 (B, C, H, W), resampled bilinearly; outside is 0.
        masks: int64 (B, H, W), resampled to the nearest.
    """
    for is_flipped, axis in zip(change.flips, (-2, -1), strict=True):
        if is_flipped:
            images = images.flip(axis)
            masks = None if masks is None else masks.flip(axis)
    if change.matrix != IDENTITY:
        theta = torch.tensor(change.matrix, dtype=torch.float32).expand(len(images), 2, 3)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        if masks is not None:
            turned = F.grid_sample(
                masks[:, None].float(), grid, mode="nearest", padding_mode="zeros", align_corners=False
            )
            masks = turned[:, 0].long()
    if (change.gain, change.offset) != (1.0, 0.0):
        images = (images * change.gain + change.offset).clamp(0, 1)
    if change.noise_sd:
        generator = torch.Generator().manual_seed(change.noise_seed)
        images = images + change.noise_sd * torch.randn(images.shape, generator=generator)
    return blurred(images, change.blur, change.motion_degrees), masks


def blurred(images: Tensor, kind: str, motion_degrees: int = 0) -> Tensor:
    """Slices (B, C, H, W) blurred over 3 x 3 pixels, each alone; beyond the edge lies the mirror image."""
    if not kind:
        return images
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
    if kind == "median":
        return padded.unfold(2, 3, 1).unfold(3, 3, 1).flatten(-2).median(dim=-1).values
    if kind == "gaussian":
        weights = [math.exp(-((n / BLUR_SD_PIXELS) ** 2) / 2) for n in (-1, 0, 1)]
        kernel = torch.outer(torch.tensor(weights), torch.tensor(weights))
    else:
        kernel = torch.zeros(3, 3)
        for row, column in _LINES[motion_degrees]:
            kernel[row, column] = 1.0
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 3, 3)
    return F.conv2d(padded, kernel, groups=images.shape[1])


def _matrix(radians: float, scale: float, shift: tuple[float, float]) -> Matrix:
    if radians == 0.0 and scale == 1.0 and shift == (0.0, 0.0):
        return IDENTITY
    cosine, sine = scale * math.cos(radians), scale * math.sin(radians)
    return ((cosine, -sine, shift[0]), (sine, cosine, shift[1]))
