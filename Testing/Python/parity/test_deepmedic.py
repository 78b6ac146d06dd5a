from __future__ import annotations

import numpy as np
import pytest

from conftest import shared_data
from golden_numbers import Golden, parameter_shapes

torch = pytest.importorskip("torch")

from ICHSegmenterLib.methods.blast_ct.dense_tiling import DenseDeepMedic, predict_probabilities  # noqa: E402
from ICHSegmenterLib.models import create_model, load_checkpoint  # noqa: E402
from rule_deepmedic import logits_of_tile, rule_input, rule_network  # noqa: E402

LOGIT_TOLERANCE = 1e-3
RULE_TOLERANCE = 1e-4  # of the largest logit, as for the other networks
IPH = 1
OUTPUT = (slice(40, 70),) * 3
SHIFT = 20
"""Air added on each side puts the golden output block (from 40) on the authors' 30-voxel tiles (from 60)."""
ALIGNED_OUTPUT = (slice(60, 90),) * 3


def golden() -> dict[str, np.ndarray]:
    with np.load(shared_data("golden/blast_ct/golden_v1.npz")) as file:
        return dict(file)


def golden_input() -> np.ndarray:
    return golden()["x"].astype(np.float32) / 255 * 2 - 1


def authors_network(number: int) -> torch.nn.Module:
    network = create_model("deepmedic")
    load_checkpoint(network, shared_data(f"data/blast_ct_v1/model_{number}.pt"))
    return network


def inserted_sphere() -> np.ndarray:
    packed = golden()["inserted"]
    bits = np.unpackbits(packed.ravel())[: 110**3] if packed.dtype == np.uint8 else packed
    return bits.reshape(110, 110, 110).astype(bool)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_parameter_names_and_shapes_are_the_authors() -> None:
    expected = parameter_shapes("blast_ct/keys")
    state = create_model("deepmedic").state_dict()
    found = {key: "x".join(map(str, value.shape)) or "scalar" for key, value in state.items()}
    assert found == expected


def test_logits_with_weights_by_rule_are_those_of_the_network_that_equaled_the_authors() -> None:
    """Testing/thin_golden.py took them after the tests below had passed; they need no trained weights."""
    logits = logits_of_tile(rule_network())
    Golden("blast_ct/golden_rule").assert_close("logits", logits, relative=RULE_TOLERANCE)


def test_dense_inference_with_weights_by_rule_gives_the_probabilities_of_the_network() -> None:
    """A probability changes by at most half of the largest change of a logit, and no logit exceeds 5."""
    probabilities = dense_probabilities(rule_network(), torch.float32, rule_input())
    Golden("blast_ct/golden_rule").assert_close("probabilities", probabilities, atol=RULE_TOLERANCE * 5 / 2)


@pytest.mark.parametrize("number", [1, 7])
def test_logits_of_one_tile_equal_the_golden_numbers(number: int) -> None:
    with torch.inference_mode():
        logits = authors_network(number)(torch.from_numpy(golden_input())[None, None])[0].numpy()
    np.testing.assert_allclose(logits, golden()[f"logits_model_{number}"], atol=LOGIT_TOLERANCE, rtol=0)


@pytest.mark.parametrize(("number", "published_dice"), [(1, 0.76), (7, 0.97)])
def test_inserted_sphere_is_outlined_as_well_as_by_the_authors(number: int, published_dice: float) -> None:
    with torch.inference_mode():
        logits = authors_network(number)(torch.from_numpy(golden_input())[None, None])[0].numpy()
    assert dice(logits.argmax(axis=0) == IPH, inserted_sphere()[OUTPUT]) == pytest.approx(published_dice, abs=0.006)


@pytest.mark.parametrize("number", [1, 7])
def test_dense_inference_gives_the_golden_probabilities(number: int) -> None:
    expected = torch.softmax(torch.from_numpy(golden()[f"logits_model_{number}"]), dim=0).numpy()
    found = dense_probabilities(authors_network(number), torch.float32, golden_input())
    np.testing.assert_allclose(found, expected, atol=LOGIT_TOLERANCE, rtol=0)


@pytest.mark.usefixtures("computed_bfloat16")
@pytest.mark.parametrize("number", [1, 7])
def test_bfloat16_gives_the_same_labels_in_all_but_half_a_percent(number: int) -> None:
    found = dense_probabilities(authors_network(number), torch.bfloat16, golden_input()).argmax(axis=0)
    agreement = np.mean(found == golden()[f"logits_model_{number}"].argmax(axis=0))
    assert agreement >= 0.995


def dense_probabilities(network: torch.nn.Module, dtype: torch.dtype, tile: np.ndarray) -> np.ndarray:
    padded = np.pad(tile, SHIFT, constant_values=-1.0)
    mask = np.zeros(padded.shape, dtype=bool)
    mask[ALIGNED_OUTPUT] = True
    dense = DenseDeepMedic.prepare(network, dtype=dtype)
    return predict_probabilities(padded, [dense], mask=mask)[(slice(None), *ALIGNED_OUTPUT)].astype(np.float32)
