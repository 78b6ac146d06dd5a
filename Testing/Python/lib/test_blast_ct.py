from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch")

from ICHSegmenterLib.inference.dense_tiling import DenseDeepMedic  # noqa: E402
from ICHSegmenterLib.inference.predictors.blast_ct import (  # noqa: E402
    DETECTION_AREA_MM2,
    BlastCtPredictor,
    grown,
    network_input,
    slice_probabilities,
)
from ICHSegmenterLib.inference.run import Run  # noqa: E402
from ICHSegmenterLib.model_cards import get_card  # noqa: E402
from ICHSegmenterLib.models import create_model  # noqa: E402
from ICHSegmenterLib.preprocessing.pipeline import prepare  # noqa: E402
from ICHSegmenterLib.volume.geometry import VolumeGeometry  # noqa: E402
from ICHSegmenterLib.volume.volume import Volume  # noqa: E402

CARD = get_card("blast-ct")
PIXEL_MM2 = 0.25
IPH, EAH, EDEMA, IVH = range(4)


def maps_with_spot(label: int, area_mm2: float, value: float) -> np.ndarray:
    maps = np.zeros((4, 64, 64), dtype=np.float32)
    maps[label].ravel()[: round(area_mm2 / PIXEL_MM2)] = value
    return maps


def test_labels_are_the_network_classes_in_order() -> None:
    assert [label.key for label in CARD.labels] == ["IPH", "EAH", "edema", "IVH"]


def test_hounsfield_range_becomes_minus_one_to_one() -> None:
    hu = np.array((-1024, -15, 42.5, 100, 3000), dtype=np.float32)
    np.testing.assert_allclose(network_input(hu, (-15.0, 100.0)), (-1, -1, 0, 1, 1), atol=1e-6)
    assert hu[0] == -1024, "the input must stay as it was"


@pytest.mark.parametrize("label", [IPH, EAH, IVH])
def test_slice_value_is_the_probability_reached_on_the_detection_area(label: int) -> None:
    found = slice_probabilities(maps_with_spot(label, DETECTION_AREA_MM2 * 1.1, 0.8), CARD.labels, PIXEL_MM2)
    assert found["any"] == pytest.approx(0.8)
    assert found[CARD.labels[label].key] == pytest.approx(0.8)


def test_spot_smaller_than_the_detection_area_does_not_count() -> None:
    found = slice_probabilities(maps_with_spot(IPH, DETECTION_AREA_MM2 * 0.9, 1.0), CARD.labels, PIXEL_MM2)
    assert found["any"] == 0


def test_edema_is_never_blood() -> None:
    found = slice_probabilities(maps_with_spot(EDEMA, 500, 1.0), CARD.labels, PIXEL_MM2)
    assert set(found) == {"any", "IPH", "EAH", "IVH"}
    assert set(found.values()) == {0.0}


def test_blood_classes_add_up_to_any() -> None:
    maps = maps_with_spot(IPH, 100, 0.4) + maps_with_spot(IVH, 100, 0.35)
    assert slice_probabilities(maps, CARD.labels, PIXEL_MM2)["any"] == pytest.approx(0.75)


def test_every_acquired_slice_gets_a_prediction_and_maps_only_inside_the_brain() -> None:
    angle = np.radians(15)
    row_step = 3.0 * np.array((0, np.cos(angle), -np.sin(angle)))
    origins = np.array([(-60.0, -60.0, 6.0 * k) for k in range(5)])
    geometry = VolumeGeometry((5, 40, 40), np.array((3.0, 0, 0)), row_step, origins)
    brain = np.zeros(geometry.shape, dtype=bool)
    brain[1:4, 16:24, 15:25] = True
    volume = Volume(np.where(brain, 35, -1000).astype(np.float32), geometry)
    torch.manual_seed(0)
    dense = DenseDeepMedic.prepare(create_model("deepmedic"))
    predictor = BlastCtPredictor([dense], CARD.labels, CARD.preprocessing, device="cpu", precision="float32")

    found = predictor.predict(prepare(volume, CARD.preprocessing, brain), Run())

    assert [one.index for one in found] == list(range(5))
    assert all(set(one.probabilities) == {"any", "IPH", "EAH", "IVH"} for one in found)
    assert found[0].maps is None
    assert found[4].maps is None
    for one in found[1:4]:
        assert one.maps is not None
        assert one.maps.shape == (4, 40, 40)
        assert np.all(one.maps[:, brain[one.index]] > 0)
        assert not one.maps[:, ~brain[one.index]].any()


def test_a_mask_grows_alike_in_its_box_and_at_the_edge():
    mask = np.zeros((12, 14, 9), dtype=bool)
    mask[0:3, 5:7, 4] = mask[8, 13, 8] = True
    np.testing.assert_array_equal(grown(mask, 2), ndimage.binary_dilation(mask, iterations=2))
    assert not grown(np.zeros((4, 4, 4), dtype=bool), 2).any()
