"""Predictors that walk over slices: what they say of a slice, and of slices without brain."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from head_volumes import head
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.errors import CancelledError, DependencyError, WeightsError
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.methods.slice_batches import SliceBatch, predict_slices
from ICHSegmenterLib.methods.swin.predictor import SwinMapPredictor, probabilities_of
from ICHSegmenterLib.methods.table import load_predictor
from ICHSegmenterLib.methods.unet.predictor import UnetPredictor, slice_probability
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.preprocessing.pipeline import prepare
from ICHSegmenterLib.preprocessing.spec import RSNA_WINDOWS, SlicePreprocessing
from ICHSegmenterLib.runtime.context import RunContext

CROP = 32


@pytest.fixture(scope="module")
def exam():
    """A head whose first two and last slices hold no brain, seen at 32 x 32 pixels."""
    volume = head()
    mask = np.zeros(volume.geometry.shape, dtype=bool)
    mask[2:-1] = True
    return prepare(volume, SlicePreprocessing(resize=36, crop=CROP), mask)


def unet_files(tmp_path, *variants):
    paths = []
    for place, variant in enumerate(variants):
        torch.manual_seed(place)
        paths.append(tmp_path / f"fold{place}.pt")
        torch.save(create_model("unet", variant=variant).state_dict(), paths[-1])
    return paths


def saying_half(indices):
    return SliceBatch({ANY: np.full(len(indices), 0.5)}, np.full((len(indices), 1, CROP, CROP), 0.5, dtype=np.float32))


def test_every_acquired_slice_gets_a_prediction_and_those_without_brain_zeros_and_no_map(exam):
    predictions = predict_slices(exam, RunContext(), 3, (ANY,), saying_half)
    assert [one.index for one in predictions] == list(range(exam.volume.geometry.shape[0]))
    for one in predictions:
        has_brain = one.index in exam.brain_slices
        assert one.probabilities[ANY] == (0.5 if has_brain else 0.0)
        assert (one.maps is not None) == has_brain


def test_maps_come_back_on_the_acquired_slice(exam):
    one = predict_slices(exam, RunContext(), 3, (ANY,), saying_half)[exam.brain_slices[0]]
    assert one.maps.shape == (1, *exam.volume.geometry.shape[1:])


def test_progress_counts_slices_with_brain_and_ends_complete(exam):
    reports = []
    run = RunContext(progress=lambda done, total, message: reports.append((done, total)))
    predict_slices(exam, run, 4, (ANY,), saying_half)
    total = len(exam.brain_slices)
    assert reports[0] == (0, total)
    assert reports[-1] == (total, total)


def test_a_cancelled_run_stops_before_the_next_batch(exam):
    asked = []

    def predict_batch(indices):
        asked.append(indices)
        return saying_half(indices)

    with pytest.raises(CancelledError):
        predict_slices(exam, RunContext(cancelled=lambda: len(asked) == 1), 2, (ANY,), predict_batch)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([[0.0]], {"any": 0.5}),
        ([[1.0, 1.0]], {"any": 0.5}),
        ([[0.0, np.log(3.0)]], {"any": 0.75}),
        (
            [[0.0, 0.0, 0.0, 0.0, 0.0, np.log(3.0)]],
            {"EDH": 0.5, "IPH": 0.5, "IVH": 0.5, "SAH": 0.5, "SDH": 0.5, "any": 0.75},
        ),
    ],
)
def test_logits_become_probabilities_by_the_number_of_classes(logits, expected):
    found = {label: float(values[0]) for label, values in probabilities_of(torch.tensor(logits)).items()}
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(("pixels", "is_positive"), [(0, False), (10, False), (11, True)])
def test_unet_detects_a_slice_with_more_than_ten_foreground_pixels(pixels, is_positive):
    foreground = torch.full((1, CROP, CROP), 0.1)
    foreground.view(-1)[:pixels] = 0.9
    assert bool(slice_probability(foreground)[0] >= get_card("unet").detection_threshold) == is_positive


@pytest.mark.parametrize(("pixels", "is_positive"), [(20, False), (21, True)])
def test_the_compact_unet_overlooks_up_to_twenty_pixels_as_its_card_says(pixels, is_positive):
    card = get_card("compact-unet")
    foreground = torch.full((1, CROP, CROP), 0.1)
    foreground.view(-1)[:pixels] = 0.99
    value = slice_probability(foreground, card.option_values["min_pixels"])[0]
    assert bool(value >= card.detection_threshold) == is_positive


def test_a_bleed_has_at_least_one_pixel():
    with pytest.raises(ValueError, match="min_pixels must be at least 1, got 0"):
        UnetPredictor([create_model("unet")], device="cpu", precision="float32", min_pixels=0)


def test_no_more_pixels_can_be_asked_for_than_a_slice_has():
    assert slice_probability(torch.zeros(1, 4, 4), 16) == 0
    with pytest.raises(ValueError, match="min_pixels is 17, but the network sees only 16 of a slice"):
        slice_probability(torch.zeros(1, 4, 4), 17)


def test_a_method_whose_package_is_missing_says_which(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(DependencyError, match="needs Python packages .*'timm'.*ichsegmenter\\[torch\\]"):
        load_predictor(get_card("hgi-sam"), [], device="cpu", precision="float32")


def test_unet_files_of_both_variants_may_be_mixed_and_their_mean_is_the_map(exam, tmp_path):
    files = unet_files(tmp_path, "release", "final")
    card = get_card("unet")
    index = exam.brain_slices[0]
    both, first, second = (
        UnetPredictor.load(card, paths, device="cpu", precision="float32").predict(exam, RunContext())[index].maps
        for paths in (files, files[:1], files[1:])
    )
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_allclose(both, (first + second) / 2, atol=1e-5)


def test_a_swin_method_takes_one_weight_file(tmp_path):
    with pytest.raises(WeightsError, match="one weight file, but 2"):
        SwinMapPredictor.load(get_card("hgi-sam"), [tmp_path, tmp_path], device="cpu", precision="float32")


@pytest.mark.parametrize(("map_kind", "classes"), [("hgi-sam", 2), ("swin-sam", 6), ("swin-sam", 1), ("grad-cam", 2)])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_swin_predictors_give_values_and_maps_between_zero_and_one(exam, map_kind, classes, precision):
    torch.manual_seed(1)
    network = create_model(
        "swin_classifier",
        num_classes=classes,
        image_size=CROP,
        window_size=2,
        embed_dim=8,
        depths=(2, 2, 2, 2),
        num_heads=(1, 2, 2, 4),
    )
    predictor = SwinMapPredictor(network, map_kind=map_kind, device="cpu", precision=precision)
    one = predictor.predict(exam, RunContext())[exam.brain_slices[0]]
    assert len(one.probabilities) == (6 if classes == 6 else 1)
    assert all(0 < value < 1 for value in one.probabilities.values())
    assert one.maps.min() >= 0
    assert one.maps.max() <= 1


def test_maps_are_drawn_where_a_slice_is_called_positive_and_nowhere_else(exam):
    """A threshold between the values of the slices: the maps above it are those of all slices, the others are none."""
    torch.manual_seed(1)
    config = {"image_size": CROP, "window_size": 2, "embed_dim": 8, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 2, 4)}
    network = create_model("swin_classifier", num_classes=2, **config)
    predictor = SwinMapPredictor(network, map_kind="hgi-sam", device="cpu", precision="float32")
    everywhere = predictor.predict(exam, RunContext())
    values = sorted(one.probabilities[ANY] for one in everywhere if one.index in exam.brain_slices)
    threshold = (values[-1] + values[-2]) / 2
    selected = predictor.predict_above(exam, RunContext(), threshold)
    assert sum(one.maps is not None for one in selected) == 1
    for one, other in zip(selected, everywhere, strict=True):
        assert one.probabilities[ANY] == pytest.approx(other.probabilities[ANY], abs=1e-6)
        if one.maps is not None:
            np.testing.assert_allclose(one.maps, other.maps, atol=1e-5)


class BrightIsBlood(torch.nn.Module):
    """Calls everything above 50 HU intraparenchymal blood; its brain window shows 0 to 80 HU."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, slices):
        logits = torch.full((len(slices), 6, *slices.shape[2:]), -9.0)
        is_bright = slices[:, 0] > 50 / 80
        logits[:, 0], logits[:, 2] = torch.where(is_bright, -9.0, 9.0), torch.where(is_bright, 9.0, -9.0)
        return logits


