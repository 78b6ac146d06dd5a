"""The slice-and-sequence transformer against numbers computed with the authors' code."""

import numpy as np
import pytest
import torch

from golden_numbers import Golden
from ICHSegmenterLib.models import create_model, load_checkpoint
from rsna_state import REDUCED, write_rsna_state

RELATIVE_TOLERANCE = 1e-4
"""Of the largest value: some 40 sums of up to 1000 terms follow each other, whose roundings add up like a random walk
to sqrt(40 * 1000) = 200 times that of single precision, 2.4e-5; another order of sums may differ by four times that."""


@pytest.fixture(scope="module", params=["golden_state.npz", "golden_state.pdparams"])
def network(tmp_path_factory, request):
    model = create_model("slice_sequence_transformer", **REDUCED)
    load_checkpoint(model, write_rsna_state(tmp_path_factory.mktemp("state") / request.param))
    return model


@pytest.fixture(scope="module")
def slices():
    return torch.from_numpy(Golden("rsna/golden_input")["x"]).float() / 255


@pytest.fixture(scope="module")
def golden():
    return Golden("rsna/golden_output")


def close(found, expected):
    np.testing.assert_allclose(found.numpy(), expected, atol=RELATIVE_TOLERANCE * np.abs(expected).max(), rtol=0)


@torch.inference_mode()
def test_features_and_logits_equal_the_authors(network, slices, golden):
    features = network.features(slices)
    golden.assert_close("backbone_features", features, relative=RELATIVE_TOLERANCE)
    golden.assert_close("stage1_logits", network.backbone.fc(features), relative=RELATIVE_TOLERANCE)
    golden.assert_close("stage2_logits", network(slices)[0], relative=RELATIVE_TOLERANCE)


@torch.inference_mode()
def test_zero_slices_attend_when_a_series_is_padded_as_the_authors_do(network, slices, golden):
    padded = torch.cat((slices, torch.zeros(60 - len(slices), *slices.shape[1:])))
    close(network(padded)[0][: len(slices)], golden["padded60_stage2_logits"][: len(slices)])
    golden.assert_close("first5_stage2_logits", network(slices[:5])[0], relative=RELATIVE_TOLERANCE)


@torch.inference_mode()
def test_a_slice_has_the_same_features_in_any_batch(network, slices):
    close(network.features(slices[:1]), network.features(slices)[:1].numpy())


def test_training_returns_sequence_logits_before_slice_logits(network, slices):
    expected = Golden("rsna/golden_train")
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
    expected.assert_close("train_stage2_logits", sequence_logits, relative=RELATIVE_TOLERANCE)
    expected.assert_close("train_stage1_logits", slice_logits, relative=RELATIVE_TOLERANCE)


def test_the_published_size_has_as_many_parameters_as_published():
    with torch.device("meta"):
        model = create_model("slice_sequence_transformer")
    assert sum(parameter.numel() for parameter in model.parameters()) == 95_982_164
