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
from typing import Protocol

import numpy as np
import pydicom
from numpy.typing import NDArray

from ICHSegmenterLib.errors import CancelledError, ICHSegmenterError, VolumeError
from ICHSegmenterLib.evaluation.rsna.csv_files import write_predictions
from ICHSegmenterLib.evaluation.rsna.slices import RsnaSlice, rsna_slices
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.labels import SUBTYPE_LABELS
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.dicom.pixels import read_stored_values
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

logger = logging.getLogger(__name__)

AIR_HU = -1000.0
PredictSeries = Callable[[Sequence[RsnaSlice]], dict[str, list[float]]]
"""The slices of a series to slice id and six probabilities in RSNA's order.

Raises:
    VolumeError: They cannot be predicted.
"""


class SeriesPredictor(Protocol):
    """The part of the sequence transformer's predictor that is needed here."""

    def predict_series(self, hu: NDArray[np.float32]) -> NDArray[np.float32]:
        """(slices, 6) of HU (slices, rows, columns) in order."""
        ...


META_COLUMNS = ("slice_id", "series_id", "ImagePos1", "ImagePos2", "ImagePos3")


def predict_folder(
    folder: Path,
    predictions: Path,
    meta: Path,
    predict: PredictSeries,
    *,
    announce: Callable[[int, int, str], None] = lambda done, total, series: None,
) -> dict[str, str]:
    """Predict every slice of a folder; a series that fails does not stop the others.

    Args:
        folder: Folder of .dcm files, of any number of series.
        predictions: Prediction CSV to write: one line for each slice, none for padding.
        meta: Meta CSV to write, in the authors' order of slices.
        predict: `by_volume`, or `by_series`, which gives every slice a value.
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
            values = predict(members)
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


def by_volume(analyze: Callable[[Volume], AnalysisResult]) -> PredictSeries:
    """Predictions of a method for volumes: a series must be one scan, with a head in it."""

    def predict(members: Sequence[RsnaSlice]) -> dict[str, list[float]]:
        with _folder_of(members) as folder:
            volume = read_volume(folder)
        missing = {one.slice_id for one in members} - set(volume.source.instance_uids)
        if missing:
            raise VolumeError(
                f"{len(missing)} of {len(members)} slices do not belong to one scan, first {min(missing)}."
            )
        detection = analyze(volume).detection
        if not set(SUBTYPE_LABELS) <= set(detection.exam_probabilities):
            raise VolumeError("the method tells no subtypes; choose rsna-sequence or swin-sam-multi.")
        return {
            uid: [one.own[label] for label in SUBTYPE_LABELS]
            for uid, one in zip(volume.source.instance_uids, detection.slices, strict=True)
        }

    return predict


def by_series(predictor: SeriesPredictor, *, xyz_order: bool = False) -> PredictSeries:
    """Predictions of the sequence transformer for the images as they are, as its authors show them.

    Nothing is asked of a series: two slices at one position, gaps, and slices without brain are all predicted. A slice
    of another size than the others is shown as an empty one.

    Args:
        predictor: Of the sequence transformer.
        xyz_order: Keep the authors' order, by x, y and z; else by z, as the patient lies in a scanner.
    """

    def predict(members: Sequence[RsnaSlice]) -> dict[str, list[float]]:
        ordered = list(members) if xyz_order else sorted(members, key=lambda one: one.position[::-1])
        slices = [hu_of_file(one.path) for one in ordered]
        sizes = [one.shape for one in slices]
        usual = max(set(sizes), key=sizes.count)
        cube = np.stack([one if one.shape == usual else np.full(usual, AIR_HU, np.float32) for one in slices])
        values = predictor.predict_series(cube)
        return {one.slice_id: six.tolist() for one, six in zip(ordered, values, strict=True)}

    return predict


def hu_of_file(path: Path) -> NDArray[np.float32]:
    """Hounsfield units of one image as stored, float32 (rows, columns).

    Raises:
        VolumeError: It cannot be read.
    """
    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["RescaleSlope", "RescaleIntercept"])
    slope, intercept = float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))
    return (read_stored_values(path)[0].astype(np.float32) * np.float32(slope) + np.float32(intercept)).astype(
        np.float32
    )


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
