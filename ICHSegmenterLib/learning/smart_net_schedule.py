"""SMART-Net's learning rate, epoch by epoch.

Re-creates Kyung et al., Med Image Anal 2022 (babbu3682/SMART-Net, MIT). Their scheduler steps after an epoch with that
epoch's number, so every epoch runs at the rate meant for the one before and the first two alike (`lags`).
"""

from __future__ import annotations

import math

WARMUP_EPOCHS = 10
PLATEAU_SHARE = 0.1
"""Share of the epochs; the linear fall starts after it, whether or not the warm-up has ended."""
CYCLE_EPOCHS = 100
PEAK_RATE = 1e-3
PEAK_DECAY = 0.6


def linear_rate(epoch: int, *, epochs: int, rate: float, min_factor: float, lags: bool = True) -> float:
    """Linear warm-up from 0 over `WARMUP_EPOCHS`, then a linear fall to 0 at the last epoch ("poly" in their options).

    Args:
        epoch: From 0.
        epochs: Length of the training.
        rate: Highest learning rate.
        min_factor: The fall ends at this share of the rate; the authors compare their `min_lr` with the share.
        lags: Zero rate for two epochs instead of one, as theirs.
    """
    epoch = max(epoch - 1, 0) if lags else epoch
    if epoch < WARMUP_EPOCHS:
        return rate * epoch / WARMUP_EPOCHS
    plateau = epochs * PLATEAU_SHARE
    return rate * max(min_factor, 1 - max(0.0, epoch - plateau) / (epochs - plateau))


def cosine_restart_rate(epoch: int, *, floor: float, lags: bool = True) -> float:
    """Linear warm-up to a peak and a cosine fall to the floor, every `CYCLE_EPOCHS` again with a lower peak.

    Args:
        epoch: From 0.
        floor: Lowest learning rate.
        lags: One epoch late, as theirs.
    """
    cycle, epoch_in_cycle = divmod(max(epoch - 1, 0) if lags else epoch, CYCLE_EPOCHS)
    height = PEAK_RATE * PEAK_DECAY**cycle - floor
    if epoch_in_cycle < WARMUP_EPOCHS:
        return floor + height * epoch_in_cycle / WARMUP_EPOCHS
    fallen = (epoch_in_cycle - WARMUP_EPOCHS) / (CYCLE_EPOCHS - WARMUP_EPOCHS)
    return floor + height * (1 + math.cos(math.pi * fallen)) / 2
