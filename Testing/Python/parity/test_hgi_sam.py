"""The networks and maps of HGI-SAM against the authors' numbers (golden data, weights by a rule on key and shape)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from golden_numbers import Golden, parameter_shapes
from ICHSegmenterLib.methods.packed_linear import pack_linear_layers
from ICHSegmenterLib.methods.swin.attention_maps import AttentionMapper
from ICHSegmenterLib.models import create_model
from parameter_rule import fill

LOGIT_TOLERANCE = 1e-4  # of the largest golden value
MAP_TOLERANCE = 1e-3
PUBLISHED_THRESHOLD = 0.05
MIN_DICE = 0.98


@pytest.fixture(scope="module")
def golden():
    return Golden("hgi_sam/swin_b_384_n2")


@pytest.fixture(scope="module")
def slices(golden):
    return torch.from_numpy(golden["x"]).float() / 255


@pytest.fixture(scope="module")
def brain(golden):
    return torch.from_numpy(golden["brain"])[None].expand(2, -1, -1)


@pytest.fixture(scope="module")
def classifier():
    return fill(create_model("swin_classifier", num_classes=2)).requires_grad_(False)


@pytest.fixture(scope="module")
def mapper(classifier):
    return AttentionMapper(classifier)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize(
    ("file", "model", "config"),
    [
        ("swin_b_384_n2", "swin_classifier", {"num_classes": 2}),
        ("unet_release", "unet", {"variant": "release"}),
        ("unet_final", "unet", {"variant": "final"}),
    ],
)
def test_network_has_the_authors_keys_and_shapes(file, model, config):
    expected = parameter_shapes(f"hgi_sam/{file}_keys")
    found = {key: "x".join(map(str, t.shape)) for key, t in create_model(model, **config).state_dict().items()}
    assert found == expected


def test_classifier_gives_the_authors_logits(classifier, slices, golden):
    with torch.no_grad():
        golden.assert_close("logits", classifier(slices).numpy(), relative=LOGIT_TOLERANCE)


@pytest.mark.parametrize("kind", ["hgi_sam", "swin_sam", "grad_cam"])
def test_map_equals_the_authors_map(mapper, slices, brain, golden, kind):
    logits, maps = getattr(mapper, kind)(slices, brain)
    golden.assert_close("logits", logits.numpy(), relative=LOGIT_TOLERANCE)
    golden.assert_close(f"{kind}_map", maps.numpy(), atol=MAP_TOLERANCE)


@pytest.mark.usefixtures("computed_bfloat16")
def test_outline_in_bfloat16_is_the_authors_outline(slices, brain, golden):
    classifier = fill(create_model("swin_classifier", num_classes=2)).requires_grad_(False).bfloat16()
    pack_linear_layers(classifier.swin)
    _, maps = AttentionMapper(classifier).hgi_sam(slices, brain)
    outline = np.unpackbits(golden["hgi_sam_outline"]).reshape(maps.shape).astype(bool)
    assert dice(maps.numpy() >= PUBLISHED_THRESHOLD, outline) >= MIN_DICE


@pytest.mark.parametrize("variant", ["release", "final"])
def test_unet_gives_the_authors_logits_and_classes(slices, variant):
    expected = Golden(f"hgi_sam/unet_{variant}")
    with torch.no_grad():
        logits = fill(create_model("unet", variant=variant))(slices).numpy()
    expected.assert_close("logits", logits[..., ::4, ::4], relative=LOGIT_TOLERANCE)
    classes = np.unpackbits(expected["argmax"]).reshape(2, 384, 384)
    # A pixel whose two logits agree to rounding may fall to either side.
    undecided = np.abs(logits[:, 1] - logits[:, 0]) <= LOGIT_TOLERANCE * np.abs(logits).max()
    assert np.array_equal(logits.argmax(axis=1)[~undecided], classes[~undecided])
