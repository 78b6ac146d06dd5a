"""Figures of outlines, with answers found by hand."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from ICHSegmenterLib.evaluation.segmentation_metrics import (
    bland_altman,
    hd95_mm,
    overlap,
    score_outline,
    surface_mm,
)
from ICHSegmenterLib.synthesis.phantom import head_geometry
from ICHSegmenterLib.volume.geometry import VolumeGeometry

pytest.importorskip("monai")


def box(shape, *edges):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(low, high) for low, high in edges)] = True
    return mask


SHAPE = (6, 20, 24)
GEOMETRY = head_geometry(SHAPE, pixel_mm=(0.5, 1.0), slice_step_mm=4.0)
"""Voxels of 0.5 x 1 x 4 mm: 2 mm3."""
SINGLE_PRECISION = float(np.finfo(np.float32).eps)


def test_dice_and_iou_of_two_boxes():
    """Four columns of eight shared: 2 * 4 / (8 + 8) and 4 / 12."""
    one, other = box(SHAPE, (2, 3), (5, 6), (0, 8)), box(SHAPE, (2, 3), (5, 6), (4, 12))
    assert overlap(one, other) == pytest.approx((0.5, 1 / 3))


def test_equal_masks_are_perfect_and_disjoint_ones_have_nothing_in_common():
    one, other = box(SHAPE, (1, 3), (2, 9), (2, 9)), box(SHAPE, (4, 5), (2, 9), (2, 9))
    assert overlap(one, one) == (1.0, 1.0)
    assert overlap(one, other) == (0.0, 0.0)
    assert hd95_mm(one, one, GEOMETRY) == 0.0


def test_nothing_outlined_on_blood_is_a_dice_of_zero_without_a_distance():
    found = score_outline(np.zeros(SHAPE, dtype=bool), box(SHAPE, (2, 3), (5, 6), (0, 8)), GEOMETRY)
    assert (found.dice, found.iou, found.hd95_mm) == (0.0, 0.0, None)
    assert found.truth_ml == pytest.approx(0.016)


def test_two_empty_masks_have_no_dice():
    nothing = np.zeros(SHAPE, dtype=bool)
    found = score_outline(nothing, nothing, GEOMETRY)
    assert (found.dice, found.iou, found.hd95_mm, found.volume_error_ml) == (None, None, None, 0.0)


@pytest.mark.parametrize(
    ("shift", "distance_mm"), [((1, 0, 0), 4.0), ((0, 4, 0), 2.0), ((0, 0, 3), 3.0)], ids=["slice", "row", "column"]
)
def test_distances_are_millimeters_along_every_axis(shift, distance_mm):
    """A single voxel moved: its distance is the step of that axis."""
    one = box(SHAPE, (2, 3), (8, 9), (8, 9))
    assert hd95_mm(np.roll(one, shift, (0, 1, 2)), one, GEOMETRY) == pytest.approx(distance_mm)


def test_distance_on_tilted_slices_is_that_of_the_patient_not_of_the_array():
    """Boxes 8 rows of 1 mm apart, under 30 degrees of tilt and with 2 mm of table feed.

    The nearest voxel is not 8 mm away in the same slice but in the next one, for the feed goes back along the rows:
    8^2 + 2^2 - 2 * 8 * 2 * sin(30) = 52 mm2. Only one slice has none, which is less than 5 % of the surface.
    """
    tilted = head_geometry((10, 60, 60), pixel_mm=(1.0, 1.0), slice_step_mm=2.0, tilt_deg=30)
    one = box(tilted.shape, (3, 7), (20, 30), (20, 30))
    other = np.roll(one, 8, axis=1)
    assert hd95_mm(other, one, tilted) == pytest.approx(np.sqrt(52), rel=1e-9)


def test_a_stack_sheared_by_tilt_is_measured_where_the_voxels_are():
    """The same voxel of slices 10 mm of table feed apart: 10 mm, whatever the distance between planes (7.1 mm)."""
    tilted = head_geometry((6, 80, 80), pixel_mm=(1.0, 1.0), slice_step_mm=10.0, tilt_deg=45)
    one, other = (box(tilted.shape, (k, k + 1), (40, 41), (40, 41)) for k in (2, 3))
    assert tilted.slice_step_mm == pytest.approx(7.07, abs=0.01)
    assert hd95_mm(one, other, tilted) == pytest.approx(10.0, rel=1e-9)


def test_a_surface_voxel_has_an_open_face_or_lies_at_the_border():
    """Of a block of 3 x 4 x 5 voxels all but its 1 x 2 x 3 inner ones; at the border of the volume likewise."""
    for first in (0, 1):
        block = box(SHAPE, (first, first + 3), (first, first + 4), (first, first + 5))
        assert len(surface_mm(block, GEOMETRY)) == 3 * 4 * 5 - 1 * 2 * 3


def test_distances_across_unequal_steps_are_those_of_the_slices():
    """Steps of 2, 2 and 10 mm: from the last slice to the one before 10 mm, from the first to the third 4 mm."""
    uneven = head_geometry((4, 20, 24), pixel_mm=(1.0, 1.0), slice_step_mm=(2.0, 2.0, 10.0))
    first, third, last = (box(uneven.shape, (k, k + 1), (5, 6), (5, 6)) for k in (0, 2, 3))
    assert hd95_mm(last, third, uneven) == pytest.approx(10.0, rel=1e-9)
    assert hd95_mm(first, third, uneven) == pytest.approx(4.0, rel=1e-9)


def blobs(shape, seed):
    """Two irregular masks that overlap in part and touch the border."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(2, *shape)), (0, 1, 2, 2))
    return noise[0] > 0.05, noise[0] + 0.6 * noise[1] > 0.05


