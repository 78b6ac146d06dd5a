"""A head that moved between its slices, as a method that looks across them sees it."""

from __future__ import annotations

import numpy as np
import pytest

from head_volumes import gantry_geometry, head, vessels
from ICHSegmenterLib.analysis.prepared_input import prepare_input
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.preprocessing.blocks import box_in_plane
from ICHSegmenterLib.preprocessing.brain_mask import brain_mask
from ICHSegmenterLib.preprocessing.checks.artifacts import check_motion
from ICHSegmenterLib.preprocessing.checks.brain_slabs import BrainSlabs
from ICHSegmenterLib.preprocessing.checks.findings import InputCode, InputFinding, Severity
from ICHSegmenterLib.preprocessing.input_check import measure_scan
from ICHSegmenterLib.preprocessing.slabs import SlabGrid
from ICHSegmenterLib.preprocessing.slice_alignment import MARGIN_MM, align_slices, put_back, slice_shifts_mm
from ICHSegmenterLib.preprocessing.spec import SlabPreprocessing
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

STRAIGHT = gantry_geometry(slices=24, size=160, pixel_mm=1.25, steps_mm=5.0)
TILTED_AND_UNEQUAL = gantry_geometry(
    slices=30, size=160, pixel_mm=1.25, tilt_deg=15.0, steps_mm=[3.0] * 15 + [5.0] * 14
)
GRIDS = pytest.mark.parametrize("grid", [STRAIGHT, TILTED_AND_UNEQUAL], ids=["straight", "tilted"])
MOTION_MM = 2.0


def directions(grid: VolumeGeometry) -> np.ndarray:
    """(2, 3) unit vectors down the rows and along the columns."""
    return np.stack([step / np.linalg.norm(step) for step in (grid.row_step, grid.column_step)])


def moved_head(grid: VolumeGeometry, sd_mm: float = MOTION_MM) -> tuple[Volume, np.ndarray]:
    """The head on this grid with each slice shifted in its plane, and the shifts (slices, 2) in mm."""
    scanned, shifts = moved_grid(grid, sd_mm)
    return Volume(head(scanned).hu, grid), shifts


def moved_grid(grid: VolumeGeometry, sd_mm: float = MOTION_MM) -> tuple[VolumeGeometry, np.ndarray]:
    """Where the slices lay in the head, and their shifts (slices, 2) in mm."""
    shifts = np.random.default_rng(5).normal(0.0, sd_mm, (grid.shape[0], 2))
    origins = grid.slice_origins - shifts @ directions(grid)
    return VolumeGeometry(grid.shape, grid.column_step, grid.row_step, origins), shifts


@GRIDS
def test_the_jump_from_slice_to_slice_is_found(grid: VolumeGeometry) -> None:
    volume, shifts = moved_head(grid)
    mask = brain_mask(volume)
    found = slice_shifts_mm(volume, mask)
    # Toward its ends the ellipsoid narrows by several pixels from slice to slice.
    wide = np.flatnonzero(mask.sum(axis=(1, 2)) > 0.5 * mask.sum(axis=(1, 2)).max())
    assert len(wide) > 12
    left = np.diff((found - shifts)[wide], axis=0)
    assert np.abs(left).max() < 0.5 * MOTION_MM
    assert left.std() < 0.15 * np.diff(shifts[wide], axis=0).std()


@GRIDS
def test_a_still_head_stays_where_it_is(grid: VolumeGeometry) -> None:
    volume = head(grid)
    assert np.abs(slice_shifts_mm(volume, brain_mask(volume))).max() < 0.3  # a quarter of a pixel


@GRIDS
def test_slices_move_in_their_planes_and_pixels_stay(grid: VolumeGeometry) -> None:
    volume, _ = moved_head(grid)
    aligned, finding = align_slices(volume, slice_shifts_mm(volume, brain_mask(volume)))
    assert np.shares_memory(aligned.hu, volume.hu) and aligned.geometry.shape == grid.shape
    np.testing.assert_array_equal(aligned.geometry.row_step, grid.row_step)
    np.testing.assert_array_equal(aligned.geometry.column_step, grid.column_step)
    np.testing.assert_allclose(aligned.geometry.slice_positions_mm, grid.slice_positions_mm, atol=1e-9)
    farthest = np.linalg.norm(aligned.geometry.slice_origins - grid.slice_origins, axis=1).max()
    assert finding.code is InputCode.ALIGNED and finding.severity is Severity.INFO
    assert finding.parameters["farthest_mm"] == pytest.approx(farthest)


