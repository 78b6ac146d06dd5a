"""The cranial cavity of phantoms with known answer, and of a real head."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import shared_data
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.preprocessing.brain_mask import brain_mask
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, Phantom, StorageOrder, head_geometry, make_phantom
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

UNEVEN_STEPS = (4.2,) * 13 + (1.1,) + (7.4,) * 13
CONDITIONS = {
    "normal": (head_geometry((28, 224, 224), pixel_mm=(1.0, 1.0)), HeadModel()),
    "tilted and uneven": (head_geometry((28, 256, 256), tilt_deg=20, slice_step_mm=UNEVEN_STEPS), HeadModel()),
    "tilted back, stored from above, rows flipped": (
        head_geometry(
            (28, 200, 200), pixel_mm=(1.1, 1.1), tilt_deg=-18, order=StorageOrder(is_descending=True, flips_rows=True)
        ),
        HeadModel(),
    ),
    "thick slices": (head_geometry((22, 256, 256), slice_step_mm=7.0), HeadModel()),
    "thin noisy slices": (
        head_geometry((120, 160, 160), pixel_mm=(1.4, 1.4), slice_step_mm=1.25),
        HeadModel(noise_hu=12),
    ),
    "craniectomy with subdural blood": (
        head_geometry((28, 256, 256), tilt_deg=15),
        HeadModel((Bleed("SDH", (-10, -20, 5), (12, 0, 0), 62),), defect_radius_mm=45),
    ),
    "epidural blood": (head_geometry((28, 256, 256)), HeadModel((Bleed("EDH", (80, 0, 30), (32, 32, 32)),))),
    "only the vertex": (head_geometry((10, 224, 224), pixel_mm=(1.0, 1.0), center=(0, 0, 45)), HeadModel()),
    "only the skull base": (head_geometry((12, 256, 256), center=(0, 0, -22)), HeadModel()),
    "head turned, columns flipped": (
        head_geometry((28, 224, 224), pixel_mm=(1.0, 1.0), turn_deg=25, order=StorageOrder(flips_columns=True)),
        HeadModel(noise_hu=15),
    ),
    "noise of a sharp kernel": (
        head_geometry((28, 224, 224), pixel_mm=(1.0, 1.0)),
        HeadModel(noise_hu=60),
    ),
    "unequal pixels, no couch": (
        head_geometry((28, 200, 380), pixel_mm=(1.2, 0.6)),
        HeadModel(has_couch=False),
    ),
}


def _dice(phantom: Phantom, found: np.ndarray) -> float:
    weights = phantom.volume.geometry.voxel_volumes_mm3
    truth = phantom.brain_mask

    def volume(mask: np.ndarray) -> float:
        return float(mask.sum(axis=(1, 2)) @ weights)

    return 2 * volume(found & truth) / (volume(found) + volume(truth))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_cavity_of_a_phantom_is_found(condition: str) -> None:
    geometry, model = CONDITIONS[condition]
    phantom = make_phantom(geometry, model, subsamples=(3, 1, 1))
    found = brain_mask(phantom.volume)
    assert found.shape == geometry.shape
    assert found.dtype == bool
    assert _dice(phantom, found) >= 0.97
    blood = phantom.labelmap > 0
    assert not blood.any() or found[blood].mean() > 0.93


def test_a_sagittal_volume_gives_the_same_mask_as_its_axial_view() -> None:
    phantom = make_phantom(head_geometry((28, 128, 128), pixel_mm=(1.8, 1.8)), subsamples=(1, 1, 1))
    axial = phantom.volume
    sagittal_affine = axial.geometry.affine[:, [2, 1, 0, 3]]
    sagittal = Volume(
        np.ascontiguousarray(axial.hu.transpose(2, 1, 0)),
        VolumeGeometry.from_affine((128, 128, 28), sagittal_affine),
    )
    assert not AxialView.of(sagittal.geometry).keeps_slices
    np.testing.assert_array_equal(brain_mask(sagittal).transpose(2, 1, 0), brain_mask(axial))


def test_calcifications_and_air_inside_the_brain_stay_inside() -> None:
    phantom = make_phantom(head_geometry((28, 224, 224), pixel_mm=(1.0, 1.0)), subsamples=(1, 1, 1))
    hu = phantom.volume.hu.copy()
    center = np.rint(phantom.volume.geometry.lps_to_ijk((25.0, -30.0, 40.0))).astype(int)
    hu[center[2], center[1] - 4 : center[1] + 5, center[0] - 4 : center[0] + 5] = -1000
    found = brain_mask(Volume(hu, phantom.volume.geometry))
    assert found[center[2], center[1], center[0]]
    assert found[(hu > 200) & phantom.brain_mask].mean() > 0.95


@pytest.mark.parametrize("hu", [-1000.0, 40.0])
def test_without_a_skull_the_error_tells_what_is_expected(hu: float) -> None:
    geometry = head_geometry((10, 128, 128), pixel_mm=(1.8, 1.8))
    with pytest.raises(VolumeError, match="head CT in Hounsfield units"):
        brain_mask(Volume(np.full(geometry.shape, hu, dtype=np.float32), geometry))


def test_on_a_real_tilted_head_the_brain_is_in_and_orbit_neck_and_face_are_out() -> None:
    volume = read_volume(shared_data("data/ge_head_ct"))
    found = brain_mask(volume)
    areas_cm2 = found.sum(axis=(1, 2)) * np.prod(volume.geometry.pixel_spacing_mm) / 100
    milliliters = found.sum(axis=(1, 2)) @ volume.geometry.voxel_volumes_mm3 / 1000
    assert 1450 < milliliters < 1650
    assert areas_cm2[:4].max() == 0
    assert areas_cm2[6:26].min() > 40
    assert areas_cm2[17] > 180
    # (slice, row, column): cerebellum, temporal lobe, frontal lobe, ventricle, vertex.
    for inside in ((6, 345, 250), (7, 205, 317), (9, 133, 236), (16, 260, 250), (25, 270, 246)):
        assert found[inside], inside
    # Globe, neck muscle, nose, scalp, mastoid, outside of the head.
    for outside in ((6, 116, 148), (5, 406, 172), (6, 130, 240), (16, 480, 250), (8, 370, 140), (20, 20, 20)):
        assert not found[outside], outside
