"""Thinned golden numbers let pass what equals them, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from parameter_rule import fill, value
from rsna_state import rsna_state
from shared_folder import not_tested
from thinned import BLOCKS, SAMPLES, Thinned, digest

TOLERANCE = 1e-3
SHAPE = (2, 300, 150)


@pytest.fixture(scope="module")
def golden() -> np.ndarray:
    return np.random.default_rng(1).normal(size=SHAPE).astype(np.float32).astype(np.float64)


@pytest.fixture(scope="module")
def thinned(golden: np.ndarray) -> Thinned:
    return Thinned.of(golden)


@pytest.mark.parametrize("seed", range(20))
def test_differences_as_large_as_the_tolerance_allows_pass(golden, thinned, seed):
    errors = np.random.default_rng(seed).choice([-TOLERANCE, TOLERANCE], SHAPE) * 0.999999
    thinned.assert_close(golden + errors, atol=TOLERANCE)


def test_a_constant_difference_within_the_tolerance_passes(golden, thinned):
    thinned.assert_close(golden + 0.999999 * TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("seed", range(5))
def test_noise_of_twice_the_tolerance_fails(golden, thinned, seed):
    noise = np.random.default_rng(seed).normal(0, 2 * TOLERANCE, SHAPE)
    with pytest.raises(AssertionError):
        thinned.assert_close(golden + noise, atol=TOLERANCE)


@pytest.mark.parametrize("start", [0, 7_001, 44_444, 89_000])
def test_a_run_of_wrong_entries_fails_wherever_it_is(golden, thinned, start):
    wrong = golden.copy()
    wrong.ravel()[start : start + 2 * -(-wrong.size // SAMPLES)] += 1.001 * TOLERANCE
    with pytest.raises(AssertionError, match="sampled entry"):
        thinned.assert_close(wrong, atol=TOLERANCE)


@pytest.mark.parametrize("seed", range(5))
def test_few_scattered_entries_that_the_samples_miss_fail_by_their_sums(golden, thinned, seed):
    """Four entries in a thousand, off by a hundred tolerances as with another network."""
    random = np.random.default_rng(seed)
    wrong = golden.ravel().copy()
    entries = random.choice(wrong.size, wrong.size // 250, replace=False)
    wrong[entries] += random.choice([-100, 100], len(entries)) * TOLERANCE
    with pytest.raises(AssertionError):
        thinned.assert_close(wrong.reshape(SHAPE), atol=TOLERANCE)


def test_swapped_blocks_another_shape_and_nan_fail(golden, thinned):
    nan = np.where(np.arange(golden.size).reshape(SHAPE) == 12_345, np.nan, golden)
    for wrong in (golden[::-1], golden.reshape(300, 2, 150), golden * 1.01, nan):
        with pytest.raises(AssertionError):
            thinned.assert_close(wrong, atol=TOLERANCE)


def test_small_arrays_are_kept_entry_by_entry():
    small = np.arange(BLOCKS // 2, dtype=np.float32)
    np.testing.assert_array_equal(Thinned.of(small).samples, small)


def test_a_digest_tells_one_bit_and_not_the_sign_of_zero():
    numbers = np.zeros((3, 4), np.float32)
    assert digest(-numbers) == digest(numbers)
    assert digest(np.nextafter(numbers, 1)) != digest(numbers)
    assert digest(numbers.T) != digest(numbers)
    assert digest(numbers.astype(bool)) == digest(numbers.astype(np.uint8))


@pytest.mark.parametrize(("wrong", "passes"), [(18, True), (19, False), (1000, False)])
def test_whole_numbers_may_be_off_by_one_in_a_share_of_entries(wrong, passes):
    """A share of 2e-4 of 90 000 entries is 18; where each sum has at most one of them, each one counts."""
    numbers = np.random.default_rng(0).integers(0, 255, SHAPE)
    actual = numbers.copy()
    actual.ravel()[np.arange(wrong) * (numbers.size // wrong)] += 1
    thinned = Thinned.of(numbers)
    if passes:
        thinned.assert_few_off_by_one(actual, share=2.1e-4)
    else:
        with pytest.raises(AssertionError):
            thinned.assert_few_off_by_one(actual, share=2e-4)


@pytest.mark.parametrize(
    ("key", "shape", "first", "last", "total"),
    [
        ("encoder.conv1.weight", (64, 1, 7, 7), (0.234984368, 0.106105693, -0.0337089002), 0.326207191, 10.734646),
        ("encoder.bn1.running_mean", (64,), (-0.0774708465, 0.0386681147, 0.0936188176), 0.0386879891, 0.789205028),
        ("encoder.layer1.0.bn3.weight", (256,), (0.307148159, 0.270133376, 0.321294338), 0.252741665, 76.4815613),
        (
            *("segmentation_head.0.weight", (1, 16, 3, 3)),
            *((-0.0425396636, -0.00366058946, 0.0496144779), -0.00979114883, 0.164660901),
        ),
        ("fc.bias", (512,), (-0.0773008913, 0.0169233028, 0.0216849465), 0.0590318777, 2.22134181),
    ],
)
def test_the_rule_gives_the_weights_that_the_golden_numbers_were_made_with(key, shape, first, last, total):
    numbers = value(key, shape)
    assert numbers.shape == shape
    assert [*numbers.ravel()[:3], numbers.ravel()[-1]] == pytest.approx([*first, last], rel=1e-8)
    assert numbers.sum(dtype=np.float64) == pytest.approx(total, rel=1e-8)


def test_a_network_is_filled_to_the_last_buffer():
    torch = pytest.importorskip("torch")
    network = fill(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)))
    for key, tensor in network.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), value(key, tensor.shape))


def test_the_seeded_weights_are_those_that_the_golden_numbers_were_made_with():
    """NumPy promises equal streams of normal numbers only within a version; this tells when they change."""
    state = rsna_state()
    assert sum(array.size for name, array in state.items() if array.any()) == 923_992
    together = np.concatenate([state[name].ravel() for name in sorted(state) if state[name].any()])
    assert digest(together) == "281fbde1267db688ef2d52f89ee653d365b82a42585128ff31eb3a914da87f26"


def test_the_closing_line_names_what_is_missing_where_to_get_it_and_how_often():
    line = not_tested(
        [
            "needs data/blast_ct_v1/model_1.pt, not found in /somewhere",
            "needs data/blast_ct_v1/model_7.pt, not found in /somewhere",
            "needs a CUDA device",
        ]
    )
    assert line.startswith("Not tested (3): 1 x needs a CUDA device; 2 x needs data/blast_ct_v1, the trained weights")
    assert "github.com/biomedia-mira/blast-ct" in line
    assert "ICHSEGMENTER_SHARED" in line
    assert "\n" not in line
    assert not_tested([]) == ""
