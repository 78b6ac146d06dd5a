"""`prepare`: a data set as it is distributed into shards with one index; it can be stopped and run again.

Work is cut into shards of whole series, the same every time. A shard is finished when its .csv stands beside its
.tar, so another run, or another machine with another part of them, does only what is left.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ICHSegmenterLib.datasets.layouts import get_layout
from ICHSegmenterLib.datasets.shards import write_shard
from ICHSegmenterLib.datasets.slices import SliceItem, SliceTable, read_table, write_rows, write_table
from ICHSegmenterLib.datasets.sources import BadFile, Plan, ReadOptions, SeriesContent
from ICHSegmenterLib.datasets.splits import Split
from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.files import replacing, typed_reader

INDEX, BAD_FILES, PLAN, PARTS = "index.csv", "corrupt.csv", "plan.json", "parts.json"
SLICES_A_SHARD = 2000
"""About 400 MB a shard: large enough for a network disk, small enough to lose."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class PrepareOptions:
    """Settings of a run.

    Attributes:
        workers: Processes; 0 works in this one.
        part: (n, of): this run does every n-th of so many parts, for several machines with one disk.
        allow_missing: Labels without files are noted, not an error.
        slices_a_shard: A series is never cut.
    """

    workers: int = 0
    part: tuple[int, int] = (1, 1)
    allow_missing: bool = False
    slices_a_shard: int = SLICES_A_SHARD


@dataclass(frozen=True)
class Prepared:
    """The outcome of a run.

    Attributes:
        slices, seconds: Written in this run.
        skipped: Shards that were there already.
        total: Slices in the index; 0 while shards of other parts are missing.
        bad_files: Left out, over all runs.
        notes: What else was noticed.
        is_complete: All shards are there and the index is written.
    """

    slices: int
    seconds: float
    skipped: int
    total: int
    bad_files: tuple[BadFile, ...]
    notes: tuple[str, ...]
    is_complete: bool

    @property
    def slices_a_second(self) -> float:
        """Speed of this run."""
        return self.slices / self.seconds if self.seconds > 0 else 0.0


