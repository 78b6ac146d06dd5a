"""The networks and maps of HGI-SAM against the authors' numbers (golden data, weights by a rule on key and shape)."""

from __future__ import annotations

import csv
import importlib.util
from types import ModuleType

import numpy as np
import pytest
import torch

from conftest import shared_data
from ICHSegmenterLib.methods.swin.attention_maps import AttentionMapper
from ICHSegmenterLib.models import create_model

GOLDEN = shared_data("golden/hgi_sam")
LOGIT_TOLERANCE = 1e-4  # of the largest golden value
MAP_TOLERANCE = 1e-3
PUBLISHED_THRESHOLD = 0.05
MIN_DICE = 0.98


@pytest.fixture(scope="module")
def rule() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parameter_rule", shared_data("golden/parameter_rule.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "swin_b_384_n2.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def slices(golden):
    return torch.from_numpy(golden["x"]).float() / 255


@pytest.fixture(scope="module")
def brain(golden):
    return torch.from_numpy(golden["brain"])[None].expand(2, -1, -1)


@pytest.fixture(scope="module")
def classifier(rule):
    return rule.fill(create_model("swin_classifier", num_classes=2)).requires_grad_(False)


@pytest.fixture(scope="module")
def mapper(classifier):
    return AttentionMapper(classifier)


def assert_close_to_largest(found, golden):
    assert np.abs(found - golden).max() <= LOGIT_TOLERANCE * np.abs(golden).max()


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
    with (GOLDEN / f"{file}_keys.csv").open() as lines:
        expected = {row["key"]: row["shape"] for row in csv.DictReader(lines)}
    found = {key: "x".join(map(str, t.shape)) for key, t in create_model(model, **config).state_dict().items()}
    assert found == expected


def test_classifier_gives_the_authors_logits(classifier, slices, golden):
    with torch.no_grad():
        assert_close_to_largest(classifier(slices).numpy(), golden["logits"])


@pytest.mark.parametrize("kind", ["hgi_sam", "swin_sam", "grad_cam"])
def test_map_equals_the_authors_map(mapper, slices, brain, golden, kind):
    logits, maps = getattr(mapper, kind)(slices, brain)
    assert_close_to_largest(logits.numpy(), golden["logits"])
    np.testing.assert_allclose(maps.numpy(), golden[f"{kind}_map"], rtol=0, atol=MAP_TOLERANCE)


def test_outline_in_bfloat16_is_the_authors_outline(rule, slices, brain, golden):
    classifier = rule.fill(create_model("swin_classifier", num_classes=2)).requires_grad_(False).bfloat16()
    _, maps = AttentionMapper(classifier).hgi_sam(slices, brain)
    assert dice(maps.numpy() >= PUBLISHED_THRESHOLD, golden["hgi_sam_map"] >= PUBLISHED_THRESHOLD) >= MIN_DICE


@pytest.mark.parametrize("variant", ["release", "final"])
def test_unet_gives_the_authors_logits_and_classes(rule, slices, variant):
    network = rule.fill(create_model("unet", variant=variant))
    with np.load(GOLDEN / f"unet_{variant}.npz") as arrays, torch.no_grad():
        logits = network(slices).numpy()
        assert_close_to_largest(logits[..., ::4, ::4], arrays["logits"])
        classes = np.unpackbits(arrays["argmax"]).reshape(2, 384, 384)
    # A pixel whose two logits agree to rounding may fall to either side.
    undecided = np.abs(logits[:, 1] - logits[:, 0]) <= LOGIT_TOLERANCE * np.abs(logits).max()
    assert np.array_equal(logits.argmax(axis=1)[~undecided], classes[~undecided])
