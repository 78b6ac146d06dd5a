"""SMART-Net's losses, learning rates, metrics, activation maps and one training step against the authors' numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from golden_numbers import Golden
from ICHSegmenterLib.evaluation.smart_net import metrics
from ICHSegmenterLib.learning.smart_net_schedule import cosine_restart_rate, linear_rate
from ICHSegmenterLib.methods.smart_net import loss as losses
from ICHSegmenterLib.methods.smart_net.activation_maps import activation_maps
from ICHSegmenterLib.models import create_model
from parameter_rule import fill

RELATIVE_TOLERANCE = 1e-4
TRAINING_TOLERANCE = 1e-3  # a step in training mode, as the golden files' README suggests
TERMS = {"CLS_Loss": "cls", "SEG_Loss": "seg", "REC_Loss": "rec", "Consist_Loss": "consistency"}
VARIANTS = {
    "Up_SMART_Net": ("cls", "seg", "rec"),
    "Up_SMART_Net_Dual_CLS_SEG": ("cls", "seg"),
    "Up_SMART_Net_Dual_CLS_REC": ("cls", "rec"),
    "Up_SMART_Net_Dual_SEG_REC": ("seg", "rec"),
    "Up_SMART_Net_Single_CLS": ("cls",),
    "Up_SMART_Net_Single_SEG": ("seg",),
    "Up_SMART_Net_Single_REC": ("rec",),
    "Down_SMART_Net_CLS": ("cls",),
    "Down_SMART_Net_SEG": ("seg",),
}


def golden(name):
    return Golden(f"smart_net/{name}")


def tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array)).float()


def close(found, expected, tolerance=RELATIVE_TOLERANCE):
    np.testing.assert_allclose(np.asarray(found), expected, atol=tolerance * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("case", ["A", "B_one_empty", "C_all_empty", "D_3d"])
def test_segmentation_loss_and_its_gradient_equal_the_authors(case):
    expected = golden("losses")
    logits, masks = tensor(expected[f"{case}_logit"]).requires_grad_(), tensor(expected[f"{case}_mask"])
    assert losses.dice_loss(logits, masks).item() == pytest.approx(float(expected[f"{case}_dice"]), rel=1e-5)
    loss = losses.segmentation_loss(logits, masks)
    loss.backward()
    assert loss.item() == pytest.approx(float(expected[f"{case}_dice_bce"]), rel=1e-5)
    expected.assert_close(f"{case}_grad", logits.grad, relative=RELATIVE_TOLERANCE)


@pytest.mark.parametrize("case", ["E", "F_one", "G_big"])
def test_consistency_and_its_two_gradients_equal_the_authors(case):
    expected = golden("losses")
    outline = tensor(expected[f"{case}_seglogit_f16"]).requires_grad_()
    verdict = tensor(expected[f"{case}_clslogit"]).requires_grad_()
    loss = losses.consistency_loss(outline, verdict)
    loss.backward()
    assert loss.item() == pytest.approx(float(expected[f"{case}_consist"]), rel=1e-4)
    close(verdict.grad, expected[f"{case}_gradcls"])
    assert float(outline.grad.abs().sum()) == pytest.approx(float(expected[f"{case}_gradseg_abs_sum"]), rel=1e-3)
    assert int((outline.grad != 0).sum()) == expected[f"{case}_gradseg_nonzero"]


def test_consistency_of_small_slices_is_refused():
    with pytest.raises(ValueError, match="256 x 256"):
        losses.consistency_loss(torch.zeros(1, 1, 128, 256), torch.zeros(1, 1))


@pytest.mark.parametrize("variant", VARIANTS)
def test_total_and_terms_of_every_variant_equal_the_authors(variant):
    data = golden("losses")
    everything = {"cls": data["full_cls"], "seg": data["full_seg_f16"], "rec": data["full_rec_f16"]}
    truths = {"cls": data["full_clsgt"], "seg": data["full_mask_u8"], "rec": data["full_input_f16"]}
    tasks = VARIANTS[variant]
    terms = losses.smart_net_terms(
        {task: tensor(everything[task]) for task in tasks}, {task: tensor(truths[task]) for task in tasks}
    )
    expected = json.loads(str(data["criteria_json"]))[variant]
    assert float(sum(terms.values())) == pytest.approx(expected.pop("total"), rel=1e-5)
    found = {name: float(terms[key]) for name, key in TERMS.items() if key in terms}
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("epochs", "rate", "least"), [(1000, 5e-4, 1e-5), (500, 5e-6, 1e-7), (20, 5e-4, 1e-5)])
def test_linear_learning_rates_equal_the_authors_at_every_epoch(epochs, rate, least):
    digits = {5e-4: "0.0005", 5e-6: "5e-06"}[rate], {1e-5: "1e-05", 1e-7: "1e-07"}[least]
    expected = golden("lr_schedule")[f"poly_epochs{epochs}_lr{digits[0]}_min{digits[1]}"]
    found = [linear_rate(epoch, epochs=epochs, rate=rate, min_factor=least) for epoch in range(epochs)]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-18)


def test_cosine_learning_rates_equal_the_authors_through_three_restarts():
    expected = golden("lr_schedule")["cosine_baselr1e-6"]
    found = [cosine_restart_rate(epoch, floor=1e-6) for epoch in range(len(expected))]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_without_the_lag_only_the_first_epoch_has_no_rate():
    rates = [linear_rate(epoch, epochs=100, rate=1.0, min_factor=0, lags=False) for epoch in (0, 1, 10, 99)]
    assert rates == pytest.approx([0, 0.1, 1, 1 / 90])


def test_detection_figures_equal_the_authors():
    figures = pytest.importorskip("ICHSegmenterLib.evaluation.detection_metrics")
    data = golden("metrics")
    values, truth = data["cls_prob"][:, 0].astype(np.float64), data["cls_gt"][:, 0] > 0
    judged = figures.ScoredItems(truth, values, values > metrics.POSITIVE_ABOVE, ("",) * len(values))
    assert figures.auc(judged) == pytest.approx(float(data["auc"]))
    order = (figures.f1, figures.accuracy, figures.sensitivity, figures.specificity)
    found = [figure(judged, np.ones(len(values))) for figure in order]
    assert found == pytest.approx(list(data["f1_acc_sen_spe"]), rel=1e-6)


def test_dice_leaves_out_cases_without_blood_as_the_authors_do():
    data = golden("metrics")
    predicted, truth = data["seg_prob"] > metrics.POSITIVE_ABOVE, data["seg_gt"] > 0
    cases = [metrics.dice(*pair) for pair in zip(predicted, truth, strict=True)]
    np.testing.assert_allclose(cases, data["dice_per_case"][:, 0], rtol=1e-6)
    assert metrics.mean_dice(cases) == pytest.approx(float(data["dice"]))


def test_false_positive_voxels_count_only_where_there_is_no_blood():
    outlined, empty = np.ones((2, 3, 4), bool), np.zeros((2, 3, 4), bool)
    assert metrics.false_positive_voxels(outlined, empty) == 24
    assert metrics.false_positive_voxels(outlined, outlined) == 0
    assert np.isnan(metrics.mean_dice([metrics.dice(outlined, empty)]))


def test_activation_maps_equal_the_authors():
    data = golden("activation_map")
    maps = activation_maps(tensor(data["layer4_like"]), 256)
    assert tuple(maps.shape) == tuple(data["shape"])
    data.assert_close("map_sample", maps[:, ::8, ::8], relative=RELATIVE_TOLERANCE)
    assert (float(maps.mean()), float(maps.std()), float(maps.min()), float(maps.max())) == pytest.approx(
        tuple(data["map_stats"]), rel=1e-3
    )


@pytest.mark.slow
def test_one_training_step_equals_the_authors():
    data = golden("up_smart_net_train_step")
    network = fill(create_model("smart_net_up")).train()
    network.classification_head[2].p = 0.0
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-4, weight_decay=5e-4)
    slices = tensor(data["x"])
    outputs = losses.by_task(network(slices), network.tasks)
    terms = losses.smart_net_terms(
        outputs, {"cls": tensor(data["clsgt"]), "seg": tensor(data["mask_u8"]), "rec": slices}
    )
    sum(terms.values()).backward()
    optimizer.step()

    for task, output in outputs.items():
        data.assert_close(task, output.detach(), relative=TRAINING_TOLERANCE)
    expected = json.loads(str(data["loss_json"]))
    assert float(sum(terms.values())) == pytest.approx(expected["total"], rel=TRAINING_TOLERANCE)
    parameters = dict(network.named_parameters())
    names = [str(name) for name in data["param_names"]]
    assert sorted(names) == sorted(parameters)
    norms = [float(parameters[name].grad.norm()) for name in names]
    np.testing.assert_allclose(norms, data["grad_norm"], rtol=0.02, atol=1e-4 * data["grad_norm"].max())
    buffers = dict(network.named_buffers())
    for key in (one for one in data.whole_keys() if one.startswith("after_")):
        close(buffers[key.removeprefix("after_").replace("__", ".")], data[key], TRAINING_TOLERANCE)
    stepped = np.array([float(parameters[name].detach().ravel()[0]) for name in names])
    sure = np.abs(data["grad_first"]) > 1e-3 * data["grad_norm"]  # Adam's first step is the sign of the gradient
    assert np.count_nonzero(sure) > len(names) / 2
    np.testing.assert_allclose(stepped[sure], data["param_first_after_adam"][sure], atol=2e-5)


def step_by_depth(network, volumes, depths):
    """The downstream networks in training as the authors run them: one slice of each volume after the other."""
    steps = [volumes[..., number] for number in range(volumes.shape[-1])]
    if depths is not None:
        features = torch.stack([network.slice_features(one) for one in steps], dim=1)
        return network.head(network.dropout(network.pooled(features, depths)))
    return network.volume_logits(torch.stack([network.slice_maps(one) for one in steps], dim=-1))


@pytest.mark.parametrize("name", ["smart_net_down_cls", "smart_net_down_seg"])
def test_batch_norms_may_see_one_slice_of_each_volume_as_the_authors_do(name):
    torch.manual_seed(0)
    volumes = torch.rand(2, 1, 32, 32, 3)
    depths = torch.tensor([3, 3]) if name.endswith("cls") else None
    given = (volumes,) if depths is None else (volumes, depths)
    outputs, means = {}, {}
    for kind in ("theirs", "per_depth", "together"):
        torch.manual_seed(1)
        network = create_model(name, width=4, layers=[1, 1, 1, 1], per_depth=kind == "per_depth").train()
        torch.manual_seed(2)
        outputs[kind] = step_by_depth(network, volumes, depths) if kind == "theirs" else network(*given)
        means[kind] = network.encoder.bn1.running_mean.clone()
        assert int(network.encoder.bn1.num_batches_tracked) == (1 if kind == "together" else 3)
    torch.testing.assert_close(outputs["per_depth"], outputs["theirs"])
    torch.testing.assert_close(means["per_depth"], means["theirs"])
    assert not torch.allclose(means["together"], means["theirs"])
    networks = [create_model(name, width=4, layers=[1, 1, 1, 1], per_depth=flag).eval() for flag in (True, False)]
    networks[1].load_state_dict(networks[0].state_dict())
    torch.testing.assert_close(networks[0](*given), networks[1](*given))
