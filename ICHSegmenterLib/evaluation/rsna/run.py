"""A folder of RSNA 2019 images to a prediction CSV and its meta CSV, series after series."""

from __future__ import annotations

import csv
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import numpy as np

from ICHSegmenterLib.errors import CancelledError, ICHSegmenterError, VolumeError
from ICHSegmenterLib.evaluation.rsna.csv_files import write_predictions
from ICHSegmenterLib.evaluation.rsna.slices import RsnaSlice, rsna_slices
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.labels import SUBTYPE_LABELS
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

logger = logging.getLogger(__name__)

META_COLUMNS = ("slice_id", "series_id", "ImagePos1", "ImagePos2", "ImagePos3")


def predict_folder(
    folder: Path,
    predictions: Path,
    meta: Path,
    analyze: Callable[[Volume], AnalysisResult],
    *,
    announce: Callable[[int, int, str], None] = lambda done, total, series: None,
) -> dict[str, str]:
    """Predict every slice of a folder; a series that fails does not stop the others.

    Args:
        folder: Folder of .dcm files, of any number of series.
        predictions: Prediction CSV to write: one line for each slice, none for padding.
        meta: Meta CSV to write, in the authors' order of slices.
        analyze: By a method that knows the subtypes.
        announce: Called with (series done, all series, series UID) before each series.

    Returns:
        Series UID to why it failed.

    Raises:
        VolumeError: The folder holds no slices.
        OutputError: A file cannot be written.
        CancelledError: Stopped; nothing is written.
    """
    slices = rsna_slices(folder)
    row_of = {one.slice_id: row for row, one in enumerate(slices)}
    series = [(uid, list(members)) for uid, members in groupby(slices, key=lambda one: one.series_uid)]
    predicted: dict[int, list[float]] = {}
    failures: dict[str, str] = {}
    for number, (uid, members) in enumerate(series):
        announce(number, len(series), uid)
        try:
            values = _predict_series(members, analyze)
        except CancelledError:
            raise
        except ICHSegmenterError as error:
            logger.info("%s: %s", uid, error)
            failures[uid] = str(error)
            continue
        predicted.update((row_of[slice_id], six) for slice_id, six in values.items())
    rows = sorted(predicted)
    write_predictions(predictions, rows, np.array([predicted[row] for row in rows]).reshape(-1, len(SUBTYPE_LABELS)))
    _write_meta(slices, meta)
    return failures


def _predict_series(
    members: Sequence[RsnaSlice], analyze: Callable[[Volume], AnalysisResult]
) -> dict[str, list[float]]:
    """Slice id to six probabilities in RSNA's order.

    Raises:
        VolumeError: Slices of the series could not be used, or the method knows no subtypes.
    """
    with _folder_of(members) as folder:
        volume = read_volume(folder)
    missing = {one.slice_id for one in members} - set(volume.source.instance_uids)
    if missing:
        raise VolumeError(f"{len(missing)} of {len(members)} slices do not belong to one scan, first {min(missing)}.")
    detection = analyze(volume).detection
    if not set(SUBTYPE_LABELS) <= set(detection.exam_probabilities):
        raise VolumeError("the method tells no subtypes; choose rsna-sequence or swin-sam-multi.")
    return {
        uid: [one.probabilities[label] for label in SUBTYPE_LABELS]
        for uid, one in zip(volume.source.instance_uids, detection.slices, strict=True)
    }


@contextmanager
def _folder_of(members: Sequence[RsnaSlice]) -> Iterator[Path]:
    """A folder with nothing but these files: the competition keeps hundreds of thousands in one."""
    with tempfile.TemporaryDirectory(prefix="ichsegmenter-") as name:
        for member in members:
            link = Path(name) / member.path.name
            try:
                link.symlink_to(member.path.resolve())
            except OSError:  # Windows lets only administrators link
                shutil.copyfile(member.path, link)
        yield Path(name)


def _write_meta(slices: Sequence[RsnaSlice], path: Path) -> None:
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(META_COLUMNS)
        writer.writerows((one.slice_id, one.series_uid, *one.position) for one in slices)
