"""How many slices an epoch of each recipe shows, and how often each class, against what the papers' authors did.

Without replacement: twice as many slices as bleed, drawn with chances inverse to the class frequency (HGI-SAM's
classifier). With replacement: as many as there are, both classes equally likely (its U-Net). Else all once.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")
pytest.importorskip("yaml", reason="needs the train extra")

from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.learning.samplers import EvaluationBatches, SampleIndex, Shard, TrainingBatches, epoch_order

SAMPLES, POSITIVES = 1000, 55
DEVIATIONS = 6
"""Standard deviations that a drawn count may lie from its mean: one draw in 500 million is farther away."""


def bleeding(positives: int = POSITIVES, samples: int = SAMPLES) -> NDArray[np.bool_]:
    return np.arange(samples) < positives


def batches_of(name: str, is_positive: NDArray[np.bool_], epoch: int = 0) -> list[list[int]]:
    """Indices of the batches of one epoch of a recipe on one device."""
    data = load_recipe(name).data
    sampler = TrainingBatches(data.sampler, is_positive, batch_size=data.batch_size, seed=0, shard=Shard())
    sampler.set_epoch(epoch)
    batches = [[draw.index for draw in batch] for batch in sampler]
    assert len(sampler) == len(batches)
    assert {len(batch) for batch in batches} == {data.batch_size}
    return batches


@pytest.mark.parametrize("name", ["hgi-sam", "swin-sam", "swin-sam-multi"])
def test_a_classifier_sees_twice_as_many_slices_as_bleed_none_of_them_twice(name: str) -> None:
    """110 slices are 9 whole batches of 12."""
    batches = batches_of(name, bleeding())
    assert len(batches) == 9
    assert len({index for batch in batches for index in batch}) == 9 * 12


@pytest.mark.parametrize(
    ("positives", "length"), [(1, 2), (55, 110), (499, 998), (500, 1000), (501, 1000), (999, 1000)]
)
def test_a_draw_without_replacement_is_twice_the_positives_or_everything(positives: int, length: int) -> None:
    order = epoch_order("balanced-without-replacement", bleeding(positives), seed=0, epoch=0)
    assert len(order) == len(set(order.tolist())) == length


@pytest.mark.parametrize(("name", "batches"), [("unet", 83), ("swin-unetr", 83), ("compact-unet", 83)])
def test_an_outlining_network_sees_as_many_slices_as_there_are(name: str, batches: int) -> None:
    """Whole batches of 12 of 1000 slices."""
    assert len(batches_of(name, bleeding())) == batches


def test_the_sequence_network_sees_every_series_once() -> None:
    batches = batches_of("rsna-sequence", bleeding(samples=100))
    assert sorted(index for batch in batches for index in batch) == list(range(100))


@pytest.mark.parametrize("sampler", ["balanced-with-replacement", "balanced-without-replacement"])
@pytest.mark.parametrize("positives", [0, SAMPLES])
def test_one_class_alone_is_shown_once_each(sampler: str, positives: int) -> None:
    order = epoch_order(sampler, bleeding(positives), seed=0, epoch=0)
    assert sorted(order.tolist()) == list(range(SAMPLES))


def test_with_replacement_every_slice_of_a_class_is_as_likely_and_both_classes_are() -> None:
    epochs = 50
    orders = [epoch_order("balanced-with-replacement", bleeding(), seed=0, epoch=epoch) for epoch in range(epochs)]
    counts = np.bincount(np.concatenate(orders), minlength=SAMPLES)
    draws = epochs * SAMPLES
    assert abs(counts[:POSITIVES].sum() - draws / 2) < DEVIATIONS * np.sqrt(draws / 4)
    for part in (counts[:POSITIVES], counts[POSITIVES:]):
        mean = draws / 2 / len(part)
        assert np.abs(part - mean).max() < DEVIATIONS * np.sqrt(mean)


def test_without_replacement_the_first_slice_bleeds_every_second_time() -> None:
    epochs = 400
    first = [epoch_order("balanced-without-replacement", bleeding(), seed=0, epoch=epoch)[0] for epoch in range(epochs)]
    assert abs(np.count_nonzero(np.array(first) < POSITIVES) - epochs / 2) < DEVIATIONS * np.sqrt(epochs / 4)


def test_samples_that_fill_no_batch_are_repeated() -> None:
    (batch,) = batches_of("unet", bleeding(positives=2, samples=5))
    assert len(batch) == 12


def test_each_draw_of_a_training_has_random_numbers_of_its_own() -> None:
    sampler = TrainingBatches("shuffle", bleeding(), batch_size=10, seed=3, shard=Shard())
    seeds = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        seeds += [draw.seed for batch in sampler for draw in batch]
    assert len(set(seeds)) == len(seeds) == 2 * SAMPLES
    assert {seed[0] for seed in seeds} == {3}


def test_a_training_begins_with_the_first_batch_of_the_first_epoch() -> None:
    sampler = TrainingBatches("shuffle", bleeding(), batch_size=10, seed=3, shard=Shard())
    begun = [[draw.seed for draw in batch] for batch in sampler]
    assert begun == [[(3, begun[0][0][1], 0, 10 * batch + n) for n in range(10)] for batch in range(SAMPLES // 10)]


def test_a_resumed_training_begins_in_its_epoch_and_skips_what_is_done_there_only() -> None:
    sampler = TrainingBatches("shuffle", bleeding(), batch_size=100, seed=3, shard=Shard(), start=(5, 4))
    resumed = [draw.seed for batch in sampler for draw in batch]
    assert [seed[2:] for seed in resumed] == [(5, place) for place in range(400, SAMPLES)]
    sampler.set_epoch(4)
    assert [draw.seed[2:] for batch in sampler for draw in batch] == [(4, place) for place in range(SAMPLES)]


def test_the_last_evaluation_batch_is_filled_with_copies_of_the_last_sample_that_do_not_count() -> None:
    batches = [list(EvaluationBatches(10, batch_size=3, shard=Shard(rank, 2))) for rank in range(2)]
    assert [[draw.index for draw in batch] for batch in batches[0]] == [[0, 2, 4], [6, 8, 9]]
    assert [[draw.index for draw in batch] for batch in batches[1]] == [[1, 3, 5], [7, 9, 9]]
    assert [draw.is_real for draw in batches[0][1]] == [True, True, False]
    assert [draw.is_real for draw in batches[1][1]] == [True, True, False]


@pytest.mark.parametrize(
    ("samples", "batch_size", "processes", "batches"), [(10, 3, 2, 2), (24, 4, 3, 2), (1, 4, 3, 1)]
)
def test_evaluation_takes_as_few_batches_as_show_every_sample(samples, batch_size, processes, batches) -> None:
    assert len(EvaluationBatches(samples, batch_size=batch_size, shard=Shard(0, processes))) == batches


@pytest.mark.parametrize(("batch_size", "processes", "multiple"), [(7, 3, 6), (5, 2, 4), (2, 3, 3), (1, 4, 4)])
def test_a_batch_that_processes_cannot_share_is_answered_with_one_that_they_can(
    batch_size, processes, multiple
) -> None:
    with pytest.raises(RecipeError, match=rf"such as data\.batch_size={multiple}\.$"):
        TrainingBatches("shuffle", bleeding(), batch_size=batch_size, seed=0, shard=Shard(0, processes))


def test_a_sample_is_real_unless_it_is_said_to_fill_a_batch() -> None:
    assert SampleIndex(0).is_real
    assert SampleIndex(0).seed == ()
