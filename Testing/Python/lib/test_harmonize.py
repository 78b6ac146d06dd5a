"""Noisy scans as a soft kernel shows them, and results that cannot be."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from head_volumes import gantry_geometry, head
from ICHSegmenterLib.plausibility import Implausible, ImplausibleReason, OutlineFigures, implausible
from ICHSegmenterLib.preprocessing.brain_mask import brain_mask
from ICHSegmenterLib.preprocessing.checks.findings import InputCode, Severity
from ICHSegmenterLib.preprocessing.checks.texture import UNKNOWN, measure_noise
from ICHSegmenterLib.preprocessing.harmonize import MAX_SIGMA_MM, SOFT_KERNEL_HU, TARGET_HU, harmonize
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

THICK = gantry_geometry(slices=30, size=200, pixel_mm=1.0, steps_mm=5.0)
THIN = gantry_geometry(slices=120, size=200, pixel_mm=1.0, steps_mm=1.25)


def noisy(grid: VolumeGeometry, sd_hu: float) -> tuple[Volume, np.ndarray]:
    """The small head with white noise in its tissue, and its brain mask."""
    plain = head(grid)
    mask = brain_mask(plain)
    noise = np.random.default_rng(3).normal(0, sd_hu, grid.shape) * (plain.hu > -500)
    return Volume((plain.hu + noise).astype(np.float32), grid), mask


def test_a_soft_scan_stays_the_very_same() -> None:
    volume = head(THICK)
    mask = brain_mask(volume)
    assert harmonize(volume, mask, measure_noise(volume, mask)) == (volume, None)


def test_a_scan_of_unknown_noise_stays_the_very_same() -> None:
    volume = head(THICK)
    assert harmonize(volume, brain_mask(volume), UNKNOWN)[0] is volume


@pytest.mark.parametrize("grid", [THICK, THIN], ids=["thick", "thin"])
def test_a_noisy_scan_gets_the_noise_that_is_said(grid: VolumeGeometry) -> None:
    volume, mask = noisy(grid, 15.0)
    smoothed, finding = harmonize(volume, mask, measure_noise(volume, mask))
    assert finding is not None and finding.code is InputCode.SMOOTHED and finding.severity is Severity.INFO
    assert finding.parameters["remaining_hu"] <= TARGET_HU
    remaining = measure_noise(smoothed, mask).sd_hu
    # What is measured against a mean over 3 mm misses the noise that is as coarse: up to a fifth of what is left.
    assert remaining == pytest.approx(float(finding.parameters["remaining_hu"]), rel=0.2)
    assert smoothed.geometry is volume.geometry


def test_thin_slices_are_averaged_so_that_they_are_smoothed_less_in_the_plane() -> None:
    sigmas = []
    for grid in (THICK, THIN):
        volume, mask = noisy(grid, 15.0)
        _, finding = harmonize(volume, mask, measure_noise(volume, mask))
        assert finding is not None
        sigmas.append(float(finding.parameters["sigma_mm"]))
    assert sigmas[1] < sigmas[0]


def test_smoothing_has_a_limit_and_says_what_noise_is_left() -> None:
    volume, mask = noisy(THICK, 60.0)
    _, finding = harmonize(volume, mask, measure_noise(volume, mask))
    assert finding is not None and finding.parameters["sigma_mm"] == MAX_SIGMA_MM
    assert float(finding.parameters["remaining_hu"]) > TARGET_HU


def test_bone_stays_as_acquired_and_does_not_run_into_brain() -> None:
    volume, mask = noisy(THICK, 12.0)
    smoothed, _ = harmonize(volume, mask, measure_noise(volume, mask))
    is_bone = volume.hu > 700
    np.testing.assert_array_equal(smoothed.hu[is_bone], volume.hu[is_bone])
    within = mask & (head(THICK).hu < 100)  # every voxel of brain, those beside the skull too
    assert smoothed.hu[within].max() < 42 + 6 * 12.0
    rim = within & ~np.roll(within, 1, axis=2)
    assert abs(float(smoothed.hu[rim].mean()) - float(head(THICK).hu[rim].mean())) < 5.0


def test_the_input_is_not_changed() -> None:
    volume, mask = noisy(THICK, 12.0)
    before = volume.hu.copy()
    harmonize(volume, mask, measure_noise(volume, mask))
    np.testing.assert_array_equal(volume.hu, before)


def test_the_limit_of_soft_kernels_decides() -> None:
    volume, mask = noisy(THICK, 9.0)
    noise = measure_noise(volume, mask)
    assert harmonize(volume, mask, replace(noise, sd_hu=SOFT_KERNEL_HU - 0.01))[0] is volume
    assert harmonize(volume, mask, replace(noise, sd_hu=SOFT_KERNEL_HU))[0] is not volume


USUAL = OutlineFigures(blood_ml=60.0, brain_share=0.04, pieces=9, skull_share=0.3, mean_hu=58.0)


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"blood_ml": 530.0}, ImplausibleReason.TOO_MUCH_BLOOD, "530 mL of blood"),
        ({"brain_share": 0.3}, ImplausibleReason.TOO_MUCH_BLOOD, "30% of the space inside the skull"),
        ({"pieces": 735}, ImplausibleReason.TOO_MANY_PIECES, "735 pieces"),
        ({"mean_hu": 8.0}, ImplausibleReason.DENSITY, "a mean density of 8 HU"),
        ({"mean_hu": 160.0}, ImplausibleReason.DENSITY, "a mean density of 160 HU"),
        ({"pieces": 40, "skull_share": 0.95}, ImplausibleReason.ALONG_BONE, "95% of 40 pieces along bone"),
    ],
)
def test_a_result_that_cannot_be_is_said_to_be_implausible(
    changes: dict[str, float], reason: ImplausibleReason, words: str
) -> None:
    problem = implausible(replace(USUAL, **changes))
    assert problem is not None and problem.reasons == (reason,) and words in problem.text
    assert Implausible.from_json(json.loads(json.dumps(problem.to_json()))) == problem


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"blood_ml": 150.0, "brain_share": 0.1},
        {"pieces": 60},
        {"pieces": 4, "skull_share": 1.0},
        {"blood_ml": 0.4, "mean_hu": 20.0},
    ],
)
def test_a_result_that_can_be_is_not(changes: dict[str, float]) -> None:
    assert implausible(replace(USUAL, **changes)) is None