def prepare_dataset(
    folder: Path,
    cache: Path,
    layout: str,
    options: PrepareOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Prepared:
    """Write the shards that are missing, and the index when all are there.

    Args:
        folder: The data set as distributed.
        cache: Where shards and index go.
        layout: A name of `LAYOUTS`.
        options: How to go about it.
        progress: Called with (shards done, shards, message).

    Raises:
        TrainingDataError: The data set is not what its layout promises.
        ValueError: There is no such layout.
    """
    start = time.perf_counter()
    options = options or PrepareOptions()
    with _pool(options.workers) as pool:
        source = get_layout(layout).source(folder, ReadOptions(cache, options.allow_missing, pool))
        groups = _groups(source.plans, options.slices_a_shard)
        _check_plan(cache, folder, layout, groups)
        number, count = options.part
        own = [shard for shard in range(len(groups)) if shard % count == number - 1]
        todo = [shard for shard in own if not _index_of(cache, shard).is_file()]
        run = map if pool is None else pool.map
        written = run(partial(_write, source.read, cache), todo, [groups[shard] for shard in todo])
        slices = 0
        for done, shard_slices in enumerate(written, start=1):
            slices += shard_slices
            if progress is not None:
                progress(done, len(todo), "Preparing")
        if source.parts:
            with replacing(cache / PARTS) as draft:
                draft.write_text(json.dumps(dict(source.parts), indent=1), encoding="utf-8")
    seconds = time.perf_counter() - start
    complete = all(_index_of(cache, shard).is_file() for shard in range(len(groups)))
    bad = _bad_files(cache, len(groups))
    total = _merge(cache, len(groups), bad) if complete else 0
    return Prepared(slices, seconds, len(own) - len(todo), total, bad, source.notes, complete)


def load_prepared(cache: Path) -> SliceTable:
    """The index of a prepared data set.

    Raises:
        TrainingDataError: There is none, or it is of another version.
    """
    if not (cache / INDEX).is_file():
        raise TrainingDataError(f"{cache} holds no {INDEX}; run `prepare` to the end first.")
    return read_table([cache / INDEX])


def left_out_files(cache: Path) -> tuple[BadFile, ...]:
    """The files that a finished cache lacks because they could not be read."""
    path = cache / BAD_FILES
    return tuple(_read_bad(path)) if path.is_file() else ()


def given_split(cache: Path, fold: int = 0) -> Split:
    """The split that a data set comes with; `fold` is kept for the record.

    Raises:
        TrainingDataError: It comes with none.
    """
    if not (cache / PARTS).is_file():
        raise TrainingDataError(
            f"{cache} holds no {PARTS}: this data set comes without a split. Set data.given_split=false, or prepare "
            "one that has it, such as the layout smart-net."
        )
    parts = _read_plan(cache / PARTS)
    train, validation, test = (
        tuple(sorted(patient for patient, part in parts.items() if part == name))
        for name in ("train", "validation", "test")
    )
    return Split(train, validation, test, seed=0, folds=0, fold=fold)


def is_prepared(folder: Path) -> bool:
    """True if the folder is a finished cache."""
    return (folder / INDEX).is_file()


@contextmanager
def _pool(workers: int) -> Iterator[Executor | None]:
    if workers <= 0:
        yield None
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield pool


def _groups(plans: Sequence[Plan], slices_a_shard: int) -> list[list[Plan]]:
    """Series together until a shard is full."""
    groups: list[list[Plan]] = []
    held = slices_a_shard
    for plan in plans:
        if held >= slices_a_shard:
            groups.append([])
            held = 0
        groups[-1].append(plan)
        held += plan.slices
    return groups


def _check_plan(cache: Path, folder: Path, layout: str, groups: list[list[Any]]) -> None:
    """The shards in the cache must be of the same data set, cut in the same way."""
    plan = {"layout": layout, "shards": [[group[0].series, len(group)] for group in groups]}
    path = cache / PLAN
    if path.is_file() and _read_plan(path) != plan:
        raise TrainingDataError(
            f"{cache} was begun for another state of the data set than {folder} has now (files were added or "
            "removed, or shards had another size). Choose another output folder, or empty this one."
        )
    with replacing(path) as draft:
        draft.write_text(json.dumps(plan), encoding="utf-8")


@typed_reader(TrainingDataError)
def _read_plan(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write(read: Callable[[Plan], SeriesContent], cache: Path, number: int, plans: list[Plan]) -> int:
    """One shard, then its list of bad files, then its index, which says that it is finished."""
    bad: list[BadFile] = []

    def items() -> Iterator[SliceItem]:
        for plan in plans:
            content = read(plan)
            bad.extend(content.bad_files)
            yield from content.items

    rows = write_shard(items(), cache / f"shard-{number:06d}.tar")
    _write_bad(_bad_of(cache, number), bad)
    write_rows(rows, _index_of(cache, number))
    return len(rows)


def _merge(cache: Path, shards: int, bad: tuple[BadFile, ...]) -> int:
    table = read_table([_index_of(cache, number) for number in range(shards)])
    if not len(table) and bad:
        raise TrainingDataError(f"None of the series could be prepared. {bad[0].name}: {bad[0].reason}")
    _write_bad(cache / BAD_FILES, bad)
    write_table(table, cache / INDEX)
    return len(table)


def _bad_files(cache: Path, shards: int) -> tuple[BadFile, ...]:
    bad: list[BadFile] = []
    for path in (_bad_of(cache, number) for number in range(shards)):
        if path.is_file():
            bad += _read_bad(path)
    return tuple(bad)


@typed_reader(TrainingDataError)
def _read_bad(path: Path) -> list[BadFile]:
    with path.open(newline="", encoding="utf-8") as stream:
        return [BadFile(*line) for line in list(csv.reader(stream))[1:]]


def _write_bad(path: Path, bad: list[BadFile] | tuple[BadFile, ...]) -> None:
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file", "reason"))
        writer.writerows((file.name, file.reason) for file in bad)


def _index_of(cache: Path, number: int) -> Path:
    return cache / f"shard-{number:06d}.csv"


def _bad_of(cache: Path, number: int) -> Path:
    return cache / f"shard-{number:06d}-corrupt.csv"
