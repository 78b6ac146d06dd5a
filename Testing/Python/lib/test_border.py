"""Sagittal exams are turned once, where they come in; everything goes back to the grid that was acquired."""

import numpy as np
import pytest

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.comparison.compare import compare
from ICHSegmenterLib.analysis.comparison.vote import vote_result
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.request import MAP, AnalysisRequest, CompareRequest
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

SHAPE = (16, 64, 64)
TO_SAGITTAL = (2, 1, 0)  # columns become slices
CLASSICAL = AnalysisRequest("hu-threshold", outputs=(MAP,))


@pytest.fixture(scope="module")
def axial():
    geometry = head_geometry(SHAPE, pixel_mm=(3.6, 3.6), slice_step_mm=9.0)
    return make_phantom(geometry, HeadModel(bleeds=(Bleed.sphere(40.0, (26.0, 6.0, 30.0), 62.0),)), seed=5)


@pytest.fixture(scope="module")
def sagittal(axial):
    """The same voxels as a scanner would store sagittal slices."""
    geometry = VolumeGeometry.from_affine(SHAPE[::-1], axial.volume.geometry.affine[:, [2, 1, 0, 3]])
    return Volume(axial.volume.hu.transpose(TO_SAGITTAL), geometry)


@pytest.fixture
def turns(monkeypatch):
    """The views by which volumes were really turned."""
    seen, volume = [], AxialView.volume

    def counting(view, acquired):
        if not view.is_identity:
            seen.append(view)
        return volume(view, acquired)

    monkeypatch.setattr(AxialView, "volume", counting)
    return seen


def test_masks_and_maps_of_a_sagittal_exam_are_those_of_the_axial_one(axial, sagittal, turns):
    here = analyze(sagittal, CLASSICAL).segmentation
    assert len(turns) == 1
    there = analyze(axial.volume, CLASSICAL).segmentation
    assert len(turns) == 1  # axial slices are not touched
    assert here.geometry is sagittal.geometry
    np.testing.assert_array_equal(here.labelmap, there.labelmap.transpose(TO_SAGITTAL))
    np.testing.assert_array_equal(here.soft_maps[0], there.soft_maps[0].transpose(TO_SAGITTAL))


def test_a_brain_mask_is_given_on_the_grid_of_the_exam(axial, sagittal):
    mask = axial.brain_mask.copy()
    mask[: SHAPE[0] // 2] = False
    there = analyze(axial.volume, CLASSICAL, brain_mask=mask).segmentation
    here = analyze(sagittal, CLASSICAL, brain_mask=mask.transpose(TO_SAGITTAL)).segmentation
    np.testing.assert_array_equal(here.labelmap, there.labelmap.transpose(TO_SAGITTAL))


def test_methods_are_compared_and_vote_on_a_sagittal_exam_as_on_the_axial_one(axial, sagittal, turns):
    request = CompareRequest(("hu-threshold",))
    here, there = compare(sagittal, request), compare(axial.volume, request)
    assert len(turns) == 1  # once for all methods
    np.testing.assert_array_equal(here.agreement, there.agreement.transpose(TO_SAGITTAL))
    voted, expected = vote_result(here, sagittal), vote_result(there, axial.volume)
    np.testing.assert_array_equal(voted.segmentation.labelmap, expected.segmentation.labelmap.transpose(TO_SAGITTAL))
    assert voted.detection.key_slice == expected.detection.key_slice
    assert voted.blood_ml == pytest.approx(expected.blood_ml)


def test_an_exam_of_axial_slices_passes_the_border_as_it_is(axial):
    view = AxialView.at_border(axial.volume.geometry)
    assert view.is_identity
    assert view.volume(axial.volume) is axial.volume


def test_a_detection_of_a_method_that_outlines_has_no_outlines(axial):
    full = analyze(axial.volume, CLASSICAL)
    alone = analyze(axial.volume, AnalysisRequest("hu-threshold", detection_only=True))
    assert (alone.segmentation, alone.measurements) == (None, ())
    assert alone.detection.exam_probabilities == full.detection.exam_probabilities
    assert alone.detection.key_slice == full.detection.key_slice