@pytest.mark.filterwarnings("ignore::FutureWarning")  # MONAI's, about its own call
def test_regular_grids_have_the_distance_that_monai_computes():
    """MONAI keeps distances in single precision: they agree to its rounding."""
    from monai.metrics import compute_hausdorff_distance
    from torch import from_numpy

    spacing = (GEOMETRY.slice_step_mm, *GEOMETRY.pixel_spacing_mm)
    for seed in range(5):
        predicted, truth = blobs(SHAPE, seed)
        tensors = (from_numpy(mask[None, None].astype(np.float32)) for mask in (predicted, truth))
        expected = compute_hausdorff_distance(*tensors, include_background=True, percentile=95, spacing=spacing)
        assert float(expected) > 0
        assert hd95_mm(predicted, truth, GEOMETRY) == pytest.approx(float(expected), rel=4 * SINGLE_PRECISION)


@pytest.mark.parametrize("tilt_deg", [0, 25])
@pytest.mark.parametrize("slice_step_mm", [4.0, (5.0, 5.0, 5.0, 10.0, 2.5)], ids=["equal", "unequal"])
def test_any_grid_has_the_distance_of_all_pairs_of_surface_voxels(tilt_deg, slice_step_mm):
    geometry = head_geometry(SHAPE, pixel_mm=(0.5, 1.0), slice_step_mm=slice_step_mm, tilt_deg=tilt_deg)
    predicted, truth = blobs(SHAPE, 1)
    surfaces = []
    for mask in (predicted, truth):
        padded = np.pad(mask, 1)
        shifted = [np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1] for axis in range(3) for step in (-1, 1)]
        k, j, i = np.nonzero(mask & ~np.logical_and.reduce(shifted))
        surfaces.append(geometry.slice_origins[k] + i[:, None] * geometry.column_step + j[:, None] * geometry.row_step)
    pairs = cdist(*surfaces)
    expected = max(np.percentile(pairs.min(axis=axis), 95) for axis in (0, 1))
    assert hd95_mm(predicted, truth, geometry) == pytest.approx(expected, rel=1e-9)


