"""Samplers: the order of an epoch follows from (seed, epoch, position) alone, so that nothing needs saving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from ICHSegmenterLib.errors import RecipeError

SamplerName = Literal["shuffle", "balanced-with-replacement", "balanced-without-replacement"]
_ORDER, _DRAW = 1, 2
"""Keep the random numbers of different purposes apart."""


@dataclass(frozen=True)
class SampleIndex:
    """One sample to load.

    Attributes:
        index: Number of the slice or series.
        seed: For its augmentation; () for none.
        is_real: False for the copies that only fill the last validation batch.
    """

    index: int
    seed: tuple[int, ...] = ()
    is_real: bool = True


def epoch_order(sampler: SamplerName, is_positive: NDArray[np.bool_], *, seed: int, epoch: int) -> NDArray[np.intp]:
    """Indices of one epoch in their order.

    "balanced-with-replacement": as many as there are samples, each class half of them on average;
    "balanced-without-replacement": twice as many as there are positive ones (all if they are fewer), drawn with
    chances inverse to the class frequency.
    """
    random = np.random.default_rng((seed, _ORDER, epoch))
    count = len(is_positive)
    if sampler == "shuffle" or not is_positive.any() or is_positive.all():
        return np.asarray(random.permutation(count), dtype=np.intp)
    positives = int(is_positive.sum())
    chance = np.where(is_positive, 0.5 / positives, 0.5 / (count - positives))
    if sampler == "balanced-with-replacement":
        return np.asarray(random.choice(count, count, p=chance / chance.sum()), dtype=np.intp)
    drawn = min(2 * positives, count)
    return np.asarray(random.choice(count, drawn, replace=False, p=chance / chance.sum()), dtype=np.intp)


@dataclass(frozen=True)
class Shard:
    """The part of one of several processes: rank 0 to world_size - 1."""

    rank: int = 0
    world_size: int = 1


class TrainingBatches(Sampler[list[SampleIndex]]):
    """Batches of one process, the same samples a step however many processes share them.

    Args:
        is_positive: (samples,) for balancing.
        batch_size: Samples of one step over all processes.
        start: (epoch, batches already done in it), where a resumed training goes on.
    """

    def __init__(
        self,
        sampler: SamplerName,
        is_positive: NDArray[np.bool_],
        *,
        batch_size: int,
        seed: int,
        shard: Shard,
        start: tuple[int, int] = (0, 0),
    ) -> None:
        if batch_size % shard.world_size:
            multiple = shard.world_size * max(1, batch_size // shard.world_size)
            raise RecipeError(
                f"data.batch_size is {batch_size}, which cannot be shared by {shard.world_size} processes; "
                f"set it to a multiple, such as data.batch_size={multiple}."
            )
        self._sampler, self._is_positive, self._seed, self._shard = sampler, is_positive, seed, shard
        self._batch_size, self._start = batch_size, start
        self._epoch = start[0]
        self._batches = max(1, len(self._order(0)) // batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        epoch = self._epoch
        order = np.resize(self._order(epoch), self._batches * self._batch_size)  # repeats if there are too few
        first = self._start[1] if epoch == self._start[0] else 0
        for batch in range(first, self._batches):
            places = range(
                batch * self._batch_size + self._shard.rank, (batch + 1) * self._batch_size, self._shard.world_size
            )
            yield [SampleIndex(int(order[place]), (self._seed, _DRAW, epoch, place)) for place in places]

    def _order(self, epoch: int) -> NDArray[np.intp]:
        return epoch_order(self._sampler, self._is_positive, seed=self._seed, epoch=epoch)


class EvaluationBatches(Sampler[list[SampleIndex]]):
    """Every sample once, in order; all processes get equally many batches, filled with copies that do not count."""

    def __init__(self, samples: int, *, batch_size: int, shard: Shard) -> None:
        self._samples, self._batch_size, self._shard = samples, batch_size, shard
        self._batches = -(-samples // (batch_size * shard.world_size))

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        for batch in range(self._batches):
            first = batch * self._batch_size * self._shard.world_size
            places = range(
                first + self._shard.rank, first + self._batch_size * self._shard.world_size, self._shard.world_size
            )
            yield [SampleIndex(min(place, self._samples - 1), is_real=place < self._samples) for place in places]