@GRIDS
def test_what_a_network_with_context_sees_fits_together_again(grid: VolumeGeometry) -> None:
    volume, _ = moved_head(grid)
    mask = brain_mask(volume)
    aligned, _ = align_slices(volume, slice_shifts_mm(volume, mask))
    preprocessing = get_card("compact-unet").preprocessing
    assert isinstance(preprocessing, SlabPreprocessing)
    steps = []
    for scan in (head(grid), volume, aligned):
        slabs = SlabGrid.of(scan.geometry, mask, preprocessing).forward(scan.hu)[4:-4]
        steps.append(float(np.abs(np.diff(slabs, axis=0)).mean()))
    still, moved, again = steps
    assert again - still < 0.25 * (moved - still)


def test_pixels_go_back_to_where_they_would_have_been() -> None:
    still = head(STRAIGHT)
    mask = brain_mask(still)
    pixels = np.random.default_rng(2).integers(-4, 5, (STRAIGHT.shape[0], 2))
    pixels[3] = 0
    hu, inside = (
        np.stack([np.roll(one, by, axis=(0, 1)) for one, by in zip(values, pixels, strict=True)])
        for values in (still.hu, mask)
    )
    volume, again = put_back(Volume(hu, STRAIGHT), inside, pixels * 1.25)
    rows, columns = box_in_plane(mask, int(MARGIN_MM / 1.25))
    assert volume.geometry is STRAIGHT and np.array_equal(again, mask)
    np.testing.assert_allclose(volume.hu[:, rows, columns], still.hu[:, rows, columns], atol=1e-3)
    half, _ = put_back(Volume(hu, STRAIGHT), inside, (pixels + np.array([0.5, 0.0])) * 1.25)
    between = (still.hu[:, 1:] + still.hu[:, :-1]) / 2  # half a pixel farther down
    np.testing.assert_allclose(half.hu[:, rows, columns], between[:, rows, columns], atol=1e-3)
    assert np.array_equal(volume.hu[3], still.hu[3])


def test_vessels_of_a_head_that_moved_lie_over_each_other_again() -> None:
    grid = gantry_geometry(slices=90, size=160, pixel_mm=1.25, steps_mm=1.25)
    moved = Volume(with_vessels(moved_grid(grid)[0]), grid)
    mask, still = brain_mask(moved), Volume(with_vessels(grid), grid)
    measured = measure_scan(moved, mask)
    assert measured.shifts_mm is not None
    assert InputCode.CONTRAST_MEDIUM in {finding.code for finding in measured.findings}
    scans = ((still, mask), (moved, mask), put_back(moved, mask, measured.shifts_mm))
    seen = [share_of_vessels(*scan) for scan in scans]
    assert seen[1] < 0.6 * seen[0] and seen[2] > 0.9 * seen[0]


def share_of_vessels(volume: Volume, mask: np.ndarray) -> float:
    """Of the deep brain, what is bright in slabs."""
    slabs = BrainSlabs.of(volume, mask)
    assert slabs is not None
    return float((slabs.fine[slabs.inside & (slabs.from_wall_mm > 10)] > 110).mean())


def with_vessels(grid: VolumeGeometry) -> np.ndarray:
    """The head with upright tubes of contrast medium 20 mm apart, on this grid."""
    hu = head(grid).hu.copy()
    vessels(hu, grid, 230.0, width_mm=1.8, apart_mm=20.0)
    return hu


@pytest.mark.parametrize(("method", "is_aligned"), [("compact-unet", True), ("hu-threshold", False)])
def test_only_methods_that_ask_for_it_see_slices_put_back(method: str, is_aligned: bool) -> None:
    volume, _ = moved_head(STRAIGHT)
    context = RunContext()
    exam = prepare_input(volume, (), get_card(method), context, None)
    codes = [finding.code for finding in exam.findings]
    assert InputCode.MOTION in codes and (InputCode.ALIGNED in codes) is is_aligned
    assert exam.acquired.volume is volume  # what is measured, and what outlines lie on
    assert (exam.seen.volume.geometry is volume.geometry) is not is_aligned
    said = [notice.code for notice in context.warnings if isinstance(notice, InputFinding)]
    assert (InputCode.ALIGNED in said) is is_aligned


def test_a_still_exam_is_seen_as_it_is() -> None:
    volume = head(STRAIGHT)
    assert check_motion(volume, brain_mask(volume)) is None
    exam = prepare_input(volume, (), get_card("compact-unet"), RunContext(), None)
    assert exam.seen is exam.acquired