def test_a_patient_who_lies_turned_has_the_same_distance():
    """Rotation about an oblique axis moves every voxel, and no distance between two."""
    axis = np.array((1.0, 2.0, 2.0)) / 3
    skew = np.cross(np.eye(3), axis)
    rotation = np.eye(3) + np.sin(0.7) * skew + (1 - np.cos(0.7)) * skew @ skew
    turned = VolumeGeometry(
        SHAPE, GEOMETRY.column_step @ rotation, GEOMETRY.row_step @ rotation, GEOMETRY.slice_origins @ rotation
    )
    predicted, truth = blobs(SHAPE, 2)
    assert hd95_mm(predicted, truth, turned) == pytest.approx(hd95_mm(predicted, truth, GEOMETRY), rel=1e-9)


def test_unequal_slices_have_volumes_of_their_own():
    uneven = head_geometry((4, 20, 24), pixel_mm=(1.0, 1.0), slice_step_mm=(2.0, 2.0, 10.0))
    found = score_outline(
        box(uneven.shape, (3, 4), (0, 10), (0, 10)), box(uneven.shape, (0, 1), (0, 10), (0, 10)), uneven
    )
    assert found.truth_ml == pytest.approx(0.2)
    assert found.predicted_ml == pytest.approx(1.0)
    assert found.volume_error_ml == pytest.approx(0.8)


def test_lesions_are_counted_one_by_one():
    """Three pieces: one outlined whole, one to 5 % (too little), one not; and one outline without blood."""
    truth = box(SHAPE, (0, 1), (0, 5), (0, 4)) | box(SHAPE, (2, 3), (0, 5), (0, 4)) | box(SHAPE, (4, 5), (0, 5), (0, 4))
    predicted = (
        box(SHAPE, (0, 1), (0, 5), (0, 4)) | box(SHAPE, (2, 3), (0, 1), (0, 1)) | box(SHAPE, (4, 5), (9, 14), (9, 11))
    )
    found = score_outline(predicted, truth, GEOMETRY)
    assert [one.outlined_share for one in found.lesions] == pytest.approx([1.0, 0.05, 0.0])
    assert [one.is_found for one in found.lesions] == [True, False, False]
    assert [one.volume_ml for one in found.lesions] == pytest.approx([0.04] * 3)
    assert (found.false_lesions, found.false_ml) == (1, pytest.approx(0.02))


def test_the_dice_of_a_lesion_counts_the_outline_nearest_to_it():
    """Two lesions of 20 voxels under one outline that leaks 8 voxels between them, 4 towards each; a third is missed.

    The false piece far away lowers no lesion's Dice.
    """
    one, other, missed = (((2, 3), (0, 5)), ((2, 3), (7, 12)), ((4, 5), (0, 5)))
    truth = np.logical_or.reduce([box(SHAPE, k, (0, 4), columns) for k, columns in (one, other, missed)])
    predicted = box(SHAPE, (2, 3), (0, 4), (0, 12)) | box(SHAPE, (4, 5), (9, 14), (9, 11))
    found = score_outline(predicted, truth, GEOMETRY)
    assert [one.dice for one in found.lesions] == pytest.approx([40 / 44, 40 / 44, 0.0])


def test_pieces_that_touch_at_a_corner_are_one_lesion():
    truth = box(SHAPE, (0, 1), (0, 2), (0, 2)) | box(SHAPE, (1, 2), (2, 4), (2, 4))
    assert len(score_outline(truth, truth, GEOMETRY).lesions) == 1


def test_bland_altman_of_three_pairs():
    """Differences 1, 2 and 3 mL: mean 2, standard deviation 1."""
    found = bland_altman([11.0, 22.0, 33.0], [10.0, 20.0, 30.0])
    assert (found.bias_ml, found.low_ml, found.high_ml) == pytest.approx((2.0, 2 - 1.96, 2 + 1.96))


def test_one_pair_has_a_bias_but_no_limits():
    found = bland_altman([3.0], [1.0])
    assert (found.bias_ml, found.low_ml, found.high_ml) == (2.0, None, None)


def test_masks_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="geometry"):
        score_outline(np.zeros((1, 2, 2), dtype=bool), np.zeros((1, 2, 2), dtype=bool), GEOMETRY)
