"""The SMART-Net methods: batches equal single slices, every acquired slice gets its answer, files must fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("cv2", reason="needs opencv-python-headless")

from head_volumes import gantry_geometry, head
from ICHSegmenterLib.analysis import analyze as engine
from ICHSegmenterLib.cards.table import get_card, with_options
from ICHSegmenterLib.errors import CancelledError, WeightsError, WeightsMissingError
from ICHSegmenterLib.methods.smart_net import volume_predictor as smart_net_volume
from ICHSegmenterLib.methods.smart_net.networks.batch_norm import fold_batch_norms
from ICHSegmenterLib.methods.smart_net.predictor import SmartNetUpPredictor
from ICHSegmenterLib.methods.smart_net.slices import brain_of, stack_of
from ICHSegmenterLib.methods.smart_net.volume_predictor import SmartNetClsPredictor, SmartNetSegPredictor
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.preprocessing.pipeline import prepare
from ICHSegmenterLib.preprocessing.spec import SmartNetPreprocessing
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.volume.volume import Volume

SMALL = SmartNetPreprocessing(size=32)
FLOAT32 = {"device": "cpu", "precision": "float32"}
TOLERANCE = 1e-4


def seeded(name, seed=0):
    """A network whose norms have statistics, so that leaving one out shows."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    network = create_model(name)
    with torch.no_grad():
        for key, buffer in network.named_buffers():
            if key.endswith("running_mean"):
                buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
            elif key.endswith("running_var"):
                buffer.copy_(1 + torch.rand(buffer.shape, generator=generator))
    return network


@pytest.fixture(scope="module")
def volume():
    return head(gantry_geometry(slices=9, size=48, pixel_mm=4.2, steps_mm=14.0))


@pytest.fixture(scope="module")
def exam(volume):
    return prepare(volume, SMALL)


@pytest.fixture(scope="module")
def up_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "up.pt"
    torch.save({"model_state_dict": seeded("smart_net_up").state_dict(), "epoch": 3}, path)
    return path


@pytest.fixture(scope="module")
def up(up_file):
    return SmartNetUpPredictor.load(get_card("smart-net-up"), [up_file], **FLOAT32)


def slices_of(exam, **options):
    return torch.from_numpy(stack_of(exam, **options).slices)[:, None]


@pytest.mark.parametrize("name", ["smart_net_up_dual_cls_seg", "smart_net_down_seg"])
@torch.inference_mode()
def test_folding_the_norms_changes_nothing_but_the_last_digits(name):
    network = seeded(name)
    slices = torch.rand(2, 1, 32, 32)
    inputs = slices if "up" in name else slices.permute(1, 2, 3, 0)[None]
    before = network(inputs)
    fold_batch_norms(network)
    after = network(inputs)
    assert not [module for module in network.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)


@torch.inference_mode()
def test_batches_of_slices_give_what_the_network_says_of_each(exam, up):
    network = seeded("smart_net_up")
    up.batch_size = 4
    found = up.predict(exam, RunContext())
    assert [one.index for one in found] == list(range(9))
    for index, one in enumerate(slices_of(exam)):
        if index not in exam.brain_slices:
            continue
        logit, outline, _ = network(one[None])
        assert found[index].probabilities["any"] == pytest.approx(float(logit.sigmoid()), abs=TOLERANCE)
        inside = outline.sigmoid()[0] * brain_of(exam, stack_of(exam))[index]
        np.testing.assert_allclose(found[index].maps, stack_of(exam).restore(inside.numpy()), atol=TOLERANCE)


def test_slices_without_brain_get_zero_and_no_map(volume, up):
    mask = np.zeros(volume.geometry.shape, dtype=bool)
    mask[3:5] = prepare(volume, SMALL).brain_mask[3:5]
    found = up.predict(prepare(volume, SMALL, mask), RunContext())
    assert [one.index for one in found if one.maps is not None] == [3, 4]
    assert [one.index for one in found if one.probabilities["any"] > 0] == [3, 4]


def test_nothing_is_outlined_outside_the_brain_mask(volume, exam, up):
    mask = exam.brain_mask.copy()
    mask[:, :, 24:] = False
    for one in up.predict(prepare(volume, SMALL, mask), RunContext()):
        assert one.maps is None or not one.maps[:, :, 27:].any()  # but for a pixel of the network, which is 1.5 here


def test_an_exam_stored_from_top_to_bottom_gives_each_slice_the_same_answer(volume, exam, up):
    geometry = replace(volume.geometry, slice_origins=volume.geometry.slice_origins[::-1].copy())
    turned = prepare(Volume(volume.hu[::-1].copy(), geometry), SMALL, exam.brain_mask[::-1])
    for one, other in zip(up.predict(exam, RunContext()), reversed(up.predict(turned, RunContext())), strict=True):
        assert one.probabilities["any"] == pytest.approx(other.probabilities["any"], abs=TOLERANCE)
        if one.maps is not None:
            np.testing.assert_allclose(one.maps, other.maps, atol=TOLERANCE)


def test_slice_wise_mode_spreads_each_slice_and_stacked_mode_the_volume(volume):
    hu = volume.hu.copy()
    hu[4] = np.clip(hu[4], -1000, 40)
    exam = prepare(Volume(hu, volume.geometry), SMALL, prepare(volume, SMALL).brain_mask)
    assert slices_of(exam, mode="stacked")[4].max() < 1
    assert slices_of(exam, mode="slice-wise")[4].max() == 1


