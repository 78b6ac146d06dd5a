"""SMART-Net against numbers computed with the authors' code, all seven upstream variants and both volume networks."""

import numpy as np
import pytest
import torch

from golden_numbers import Golden, parameter_shapes
from ICHSegmenterLib.models import create_model
from parameter_rule import fill

RELATIVE_TOLERANCE = 1e-4  # of the largest value, as the golden files' README suggests
OUTPUTS = {
    "smart_net_up": ("cls", "seg", "rec"),
    "smart_net_up_dual_cls_seg": ("cls", "seg"),
    "smart_net_up_dual_cls_rec": ("cls", "rec"),
    "smart_net_up_dual_seg_rec": ("seg", "rec"),
    "smart_net_up_single_cls": ("cls",),
    "smart_net_up_single_seg": ("seg",),
    "smart_net_up_single_rec": ("rec",),
}
KEY_FILES = {
    "smart_net_up": "Up_SMART_Net",
    "smart_net_up_dual_cls_seg": "Up_SMART_Net_Dual_CLS_SEG",
    "smart_net_up_dual_cls_rec": "Up_SMART_Net_Dual_CLS_REC",
    "smart_net_up_dual_seg_rec": "Up_SMART_Net_Dual_SEG_REC",
    "smart_net_up_single_cls": "Up_SMART_Net_Single_CLS",
    "smart_net_up_single_seg": "Up_SMART_Net_Single_SEG",
    "smart_net_up_single_rec": "Up_SMART_Net_Single_REC",
    "smart_net_down_cls": "Down_SMART_Net_CLS",
    "smart_net_down_seg": "Down_SMART_Net_SEG",
}


def golden(name):
    return Golden(f"smart_net/{name}")


def filled(name):
    """The network with weights by the golden files' rule."""
    return fill(create_model(name))


def close(golden, key, found):
    golden.assert_close(key, found.numpy(), relative=RELATIVE_TOLERANCE)


@pytest.mark.parametrize("name", OUTPUTS)
@torch.inference_mode()
def test_upstream_outputs_equal_the_authors_in_their_order(name):
    expected = golden(name.replace("smart_net_up", "up_smart_net") + "_64x64")
    outputs = filled(name)(torch.from_numpy(golden("up_smart_net_64x64")["x"]))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert len(outputs) == len(OUTPUTS[name])
    for task, output in zip(OUTPUTS[name], outputs, strict=True):
        close(expected, task, output)


@pytest.mark.parametrize("name", KEY_FILES)
def test_tensor_names_and_shapes_are_the_authors(name):
    published = parameter_shapes(f"smart_net/keys/{KEY_FILES[name]}")
    with torch.device("meta"):
        state = create_model(name).state_dict()
    ours = {key: "x".join(map(str, tensor.shape)) or "scalar" for key, tensor in state.items()}
    assert ours == published


@torch.inference_mode()
def test_volume_classification_equals_the_authors_with_padded_slices():
    expected = golden("down_smart_net_cls_a")
    network = filled("smart_net_down_cls")
    volumes, depths = torch.from_numpy(expected["x"]), torch.from_numpy(expected["depths"])
    close(expected, "logit", network(volumes, depths))
    slices = volumes.permute(0, 4, 1, 2, 3).flatten(0, 1)
    features = network.slice_features(slices).view(len(depths), volumes.shape[-1], -1)
    close(expected, "slice_features", features)
    pooled = np.maximum(expected["fc_pre_relu"], 0)
    allowed = RELATIVE_TOLERANCE * pooled.max()
    np.testing.assert_allclose(network.pooled(features, depths).numpy(), pooled, atol=allowed, rtol=0)


@torch.inference_mode()
def test_volume_segmentation_equals_the_authors():
    expected = golden("down_smart_net_seg_a")
    close(expected, "logit", filled("smart_net_down_seg")(torch.from_numpy(expected["x"])))


@torch.inference_mode()
def test_slices_in_batches_give_the_same_maps_as_one_by_one():
    expected = golden("down_smart_net_seg_a")
    network = filled("smart_net_down_seg")
    slices = torch.from_numpy(expected["x"]).permute(0, 4, 1, 2, 3).flatten(0, 1)
    together = network.slice_maps(slices)
    one_by_one = torch.cat([network.slice_maps(one[None]) for one in slices])
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=RELATIVE_TOLERANCE * float(one_by_one.abs().max()))
