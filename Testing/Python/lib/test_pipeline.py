"""Batches for slice networks and the way back, on grids stored in any way."""

from __future__ import annotations

import numpy as np
import pytest

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.preprocessing.pipeline import MIN_BRAIN_AREA_CM2, prepare
from ICHSegmenterLib.preprocessing.spec import NoPreprocessing, SlicePreprocessing
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, StorageOrder, head_geometry, make_phantom
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

MODEL = HeadModel((Bleed.sphere(20.0, (28.0, 5.0, 30.0)),), noise_hu=0)
STORED = {
    "ascending": {},
    "descending": {"order": StorageOrder(is_descending=True)},
    "flipped": {"order": StorageOrder(flips_rows=True, flips_columns=True)},
    "tilted": {"tilt_deg": 18.0, "slice_step_mm": (4.0,) * 8 + (7.0,) * 9},
}
SHAPE = (18, 200, 170)


@pytest.mark.parametrize("stored", STORED)
def test_the_network_sees_axial_display_and_its_maps_return_to_the_bleed(stored: str) -> None:
    phantom = make_phantom(head_geometry(SHAPE, pixel_mm=(1.2, 1.2), **STORED[stored]), MODEL, subsamples=(1, 1, 1))
    exam = prepare(phantom.volume, SlicePreprocessing(), phantom.brain_mask)
    indices = np.flatnonzero((phantom.labelmap > 0).sum(axis=(1, 2)) > 200)[:3].tolist()
    batch = exam.batch(indices)
    assert batch.shape == (3, 3, 384, 384)
    assert batch.dtype == np.float32
    bleed = (exam.grid.forward(exam.view.apply_to_slices(phantom.blood_fraction[indices])) > 0.5).astype(np.float32)
    # Anterior up and the patient's left on the right: the bleed at x = 28 mm is on the right half.
    assert np.argwhere(bleed[0])[:, 1].mean() > 200
    restored = exam.restore(bleed, indices) > 0.5
    truth = phantom.labelmap[indices] > 0
    assert 2 * (restored & truth).sum() / (restored.sum() + truth.sum()) > 0.97


def test_maps_of_several_labels_return_together() -> None:
    phantom = make_phantom(head_geometry(SHAPE, pixel_mm=(1.2, 1.2)), MODEL, subsamples=(1, 1, 1))
    exam = prepare(phantom.volume, SlicePreprocessing(), phantom.brain_mask)
    maps = np.random.default_rng(0).random((2, 4, 384, 384), dtype=np.float32)
    together = exam.restore(maps, [3, 4])
    assert together.shape == (2, 4, 200, 170)
    np.testing.assert_array_equal(together[:, 1], exam.restore(maps[:, 1], [3, 4]))


def test_only_slices_with_enough_brain_are_offered() -> None:
    geometry = head_geometry((4, 100, 100), pixel_mm=(2.0, 2.0))
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[1, 20:60, 20:60] = True
    mask[2, 0, : int(MIN_BRAIN_AREA_CM2 * 100 / 4) - 1] = True
    exam = prepare(Volume(np.zeros(geometry.shape, dtype=np.float32), geometry), SlicePreprocessing(), mask)
    assert exam.brain_slices == (1,)


def test_the_mask_at_the_network_is_the_mask_of_the_slice() -> None:
    phantom = make_phantom(head_geometry(SHAPE, pixel_mm=(1.2, 1.2)), MODEL, subsamples=(1, 1, 1))
    exam = prepare(phantom.volume, SlicePreprocessing(), phantom.brain_mask)
    seen = exam.mask_batch([9])
    assert seen.shape == (1, 384, 384)
    assert seen.dtype == bool
    back = exam.restore(seen.astype(np.float32), [9])[0] > 0.5
    assert (back != phantom.brain_mask[9]).mean() < 0.005


def test_a_mask_of_another_volume_is_refused() -> None:
    geometry = head_geometry((4, 100, 100))
    volume = Volume(np.zeros(geometry.shape, dtype=np.float32), geometry)
    with pytest.raises(VolumeError, match="mask of the same volume"):
        prepare(volume, SlicePreprocessing(), np.zeros((4, 100, 90), dtype=bool))


def test_sagittal_slices_are_refused() -> None:
    affine = np.eye(4)[:, [2, 1, 0, 3]]
    geometry = VolumeGeometry.from_affine((8, 64, 64), affine)
    volume = Volume(np.zeros(geometry.shape, dtype=np.float32), geometry)
    with pytest.raises(VolumeError, match="sagittal or coronal"):
        prepare(volume, NoPreprocessing(), np.ones(geometry.shape, dtype=bool))


def test_methods_without_slices_have_no_batches() -> None:
    geometry = head_geometry((4, 64, 64))
    mask = np.ones(geometry.shape, dtype=bool)
    exam = prepare(Volume(np.zeros(geometry.shape, dtype=np.float32), geometry), NoPreprocessing(), mask)
    with pytest.raises(ValueError, match="NoPreprocessing"):
        exam.batch([0])
