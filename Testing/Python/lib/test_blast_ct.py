from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch")

from ICHSegmenterLib.cards.table import get_card, with_options  # noqa: E402
from ICHSegmenterLib.methods.blast_ct.dense_tiling import DenseDeepMedic  # noqa: E402
from ICHSegmenterLib.methods.blast_ct.predictor import (  # noqa: E402
    DETECTION_AREA_MM2,
    BlastCtPredictor,
    grown,
    network_input,
    slice_probabilities,
)
from ICHSegmenterLib.models import create_model  # noqa: E402
from ICHSegmenterLib.preprocessing.pipeline import prepare  # noqa: E402
from ICHSegmenterLib.protocol import Phase, Stage  # noqa: E402
from ICHSegmenterLib.runtime.context import RunContext  # noqa: E402
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

    found = predictor.predict(prepare(volume, CARD.preprocessing, brain), RunContext())

    assert [one.index for one in found] == list(range(5))
    assert all(set(one.probabilities) == {"any", "IPH", "EAH", "IVH"} for one in found)
    assert found[0].maps is None
    assert found[4].maps is None
    for one in found[1:4]:
        assert one.maps is not None
        assert one.maps.shape == (4, 40, 40)
        assert np.all(one.maps[:, brain[one.index]] > 0)
        assert not one.maps[:, ~brain[one.index]].any()


def head_with_brain_on_one_side() -> tuple[Volume, np.ndarray]:
    """Slices that lie evenly about the patient's midline, so that the 1 mm grid is its own mirror image."""
    steps = np.array((3.0, 0, 0)), np.array((0, 3.0, 0))
    geometry = VolumeGeometry((4, 40, 40), *steps, np.array([(-58.5, -60.0, 6.0 * k) for k in range(4)]))
    brain = np.zeros(geometry.shape, dtype=bool)
    brain[1:3, 16:22, 12:20] = True
    texture = np.random.default_rng(3).uniform(0, 90, geometry.shape)
    return Volume(np.where(brain, texture, -1000).astype(np.float32), geometry), brain


def predicted(volume: Volume, brain: np.ndarray, *, tta: bool, models: int = 1, run: RunContext | None = None) -> list:
    dense = []
    for seed in range(models):
        torch.manual_seed(seed)
        network = create_model("deepmedic").eval()
        torch.nn.init.normal_(network.fully_connected[-1].conv.weight, std=20.0)  # a network that makes up its mind
        dense.append(DenseDeepMedic.prepare(network))
    card = with_options(CARD, {"tta": tta})
    predictor = BlastCtPredictor(
        dense, card.labels, CARD.preprocessing, device="cpu", precision="float32", **card.option_values
    )
    return predictor.predict(prepare(volume, CARD.preprocessing, brain), run or RunContext())


def maps_of(found: list) -> np.ndarray:
    return np.stack([one.maps for one in found if one.maps is not None])


@pytest.fixture(scope="module")
def both_views() -> list:
    return predicted(*head_with_brain_on_one_side(), tta=True)


def test_with_both_views_a_mirrored_head_gets_mirrored_maps(both_views) -> None:
    volume, brain = head_with_brain_on_one_side()
    mirrored = Volume(volume.hu[..., ::-1].copy(), volume.geometry), brain[..., ::-1].copy()
    found = maps_of(predicted(*mirrored, tta=True))[..., ::-1]
    np.testing.assert_allclose(found, maps_of(both_views), atol=1e-3)


def test_both_views_are_the_mean_of_the_head_and_its_mirror_image(both_views) -> None:
    volume, brain = head_with_brain_on_one_side()
    mirrored = Volume(volume.hu[..., ::-1].copy(), volume.geometry), brain[..., ::-1].copy()
    seen = maps_of(predicted(volume, brain, tta=False))
    turned = maps_of(predicted(*mirrored, tta=False))[..., ::-1]
    assert np.abs(seen - turned).max() > 0.01, "views that agree would prove nothing"
    np.testing.assert_allclose(maps_of(both_views), (seen + turned) / 2, atol=1e-3)


def test_uncertainty_is_told_where_views_or_networks_are_averaged(both_views) -> None:
    exam = head_with_brain_on_one_side()
    assert all(one.uncertainty is None for one in predicted(*exam, tta=False))
    for found in (both_views, predicted(*exam, tta=False, models=2)):
        for one in found[1:3]:
            inside = exam[1][one.index]
            assert one.uncertainty[inside].min() > 0
            assert one.uncertainty.max() <= 1
            assert not one.uncertainty[~inside].any()


def test_progress_of_both_views_reaches_its_end_once() -> None:
    told: list[tuple[int, int, Stage]] = []
    predicted(*head_with_brain_on_one_side(), tta=True, run=RunContext(lambda *step: told.append(step)))
    shares = [done / total for done, total, stage in told if stage.phase is Phase.PREDICTING]
    assert shares == sorted(shares)
    assert shares.count(1.0) == 1


def test_a_mask_grows_alike_in_its_box_and_at_the_edge():
    mask = np.zeros((12, 14, 9), dtype=bool)
    mask[0:3, 5:7, 4] = mask[8, 13, 8] = True
    np.testing.assert_array_equal(grown(mask, 2), ndimage.binary_dilation(mask, iterations=2))
    assert not grown(np.zeros((4, 4, 4), dtype=bool), 2).any()
