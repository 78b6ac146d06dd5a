"""The slice-and-sequence transformer against numbers computed with the authors' code."""

import numpy as np
import pytest
import torch

from conftest import shared_data
from ICHSegmenterLib.models import create_model, load_checkpoint

REDUCED = {"embed_dim": 16, "depths": (2, 2, 4, 2), "num_heads": (2, 4, 8, 16)}
RELATIVE_TOLERANCE = 1e-4
"""Of the largest value: some 40 sums of up to 1000 terms follow each other, whose roundings add up like a random walk
to sqrt(40 * 1000) = 200 times that of single precision, 2.4e-5; another order of sums may differ by four times that."""


@pytest.fixture(scope="module")
def golden():
    return shared_data("golden/rsna")


@pytest.fixture(scope="module", params=["golden_state.npz", "golden_state.pdparams"])
def network(golden, request):
    model = create_model("slice_sequence_transformer", **REDUCED)
    load_checkpoint(model, golden / request.param)
    return model


@pytest.fixture(scope="module")
def slices(golden):
    return torch.from_numpy(np.load(golden / "golden_input.npy"))


def close(found, expected):
    np.testing.assert_allclose(found.numpy(), expected, atol=RELATIVE_TOLERANCE * np.abs(expected).max(), rtol=0)


@torch.inference_mode()
def test_features_and_logits_equal_the_authors(network, slices, golden):
    expected = np.load(golden / "golden_output.npz")
    features = network.features(slices)
    close(features, expected["backbone_features"])
    close(network.backbone.fc(features), expected["stage1_logits"])
    close(network(slices)[0], expected["stage2_logits"])


@torch.inference_mode()
def test_zero_slices_attend_when_a_series_is_padded_as_the_authors_do(network, slices, golden):
    expected = np.load(golden / "golden_output.npz")
    padded = torch.cat((slices, torch.zeros(60 - len(slices), *slices.shape[1:])))
    close(network(padded)[0][: len(slices)], expected["padded60_stage2_logits"][: len(slices)])
    close(network(slices[:5])[0], expected["first5_stage2_logits"])


@torch.inference_mode()
def test_a_slice_has_the_same_features_in_any_batch(network, slices):
    close(network.features(slices[:1]), network.features(slices)[:1].numpy())


def test_training_returns_sequence_logits_before_slice_logits(network, slices, golden):
    expected = np.load(golden / "golden_train.npz")
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.MultiheadAttention):
            module.dropout = 0.0
        if hasattr(module, "drop_path"):
            module.drop_path = 0.0
    with torch.no_grad():
        sequence_logits, slice_logits = network(slices)
    network.eval()
    close(sequence_logits, expected["train_stage2_logits"])
    close(slice_logits, expected["train_stage1_logits"])


def test_the_published_size_has_as_many_parameters_as_published():
    with torch.device("meta"):
        model = create_model("slice_sequence_transformer")
    assert sum(parameter.numel() for parameter in model.parameters()) == 95_982_164
