"""What is a head CT in Hounsfield units, and what is said about everything else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from head_volumes import gantry_geometry, head
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.preprocessing.input_check import check_head_ct
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.kernels import is_sharp_kernel
from ICHSegmenterLib.volume.volume import Volume, VolumeSource

THIN = gantry_geometry(slices=30, size=160, pixel_mm=1.28, steps_mm=5.0)


@pytest.fixture(scope="module", name="good")
def _good() -> Volume:
    return head(THIN)


def with_values(volume: Volume, hu: np.ndarray) -> Volume:
    return Volume(hu.astype(np.float32), volume.geometry)


def scaled(volume: Volume, *, in_plane: float = 1.0, along: float = 1.0) -> Volume:
    """The same voxels with other spacings."""
    grid = volume.geometry
    stretched = VolumeGeometry(
        grid.shape, grid.column_step * in_plane, grid.row_step * in_plane, grid.slice_origins * along
    )
    return Volume(volume.hu, stretched)


def test_a_head_passes_without_a_warning(good: Volume) -> None:
    assert check_head_ct(good) == ()


def test_the_real_scan_passes_without_a_warning(head_scan: Path) -> None:
    assert check_head_ct(read_volume(head_scan)) == ()


def test_a_tilted_head_with_unequal_steps_passes() -> None:
    tilted = gantry_geometry(slices=20, size=160, pixel_mm=1.28, tilt_deg=20.0, steps_mm=[5.0] * 9 + [10.0] * 10)
    assert check_head_ct(head(tilted)) == ()


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (lambda hu: np.clip((hu + 20) * 2, 0, 255).round(), "Values span 0 to 255, not Hounsfield units .* a picture"),
        (lambda hu: np.clip((hu + 20) / 100, 0, 1), "Values span 0 to 1, not Hounsfield units"),
        (lambda hu: hu + 1024, "Values span 24 to 2024, .* rescale slope and intercept"),
        (lambda hu: np.clip(hu, -100, 300), "Values span -100 to 300, .* clipped or normalized"),
        (lambda hu: np.clip(hu / 1000, -1, 1), "Values span -1 to 1, .* clipped or normalized"),
    ],
    ids=["8 bit", "0 to 1", "no intercept", "clipped", "normalized"],
)
def test_values_that_are_not_hounsfield_units_are_refused(good: Volume, window: object, message: str) -> None:
    with pytest.raises(VolumeError, match=message):
        check_head_ct(with_values(good, window(good.hu)))  # type: ignore[operator]


def test_a_blank_volume_is_called_blank(good: Volume) -> None:
    for value in (0.0, 40.0):
        with pytest.raises(VolumeError, match=f"Every voxel is {value:g}: the volume is blank"):
            check_head_ct(with_values(good, np.full_like(good.hu, value)))


@pytest.mark.parametrize(("slices", "found"), [(1, "one slice"), (2, "2 slices")])
def test_too_few_slices_are_refused(slices: int, found: str) -> None:
    volume = head(gantry_geometry(slices=slices, steps_mm=[5.0] * (slices - 1)))
    with pytest.raises(VolumeError, match=f"The volume holds {found}; a head CT has at least 3"):
        check_head_ct(volume)


@pytest.mark.parametrize(
    ("in_plane", "along", "message"),
    [
        (2.2, 1.0, "The field of view is 451 x 451 mm, more than a head needs .* a body CT"),
        (0.45, 1.0, "The field of view is 92 x 92 mm, too small for a head"),
        (1.0, 3.0, "The scan is 450 mm long, more than head and neck"),
        (1.0, 0.1, "The 30 slices cover 15 mm, too little of a head"),
        (0.01, 1.0, r"Voxels are 0\.0128 x 0\.0128 x 5 mm, which no head CT has"),
        (1.0, 5.0, r"Voxels are 1\.28 x 1\.28 x 25 mm, which no head CT has"),
    ],
)
def test_what_has_not_the_size_of_a_head_is_refused(good: Volume, in_plane: float, along: float, message: str) -> None:
    with pytest.raises(VolumeError, match=message):
        check_head_ct(scaled(good, in_plane=in_plane, along=along))


def cylinder(radius_mm: float) -> Volume:
    grid = gantry_geometry(slices=30, size=128, pixel_mm=3.0, steps_mm=5.0)
    axis = (np.arange(128) - 63.5) * 3.0
    hu = np.where(np.hypot(axis[:, None], axis[None]) < radius_mm, 40.0, -1000.0)
    hu[np.hypot(axis[:, None], axis[None]) < 8.0] = 1000.0
    return Volume(np.broadcast_to(hu, grid.shape).astype(np.float32), grid)


@pytest.mark.parametrize(
    ("radius_mm", "message"),
    [(25.0, "at most 19 cm² of tissue"), (160.0, r"usually 8\d\d cm² of tissue")],
    ids=["arm", "trunk"],
)
def test_an_arm_and_a_trunk_are_no_heads(radius_mm: float, message: str) -> None:
    with pytest.raises(VolumeError, match=f"does not look like a head: slices show {message}"):
        check_head_ct(cylinder(radius_mm))


def test_an_empty_scan_is_no_head(good: Volume) -> None:
    with pytest.raises(VolumeError, match="does not look like a head"):
        check_head_ct(with_values(good, np.full_like(good.hu, -1000.0)))


def test_shoulders_at_the_end_of_the_scan_do_no_harm() -> None:
    volume = head(gantry_geometry(slices=30, size=290, pixel_mm=1.25, steps_mm=5.0))
    hu = volume.hu.copy()
    hu[:5] = 40.0
    assert check_head_ct(with_values(volume, hu)) == ()


@pytest.mark.parametrize("kernel", ["H60s", "BONE", "FC30"])
def test_a_bone_kernel_is_warned_of(good: Volume, kernel: str) -> None:
    (warning,) = check_head_ct(replace(good, source=VolumeSource(kernel=kernel)))
    assert f"sharp kernel {kernel}" in warning


def test_noise_without_a_kernel_name_is_warned_of(good: Volume) -> None:
    noisy = good.hu + np.random.default_rng(1).normal(0, 40, good.hu.shape) * (good.hu > -500)
    (warning,) = check_head_ct(with_values(good, noisy))
    assert warning.startswith(
        ("The images are noisy (39 HU", "The images are noisy (40 HU", "The images are noisy (41 HU")
    )


def test_a_stripped_skull_is_warned_of(good: Volume) -> None:
    (warning,) = check_head_ct(with_values(good, np.where(good.hu > 300, -1000, good.hu)))
    assert "the skull is missing or was clipped" in warning


def test_a_short_stack_is_warned_of(good: Volume) -> None:
    (warning,) = check_head_ct(scaled(good, along=0.5))
    assert warning.startswith("The slices cover only 75 mm")


def test_very_thick_steps_are_warned_of(good: Volume) -> None:
    (warning,) = check_head_ct(scaled(good, along=2.4))
    assert warning.startswith("Slices are 12.0 mm apart")


@pytest.mark.parametrize(
    "kernel",
    [
        "BONE",
        "BONEPLUS",
        "EDGE",
        "LUNG",
        "H60s",
        "H70h",
        "B70f",
        "B60s",
        "J70h",
        "U90u",
        "I70f",
        "Hr59",
        "Hr68u/3",
        "Br64",
        "Ur77",
        "Bl60",
        "D",
        "E",
        "YC",
        "FC30",
        "FC31",
        "FC81",
        "J70h/2",
        "T80u",
    ],
)
def test_sharp_kernels_of_all_vendors_are_known(kernel: str) -> None:
    assert is_sharp_kernel(kernel)


@pytest.mark.parametrize(
    "kernel",
    [
        "",
        "STANDARD",
        "STD+",
        "SOFT",
        "DETAIL",
        "H20s",
        "H31s",
        "H40f",
        "J40s/3",
        "J30f",
        "Hr36",
        "Hr40d",
        "Hc40",
        "Br40",
        "Qr40",
        "UB",
        "UC",
        "A",
        "B",
        "C",
        "FC21",
        "FC23",
        "FC68",
        "FC26",
        "B30f",
    ],
)
def test_soft_kernels_are_not_taken_for_sharp(kernel: str) -> None:
    assert not is_sharp_kernel(kernel)