def test_bone_suppression_takes_calcification_out_and_leaves_blood():
    """One slice with 60 HU, one with 200 HU: the first stays blood, the second is bone and no longer positive."""
    volume = head()
    hu = np.clip(volume.hu, -1000, 40)
    mask = np.zeros(hu.shape, dtype=bool)
    rows, columns = (slice(size // 2 - 10, size // 2 + 10) for size in hu.shape[1:])
    mask[3:8, rows, columns] = True
    hu[3:8, rows, columns] = 30
    blood, stone = 4, 6
    hu[blood, rows, columns], hu[stone, rows, columns] = 60, 200
    seen = SlicePreprocessing(RSNA_WINDOWS, resize=64, crop=64, normalization="window")
    exam = prepare(replace(volume, hu=hu), seen, mask)
    settings = {"device": "cpu", "precision": "float32", "with_subtypes": True}
    trusting, guarded = (
        UnetPredictor([BrightIsBlood()], suppress_bone=guard, **settings).predict(exam, RunContext())
        for guard in (False, True)
    )
    assert trusting[stone].probabilities[ANY] > 0.9
    assert guarded[stone].probabilities[ANY] < 0.5
    assert guarded[stone].maps.max() < 0.5
    assert guarded[blood].probabilities == trusting[blood].probabilities
    assert guarded[blood].probabilities["IPH"] > 0.9 > 0.1 > guarded[blood].probabilities["SAH"]
