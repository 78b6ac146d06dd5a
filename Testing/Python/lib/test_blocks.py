"""Work in slices that is done faster than by the function that says what it is."""

import numpy as np
from scipy import ndimage

from ICHSegmenterLib.analysis.verdict.outline_figures import TOUCHING_MM, outline_figures
from ICHSegmenterLib.labels import ICH
from ICHSegmenterLib.preprocessing.blocks import box_in_plane, dilate_in_plane, fill_holes_in_plane
from ICHSegmenterLib.results import SegmentationResult
from ICHSegmenterLib.synthesis.phantom import head_geometry
from ICHSegmenterLib.volume.volume import Volume


def test_holes_are_filled_as_scipy_fills_them_in_each_slice():
    random = np.random.default_rng(1)
    for shape in ((3, 1, 1), (2, 1, 7), (5, 12, 9), (4, 30, 31)):
        for share in (0.0, 0.3, 0.5, 0.7, 1.0):
            mask = random.random(shape) < share
            before = mask.copy()
            assert np.array_equal(fill_holes_in_plane(mask), [ndimage.binary_fill_holes(plane) for plane in mask])
            assert np.array_equal(mask, before)


def test_figures_of_an_outline_are_those_of_whole_slices():
    random = np.random.default_rng(2)
    geometry = head_geometry((6, 40, 44), pixel_mm=(0.9, 0.9), slice_step_mm=5.0)
    volume = Volume(random.integers(0, 90, geometry.shape).astype(np.float32), geometry)
    radius = round(TOUCHING_MM / 0.9)
    for rows, columns in ((slice(0, 9), slice(30, 44)), (slice(12, 20), slice(10, 25)), (slice(31, 40), slice(0, 8))):
        blood, brain = np.zeros((2, *geometry.shape), dtype=bool)
        blood[1:5, rows, columns] = random.random(blood[1:5, rows, columns].shape) < 0.08
        brain[:, 6:34, 12:40] = True
        figures = outline_figures(SegmentationResult(blood.astype(np.uint8), geometry, (ICH,)), volume, brain)
        pieces, count = ndimage.label(blood, np.ones((3, 3, 3)))
        touching = np.unique(pieces[dilate_in_plane(~brain, radius) & blood])
        assert (figures.pieces, figures.skull_share) == (count, len(touching) / count)
        assert len(touching) > 0


def test_a_box_holds_the_mask_of_all_slices_and_a_margin_within_the_picture():
    mask = np.zeros((3, 20, 30), dtype=bool)
    mask[0, 5, 12], mask[2, 9, 28] = True, True
    rows, columns = box_in_plane(mask, 3)
    assert (rows.start, columns.start) == (2, 9)
    assert np.arange(20)[rows].tolist() == list(range(2, 13))
    assert np.arange(30)[columns].tolist() == list(range(9, 30))
