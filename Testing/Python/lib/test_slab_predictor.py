"""The predictor with slabs, with networks whose answer is known: maps come back to the voxels that they speak of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from head_volumes import gantry_geometry, lps_of_voxels
from ICHSegmenterLib.analysis.single_method import _are_finite
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.errors import CancelledError, WeightsMissingError
from ICHSegmenterLib.labels import ANY, SUBTYPE_LABELS
from ICHSegmenterLib.methods.unet.context_network import ContextUNet
from ICHSegmenterLib.methods.unet.slab_predictor import SlabUnetPredictor
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume, prepare
from ICHSegmenterLib.preprocessing.spec import SlabPreprocessing
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

SMALL = SlabPreprocessing(side=32, spacing_mm=2.0)
"""Two pixels of the scans below are one of the network: averages over both keep straight lines exactly."""
BRAIN_CHANNEL = 4
"""0 to 80 HU of the slab itself."""
REACH_MM = 14.0


class Answering(torch.nn.Module):
    """A network whose probability of each class of blood is a function of its input (B, 7, H, W)."""

    def __init__(self, probabilities: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.probabilities = probabilities
        self.shown: list[torch.Tensor] = []

    def forward(self, slabs: torch.Tensor) -> torch.Tensor:
        self.shown.append(slabs)
        blood = self.probabilities(slabs)
        return torch.cat((1 - blood.sum(dim=1, keepdim=True), blood), dim=1).clamp(min=1e-12).log()


def density(slabs: torch.Tensor) -> torch.Tensor:
    """One class of blood, as likely as the slab is dense."""
    return slabs[:, BRAIN_CHANNEL : BRAIN_CHANNEL + 1]


def dense_only(slabs: torch.Tensor) -> torch.Tensor:
    """Certain blood above 56 HU, nothing else."""
    return (density(slabs) > 0.7).float()


def predictor(probabilities: Callable[[torch.Tensor], torch.Tensor], **options: object) -> SlabUnetPredictor:
    given = {"device": "cpu", "precision": "float32", "with_subtypes": False, **options}
    return SlabUnetPredictor([Answering(probabilities)], SMALL, **given)


def sheared(geometry: VolumeGeometry, shear: float) -> VolumeGeometry:
    """The same slices, each moved along x by so much of its height."""
    z = geometry.slice_origins[:, 2] - geometry.slice_origins[:, 2].mean()
    origins = geometry.slice_origins + shear * z[:, None] * np.array([1.0, 0.0, 0.0])
    return VolumeGeometry(geometry.shape, geometry.column_step, geometry.row_step, origins)


def flipped(geometry: VolumeGeometry, axes: str) -> VolumeGeometry:
    """The same slices, stored in reverse along slices (S), rows (R) or columns (C)."""
    _, rows, columns = geometry.shape
    origins, row_step, column_step = geometry.slice_origins, geometry.row_step, geometry.column_step
    if "R" in axes:
        origins, row_step = origins + (rows - 1) * row_step, -row_step
    if "C" in axes:
        origins, column_step = origins + (columns - 1) * column_step, -column_step
    return VolumeGeometry(geometry.shape, column_step, row_step, origins[::-1] if "S" in axes else origins)


PLAIN = gantry_geometry(slices=10, size=64, pixel_mm=1.0, steps_mm=5.0)
STACKS = {
    "straight": PLAIN,
    "tilted": gantry_geometry(slices=10, size=64, pixel_mm=1.0, steps_mm=5.0, tilt_deg=15.0),
    "sheared": sheared(PLAIN, 0.2),
    "unequal": gantry_geometry(slices=10, size=64, pixel_mm=1.0, steps_mm=[4.0] * 5 + [7.5] * 4),
    "tilted and unequal": gantry_geometry(
        slices=10, size=64, pixel_mm=1.0, steps_mm=[4.0] * 5 + [6.0] * 4, tilt_deg=-12.0
    ),
    "from above": flipped(PLAIN, "S"),
    "upside down": flipped(PLAIN, "R"),
    "mirrored": flipped(PLAIN, "C"),
    "tilted, from above and mirrored": flipped(
        gantry_geometry(slices=10, size=64, pixel_mm=1.0, steps_mm=5.0, tilt_deg=15.0), "SC"
    ),
    "wide": VolumeGeometry((10, 64, 80), PLAIN.column_step, PLAIN.row_step, PLAIN.slice_origins - [8.0, 0.0, 0.0]),
}


def exam_of(geometry: VolumeGeometry, hu: Callable[[np.ndarray], np.ndarray]) -> PreparedVolume:
    """A density that depends on the place in the patient, with brain in a column along the slice normal."""
    points = lps_of_voxels(geometry)
    middle = points.reshape(-1, 3).mean(axis=0)
    in_plane = [direction / np.linalg.norm(direction) for direction in (geometry.row_step, geometry.column_step)]
    brain = np.all([np.abs((points - middle) @ direction) < REACH_MM for direction in in_plane], axis=0)
    return prepare(Volume(hu(points).astype(np.float32), geometry), SMALL, brain)


def sloping(points: np.ndarray) -> np.ndarray:
    return 40.0 + 0.3 * points[..., 0] - 0.2 * points[..., 1] + 0.4 * points[..., 2]


def ball(points: np.ndarray) -> np.ndarray:
    return np.where((points**2).sum(axis=-1) < 9.0**2, 70.0, 30.0)


# ---- on the acquired grid


@pytest.mark.parametrize("name", STACKS)
def test_a_map_lies_on_the_voxels_that_it_was_made_of(name: str):
    """Probability is density, which runs straight through the patient: any shift, flip or exchange would show."""
    exam = exam_of(STACKS[name], sloping)
    predictions = predictor(density).predict(exam, RunContext())
    assert [one.index for one in predictions] == list(range(10))
    for one in predictions:
        brain = exam.brain_mask[one.index]
        assert one.maps is not None and one.maps.shape == (1, *brain.shape)
        np.testing.assert_allclose(one.maps[0][brain], exam.volume.hu[one.index][brain] / 80, atol=1e-3)
        assert not one.maps[0][~brain].any()


def test_maps_may_be_laid_on_slices_when_the_network_has_seen_another_exam():
    method = predictor(density, tta=True)
    exam = exam_of(PLAIN, sloping)
    expected = method.predict(exam, RunContext())
    rest = method.begin(exam, RunContext())
    method.predict(exam_of(PLAIN, ball), RunContext())
    for one, other in zip(rest(), expected, strict=True):
        assert one.probabilities == other.probabilities
        np.testing.assert_array_equal(one.maps, other.maps)
        np.testing.assert_array_equal(one.uncertainty, other.uncertainty)


def test_thin_slices_show_the_network_the_same_and_give_the_same_blood():
    """Thick slices are means of four thin ones; along the normal their blood is spread over the thin ones again."""
    thin = gantry_geometry(slices=40, size=64, pixel_mm=1.0, steps_mm=1.0)
    origins = thin.slice_origins.reshape(10, 4, 3).mean(axis=1)
    thick = VolumeGeometry((10, 64, 64), thin.column_step, thin.row_step, origins)
    exam = exam_of(thin, ball)
    mean = exam.volume.hu.reshape(10, 4, 64, 64).mean(axis=1)
    averaged = prepare(Volume(mean, thick), SMALL, exam.brain_mask[::4])
    blood, shown = [], []
    for one, extent_mm in ((exam, 1.0), (averaged, 4.0)):
        asked = predictor(dense_only)
        maps = [slice_.maps for slice_ in asked.predict(one, RunContext()) if slice_.maps is not None]
        blood.append(extent_mm * sum(float(map_.sum()) for map_ in maps))
        shown.append(torch.cat(asked._networks[0].shown))
    assert blood[1] > 500
    assert blood[0] == pytest.approx(blood[1], rel=1e-4)
    torch.testing.assert_close(shown[0], shown[1], atol=1e-4, rtol=0)


def test_outside_the_brain_is_no_blood():
    exam = exam_of(PLAIN, lambda points: np.full(points.shape[:-1], 70.0))
    for one in predictor(dense_only).predict(exam, RunContext()):
        np.testing.assert_array_equal(one.maps[0] > 0, exam.brain_mask[one.index])


def test_slices_without_any_blood_have_no_map_and_the_value_zero():
    exam = exam_of(PLAIN, ball)
    predictions = predictor(dense_only).predict(exam, RunContext())
    reaches = (exam.volume.hu > 56).any(axis=(1, 2))
    assert 0 < reaches.sum() < len(reaches)
    for one in predictions:
        assert (one.maps is not None) == reaches[one.index]
        assert one.probabilities == {ANY: pytest.approx(1.0 if reaches[one.index] else 0.0)}


def test_slabs_without_brain_are_not_shown():
    exam = exam_of(PLAIN, sloping)
    mask = exam.brain_mask.copy()
    mask[:3] = False
    asked = predictor(density)
    predictions = asked.predict(prepare(exam.volume, SMALL, mask), RunContext())
    assert sum(len(batch) for batch in asked._networks[0].shown) == 7
    assert [one.maps is None for one in predictions] == [True] * 3 + [False] * 7


# ---- values, classes, several looks


@pytest.mark.parametrize(("min_pixels", "value"), [(1, 0.9), (4, 0.9), (5, 0.4), (21, 0.4), (25, 0.4), (26, 0.0)])
def test_the_value_of_a_slice_is_what_so_many_pixels_reach(min_pixels: int, value: float):
    def squares(slabs: torch.Tensor) -> torch.Tensor:
        blood = torch.zeros(len(slabs), 1, *slabs.shape[2:])
        blood[:, :, 10:15, 10:15] = 0.4
        blood[:, :, 12:14, 12:14] = 0.9
        return blood

    exam = exam_of(PLAIN, sloping)
    for one in predictor(squares, min_pixels=min_pixels).predict(exam, RunContext()):
        assert one.probabilities[ANY] == pytest.approx(value, abs=1e-6)


def test_each_class_of_blood_has_a_map_and_a_value_and_any_is_their_sum():
    def subtypes(slabs: torch.Tensor) -> torch.Tensor:
        shares = torch.tensor([0.05, 0.1, 0.15, 0.2, 0.25])
        return shares[None, :, None, None].expand(len(slabs), 5, *slabs.shape[2:])

    exam = exam_of(PLAIN, sloping)
    one = predictor(subtypes, with_subtypes=True).predict(exam, RunContext())[4]
    assert tuple(one.probabilities) == SUBTYPE_LABELS
    assert list(one.probabilities.values()) == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.25, 0.75], abs=1e-5)
    inside = one.maps[:, exam.brain_mask[4]]
    np.testing.assert_allclose(
        inside, np.array([[0.05], [0.1], [0.15], [0.2], [0.25]]).repeat(inside.shape[1], 1), atol=1e-5
    )


def left_half(slabs: torch.Tensor) -> torch.Tensor:
    blood = torch.zeros(len(slabs), 1, *slabs.shape[2:])
    blood[..., : slabs.shape[3] // 2] = 1.0
    return blood


@pytest.mark.parametrize("tta", [False, True])
def test_the_mirrored_slabs_count_as_much_and_leave_an_uncertainty(tta: bool):
    exam = exam_of(PLAIN, sloping)
    one = predictor(left_half, tta=tta).predict(exam, RunContext())[4]
    inside = one.maps[0][exam.brain_mask[4]]
    if tta:
        np.testing.assert_allclose(inside, 0.5, atol=1e-5)
        np.testing.assert_allclose(one.uncertainty[exam.brain_mask[4]], 1.0, atol=1e-4)
        assert not one.uncertainty[~exam.brain_mask[4]].any()
    else:
        assert set(np.round(inside, 5)) >= {0.0, 1.0}
        assert one.uncertainty is None


def test_several_networks_are_averaged():
    exam = exam_of(PLAIN, sloping)
    networks = [Answering(left_half), Answering(lambda slabs: 1 - left_half(slabs))]
    asked = SlabUnetPredictor(networks, SMALL, device="cpu", precision="float32", with_subtypes=False)
    one = asked.predict(exam, RunContext())[4]
    np.testing.assert_allclose(one.maps[0][exam.brain_mask[4]], 0.5, atol=1e-5)
    assert one.uncertainty is not None


def test_numbers_that_left_the_range_of_float16_are_not_taken_for_nothing():
    exam = exam_of(PLAIN, sloping)
    asked = predictor(lambda slabs: torch.full((len(slabs), 1, *slabs.shape[2:]), torch.nan))
    assert not _are_finite(asked.predict(exam, RunContext()))


# ---- batches and wrong use


def test_batches_of_any_size_say_the_same():
    torch.manual_seed(0)
    network = ContextUNet(6, widths=(8, 8))
    exam = exam_of(STACKS["tilted"], sloping)
    asked = SlabUnetPredictor([network], SMALL, device="cpu", precision="float32", tta=True)
    answers = []
    for size in (1, 3, 32):
        asked.batch_size = size
        answers.append(asked.predict(exam, RunContext()))
    for other in answers[1:]:
        for one, expected in zip(other, answers[0], strict=True):
            assert one.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
            np.testing.assert_allclose(one.maps, expected.maps, atol=1e-5)
            np.testing.assert_allclose(one.uncertainty, expected.uncertainty, atol=1e-4)


def test_a_run_is_cancelled_between_two_batches():
    asked = predictor(density)
    asked.batch_size = 2
    shown, reported = asked._networks[0].shown, []
    context = RunContext(
        progress=lambda done, total, stage: reported.append((done, total)), cancelled=lambda: len(shown) == 2
    )
    with pytest.raises(CancelledError):
        asked.predict(exam_of(PLAIN, sloping), context)
    assert len(shown) == 2
    assert reported == [(0, 10), (2, 10), (4, 10)]


def test_wrong_use_is_refused(tmp_path):
    with pytest.raises(ValueError, match="an ensemble needs at least one network"):
        SlabUnetPredictor([], SMALL, device="cpu", precision="float32")
    with pytest.raises(ValueError, match="min_pixels must be at least 1, got 0"):
        predictor(density, min_pixels=0)
    with pytest.raises(WeightsMissingError, match="needs at least one weight file"):
        SlabUnetPredictor.load(get_card("compact-unet"), [], device="cpu", precision="float32")