@pytest.mark.parametrize(("option", "known"), [("mode", "stacked, slice-wise"), ("variant", "full, dual_cls_seg")])
def test_unknown_values_of_an_option_name_the_known_ones(option, known):
    with pytest.raises(ValueError, match=f"{option} must be one of {known}.*'best'"):
        with_options(get_card("smart-net-up"), {option: "best"})


def test_a_variant_that_only_classifies_outlines_nothing_and_says_so(exam, tmp_path):
    network = seeded("smart_net_up_single_cls")
    torch.save(network.state_dict(), tmp_path / "cls.pt")
    card = with_options(get_card("smart-net-up"), {"variant": "single_cls"})
    run = RunContext()
    found = SmartNetUpPredictor.load(card, [tmp_path / "cls.pt"], **FLOAT32).predict(exam, run)
    assert all(one.maps is None for one in found)
    assert found[4].probabilities["any"] > 0
    assert "only classifies" in str(run.warnings[0])


def test_a_variant_that_only_outlines_judges_slices_by_their_outline(exam):
    predictor = SmartNetUpPredictor(seeded("smart_net_up_single_seg"), **FLOAT32)
    one = predictor.predict(exam, RunContext())[4]
    assert np.median(one.maps[one.maps > 0]) <= one.probabilities["any"] <= one.maps.max() + 0.05


def test_a_file_of_another_variant_is_refused_before_anything_runs(up_file):
    card = with_options(get_card("smart-net-up"), {"variant": "single_seg"})
    with pytest.raises(WeightsError, match=r"up\.pt: does not fit SmartNetUp: .* unexpected .*variant"):
        SmartNetUpPredictor.load(card, [up_file], **FLOAT32)


@pytest.mark.parametrize("method", ["smart-net-up", "smart-net-cls", "smart-net-seg"])
def test_missing_weights_say_that_none_were_published(volume, method):
    with pytest.raises(WeightsMissingError):
        engine.analyze(volume, AnalysisRequest(method))
    predictor = {"up": SmartNetUpPredictor, "cls": SmartNetClsPredictor, "seg": SmartNetSegPredictor}[method[10:]]
    with pytest.raises(WeightsMissingError, match="no published weights: train it"):
        predictor.load(get_card(method), [], **FLOAT32)


def test_two_files_are_refused(up_file):
    with pytest.raises(WeightsError, match="one weight file, got 2"):
        SmartNetUpPredictor.load(get_card("smart-net-up"), [up_file, up_file], **FLOAT32)


def test_cancelling_between_batches_is_a_typed_error(exam, up):
    with pytest.raises(CancelledError):
        up.predict(exam, RunContext(cancelled=lambda: True))


@torch.inference_mode()
def test_the_exam_is_classified_from_all_its_slices_in_order(exam):
    network = seeded("smart_net_down_cls")
    volumes = slices_of(exam)[:, 0].permute(1, 2, 0)[None, None]
    expected = float(network(volumes, torch.tensor([volumes.shape[-1]])).sigmoid())
    found = SmartNetClsPredictor(network, **FLOAT32).predict(exam, RunContext())
    assert found.exam["any"] == pytest.approx(expected, abs=TOLERANCE)
    values = [one.probabilities["any"] for one in found]
    assert max(values) <= found.exam["any"]
    assert [index for index, value in enumerate(values) if value > 0] == list(exam.brain_slices)


def test_an_exam_can_be_positive_without_a_positive_slice(volume, tmp_path, monkeypatch):
    network = seeded("smart_net_down_cls")
    with torch.no_grad():
        network.head.bias.fill_(5.0)
    torch.save(network.state_dict(), tmp_path / "cls.pt")
    monkeypatch.setattr(
        SmartNetClsPredictor,
        "_probabilities",
        lambda _, features: torch.tensor([0.9] if features.shape[1] > 1 else [0.2] * len(features)),
    )
    result = engine.analyze(
        volume, AnalysisRequest("smart-net-cls", weights=[tmp_path / "cls.pt"], device="cpu", precision="float32")
    )
    assert result.segmentation is None
    assert result.detection.is_positive and not result.detection.positive_slices
    assert "in the exam as a whole (score 0.90)" in result.verdict


@torch.inference_mode()
def test_the_exam_is_outlined_as_by_the_network_on_the_whole_volume(exam):
    network = seeded("smart_net_down_seg")
    volumes = slices_of(exam)[:, 0].permute(1, 2, 0)[None, None]
    expected = network(volumes)[0, 0].sigmoid().permute(2, 0, 1) * brain_of(exam, stack_of(exam))
    found = SmartNetSegPredictor(network, **FLOAT32).predict(exam, RunContext())
    for index in exam.brain_slices:
        np.testing.assert_allclose(
            found[index].maps[0], stack_of(exam).restore(expected[index].numpy()), atol=TOLERANCE
        )


@torch.inference_mode()
def test_chunks_of_slices_join_as_all_slices_at_once(monkeypatch):
    network = seeded("smart_net_down_seg")
    maps = torch.rand(11, 16, 8, 8)
    whole = smart_net_volume.volume_probabilities(network, maps, RunContext())
    monkeypatch.setattr(smart_net_volume, "CHUNK", 4)
    torch.testing.assert_close(smart_net_volume.volume_probabilities(network, maps, RunContext()), whole)


def test_bfloat16_answers_are_near_those_of_float32(exam):
    exact = SmartNetUpPredictor(seeded("smart_net_up"), **FLOAT32).predict(exam, RunContext())
    rounded = SmartNetUpPredictor(seeded("smart_net_up"), device="cpu", precision="bfloat16").predict(
        exam, RunContext()
    )
    for one, other in zip(exact, rounded, strict=True):
        assert one.probabilities["any"] == pytest.approx(other.probabilities["any"], abs=0.03)
