"""Random changes of a slice and its mask: flips, one affine resampling, gray levels, noise, blur."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ICHSegmenterLib.learning.recipe import AugmentationRecipe

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]
IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))

BLURS = ("gaussian", "motion", "median")
"""All of 3 x 3 pixels, as likely as each other."""
BLUR_SD_PIXELS = 0.8
"""OpenCV's value for 3 pixels: 0.3 ((3 - 1) / 2 - 1) + 0.8."""
_LINES = {
    0: ((1, 0), (1, 1), (1, 2)), 45: ((2, 0), (1, 1), (0, 2)),
    90: ((0, 1), (1, 1), (2, 1)), 135: ((0, 0), (1, 1), (2, 2)),
}  # fmt: skip
"""Pixels (row, column) that a motion blur adds up, by its direction in degrees."""


_GRAY_CHANGES = ((1, 1), (0, 1), (1, 0))
"""Whether contrast and brightness change."""


@dataclass(frozen=True)
class Change:
    """One draw.

    Attributes:
        flips: (vertical, horizontal).
        matrix: Place in the output to place in the input, in units of half a side.
        noise_sd: Standard deviation of added noise; 0 for none.
        noise_seed: For the noise itself.
        gain, offset: Linear change of the gray levels.
        blur: One of `BLURS`, empty for none.
        motion_degrees: Direction of a motion blur.
        border, resampling: Settings of the affine change, as in the recipe.
    """

    flips: tuple[bool, bool]
    matrix: Matrix
    noise_sd: float
    noise_seed: int
    gain: float = 1.0
    offset: float = 0.0
    blur: str = ""
    motion_degrees: int = 0
    border: str = "zero"
    resampling: str = "bilinear"


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
    noise_sd = _noise_sd(recipe, noise_sd)
    blur, motion_degrees = _drawn_blur(recipe, random) if recipe.blur else ("", 0)
    of_both = (1, 1) if recipe.gray_change == "both" else _GRAY_CHANGES[int(random.integers(len(_GRAY_CHANGES)))]
    contrast, brightness = grays * changes_grays * of_both
    return Change(
        flips,
        _matrix(radians, side / zoom, (x, y)),
        noise_sd if chances[3] < recipe.noise else 0.0,
        noise_seed,
        1 + recipe.contrast * float(contrast),
        recipe.brightness * float(brightness),
        blur,
        motion_degrees,
        recipe.border,
        recipe.resampling,
    )


def _noise_sd(recipe: AugmentationRecipe, share: float) -> float:
    """The strength at this share (0 to 1) of the way from the least to the most."""
    least, most = recipe.least_noise_sd, recipe.noise_sd
    if recipe.noise_even_in == "variance":
        return math.sqrt(least**2 + (most**2 - least**2) * share)
    return least + (most - least) * share


def _drawn_blur(recipe: AugmentationRecipe, random: np.random.Generator) -> tuple[str, int]:
    chance, kind, direction = random.random(), int(random.integers(len(BLURS))), int(random.integers(len(_LINES)))
    return (BLURS[kind], list(_LINES)[direction]) if chance < recipe.blur else ("", 0)


def apply_change(change: Change, images: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Change slices, all in the same way.

    Args:
        change: The draw.
        images: float32 (B, C, H, W).
        masks: int64 (B, H, W), resampled to the nearest.
    """
    for is_flipped, axis in zip(change.flips, (-2, -1), strict=True):
        if is_flipped:
            images = images.flip(axis)
            masks = None if masks is None else masks.flip(axis)
    if change.matrix != IDENTITY:
        grid = affine_grid(change.matrix, *images.shape[2:])
        together = images.reshape(1, -1, *images.shape[2:])  # (B, C, H, W) -> (1, B*C, H, W): weights are made once
        images = resampled(together, grid, change.resampling, change.border).view_as(images)
        if masks is not None:
            masks = resampled(masks[None].float(), grid, "nearest", change.border)[0].long()
    if (change.gain, change.offset) != (1.0, 0.0):
        images = (images * change.gain + change.offset).clamp(0, 1)
    if change.noise_sd:
        generator = torch.Generator().manual_seed(change.noise_seed)
        images = torch.randn(images.shape, generator=generator).mul_(change.noise_sd).add_(images)
    return blurred(images, change.blur, change.motion_degrees), masks


def affine_grid(matrix: Matrix, rows: int, columns: int) -> Tensor:
    """(1, rows, columns, 2) place (x, y) in the input of each pixel center, as sums of a row and a column of numbers.

    `torch.nn.functional.affine_grid` computes the same by a matrix product for every pixel, in five times the time.
    """
    y, x = (torch.linspace(-1, 1, size) * ((size - 1) / size) for size in (rows, columns))
    grid = torch.empty(1, rows, columns, 2)
    for axis, (of_x, of_y, shift) in enumerate(matrix):
        torch.add((of_y * y + shift)[:, None], of_x * x, out=grid[0, :, :, axis])
    return grid


def resampled(images: Tensor, grid: Tensor, mode: str, border: str) -> Tensor:
    """Images (B, C, H, W) at the places (B, H, W, 2) in units of half a side."""
    if border == "zero":
        return F.grid_sample(images, grid, mode=mode, padding_mode="zeros", align_corners=False)
    # The mirror stands in the middle of the outermost pixels, as OpenCV's default one; with torch that takes places
    # counted from there.
    columns, rows = images.shape[3], images.shape[2]
    inner = grid * torch.tensor([columns / (columns - 1), rows / (rows - 1)])
    return F.grid_sample(images, inner, mode=mode, padding_mode="reflection", align_corners=True)


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
