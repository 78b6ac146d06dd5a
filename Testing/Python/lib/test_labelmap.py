"""Maps to labelmap, volumes and detection."""

from dataclasses import replace

import numpy as np
import pytest

from ICHSegmenterLib.analysis.labelmap import assemble, blood_per_slice_ml, measure
from ICHSegmenterLib.analysis.verdict.detection import summarize
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.labels import ICH, IPH, PERILESIONAL_EDEMA
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

SHAPE = (4, 10, 12)
UNEQUAL_Z_MM = np.array([0.0, 4.0, 8.0, 20.0])


@pytest.fixture
def volume() -> Volume:
    origins = np.column_stack((np.zeros(4), np.zeros(4), UNEQUAL_Z_MM))
    geometry = VolumeGeometry(SHAPE, (0.5, 0, 0), (0, 2.0, 0), origins)
    return Volume(np.full(SHAPE, 60, dtype=np.float32), geometry)


def prediction(index, value, *maps):
    return SlicePrediction(index, {"any": value}, np.array(maps, dtype=np.float32) if maps else None)


def patch(level, rows=slice(2, 6), columns=slice(3, 7)):
    one = np.zeros(SHAPE[1:], dtype=np.float32)
    one[rows, columns] = level
    return one


def assembled(predictions, volume, card, **changes):
    options = {"threshold": 0.5, "detection_threshold": 0.5, "keep_maps": False} | changes
    return assemble(predictions, volume, card, **options)


def test_voxels_at_the_threshold_belong_to_the_segment(volume):
    card = replace(get_card("unet"), labels=(ICH,))
    maps = [prediction(k, 0.9, patch(0.5)) for k in range(4)]
    assert assembled(maps, volume, card).labelmap.sum() == 4 * 16
    assert assembled(maps, volume, card, threshold=0.51).labelmap.sum() == 0


def test_weakly_supervised_maps_count_only_on_positive_slices(volume):
    card = get_card("hgi-sam")
    maps = [prediction(k, value, patch(1.0)) for k, value in enumerate((0.2, 0.5, 0.9, 0.1))]
    filled = assembled(maps, volume, card).labelmap.any(axis=(1, 2))
    assert filled.tolist() == [False, True, True, False]


def test_argmax_lets_the_background_compete(volume):
    card = replace(get_card("blast-ct"), labels=(IPH, PERILESIONAL_EDEMA))
    wins, loses = patch(0.4) * 0 + patch(0.4), patch(0.25)
    segmentation = assembled([prediction(0, 1.0, wins, loses)] + [prediction(k, 0) for k in (1, 2, 3)], volume, card)
    assert segmentation.mask("IPH").sum() == 16  # 0.40 against edema 0.25 and background 0.35
    nothing = assembled(
        [prediction(0, 1.0, patch(0.3), patch(0.1))] + [prediction(k, 0) for k in (1, 2, 3)], volume, card
    )
    assert nothing.labelmap.sum() == 0  # background 0.6


def test_bleed_volume_is_measured_in_milliliters_with_each_slices_own_extent(volume):
    card = replace(get_card("unet"), labels=(ICH,))
    segmentation = assembled([prediction(k, 1.0, patch(1.0)) for k in range(4)], volume, card)
    extents = np.array([4, 4, 8, 12])
    expected = 16 * 0.5 * 2.0 * extents / 1000
    np.testing.assert_allclose(blood_per_slice_ml(segmentation), expected)
    (measurement,) = measure(segmentation, volume)
    assert measurement.volume_ml == pytest.approx(expected.sum())
    assert (measurement.first_slice, measurement.last_slice, measurement.components) == (0, 3, 1)
    assert measurement.mean_hu == pytest.approx(60)


def test_edema_never_counts_as_blood(volume):
    card = replace(get_card("blast-ct"), labels=(IPH, PERILESIONAL_EDEMA))
    predictions = [prediction(0, 1.0, patch(0.0), patch(1.0))] + [prediction(k, 0) for k in (1, 2, 3)]
    segmentation = assembled(predictions, volume, card)
    assert segmentation.labelmap.any()
    assert blood_per_slice_ml(segmentation).sum() == 0


def test_pieces_that_touch_at_a_corner_are_one(volume):
    card = replace(get_card("unet"), labels=(ICH,))
    corner = patch(1.0, slice(0, 2), slice(0, 2)) + patch(1.0, slice(2, 4), slice(2, 4))
    apart = corner + patch(1.0, slice(7, 9), slice(7, 9))
    predictions = [prediction(0, 1.0, apart)] + [prediction(k, 0) for k in (1, 2, 3)]
    assert measure(assembled(predictions, volume, card), volume)[0].components == 2


def test_key_slice_is_the_positive_slice_with_most_blood(volume):
    predictions = [prediction(k, value) for k, value in enumerate((0.99, 0.6, 0.7, 0.3))]
    found = summarize(predictions, volume.geometry, 0.5, np.array([0.1, 2.0, 0.5, 9.0]))
    assert found.key_slice == 1
    assert found.positive_slices == (0, 1, 2)
    assert found.exam_probabilities["any"] == pytest.approx(0.99)


def test_less_blood_that_is_sure_is_looked_at_before_more_that_is_doubtful(volume):
    predictions = [prediction(k, value) for k, value in enumerate((0.99, 0.35, 0.7, 0.3))]
    found = summarize(predictions, volume.geometry, 0.3, np.array([2.0, 3.0, 0.5, 0.0]))
    assert found.key_slice == 0


def test_key_slice_of_a_negative_exam_is_the_least_certain_one(volume):
    predictions = [prediction(k, value) for k, value in enumerate((0.1, 0.2, 0.4, 0.3))]
    found = summarize(predictions, volume.geometry, 0.5)
    assert not found.is_positive
    assert found.key_slice == 2


def test_a_prediction_without_the_label_any_is_refused():
    with pytest.raises(ValueError, match="must hold 'any'"):
        SlicePrediction(0, {"IPH": 0.5})
