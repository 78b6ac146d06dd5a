"""What the two doors of a batch share, the verb and Slicer's script: exams, options of the run, lines at the end."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ICHSegmenterLib.batch.archives import unpacked
from ICHSegmenterLib.batch.engines.ends import InputLostError, OutputLostError
from ICHSegmenterLib.batch.engines.engine import Announce, RunOptions
from ICHSegmenterLib.batch.engines.time_limit import TimeLimit
from ICHSegmenterLib.batch.index.store import Store
from ICHSegmenterLib.batch.names import index_folder
from ICHSegmenterLib.batch.pages import complete_batch
from ICHSegmenterLib.batch.run import SUMMARY_FILE, Exam, ExamOutcome, find_exams
from ICHSegmenterLib.batch.tables.parquet import check_parquet
from ICHSegmenterLib.cli.searching import Search
from ICHSegmenterLib.datasets.brain_masks import brain_mask_of
from ICHSegmenterLib.errors import CancelledError, DeviceLostError, ICHSegmenterError

EXIT_DONE, EXIT_FAILED = 0, 1


def options_of(
    arguments: argparse.Namespace,
    stop: threading.Event,
    announce: Announce = lambda begun, total, failed, name: None,
) -> RunOptions:
    """The options that the arguments make."""
    options = RunOptions(stop, TimeLimit(arguments.exam_timeout), announce=announce)
    return options if arguments.readers is None else replace(options, readers=arguments.readers)


@contextmanager
def exams_of(inputs: Sequence[Path], arguments: argparse.Namespace) -> Iterator[list[Exam]]:
    """The exams of a batch, each with its brain mask if there is a folder of them; those of zip files for the block.

    Raises:
        OutputError: The index cannot be written, or a zip file not unpacked.
        VolumeError: There is none.
        DependencyError: Parquet files are asked for, and pyarrow is not installed.
        ValueError: An exam has no brain mask.
    """
    if arguments.parquet:
        check_parquet()
    folder = index_folder(arguments.output)
    with unpacked(inputs, folder) as paths:
        with Store(folder) as store:
            exams = find_exams(paths, Search(), store=store, all_series=arguments.all_series)
        yield exams if arguments.brain_masks is None else with_masks(exams, arguments.brain_masks)


def with_masks(exams: list[Exam], folder: Path) -> list[Exam]:
    """The exams, each with its brain mask.

    Raises:
        ValueError: One has none.
    """
    masks = [brain_mask_of(exam.path, folder) for exam in exams]
    absent = [exam.path.name for exam, mask in zip(exams, masks, strict=True) if mask is None]
    if absent:
        raise ValueError(
            f"{folder}: {len(absent)} of {len(exams)} exams have no brain mask ({', '.join(absent[:3])}); name each "
            "NAME_mask.nii.gz or NAME.nii.gz after its exam"
        )
    return [replace(exam, brain_mask=mask) for exam, mask in zip(exams, masks, strict=True)]


@contextmanager
def completed_if_it_ends(arguments: argparse.Namespace) -> Iterator[None]:
    """Pages of what there is, if the run in the block ends before its last exam; its error goes on."""
    try:
        yield
    except (CancelledError, KeyboardInterrupt, OutputLostError, InputLostError, DeviceLostError):
        with contextlib.suppress(ICHSegmenterError, OSError):  # the first error is the one to read
            complete_batch(arguments.output, parquet=arguments.parquet)
        raise


def conclude(outcomes: Sequence[ExamOutcome], arguments: argparse.Namespace) -> int:
    """Write the pages, print what failed and how many are done; the exit code: 1 if any exam failed."""
    pages = complete_batch(arguments.output, parquet=arguments.parquet)
    failed = [one for one in outcomes if one.status == "failed"]
    for outcome in failed:
        print(f"failed: {outcome.exam.name}: {outcome.message}", file=sys.stderr)
    done, skipped = (sum(one.status == status for one in outcomes) for status in ("done", "skipped"))
    print(f"{done} done, {skipped} done before, {len(failed)} failed: {arguments.output / SUMMARY_FILE}")
    print(f"Worklist: {pages[0]}")
    return EXIT_FAILED if failed else EXIT_DONE
