"""RSNA 2019 stage 2: `stage_2_train/ID_*.dcm` and `stage_2_train.csv` with six rows for each image.

Data: Flanders et al., Radiology: AI 2020, doi 10.1148/ryai.2020190211 (non-commercial terms).
Headers are read once and kept, for 752 803 of them take a while; a broken run continues where it stopped.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from ICHSegmenterLib.datasets.slices import UNKNOWN, SliceItem
from ICHSegmenterLib.datasets.sources import BadFile, SeriesPlan, Source, existing_file, existing_folder
from ICHSegmenterLib.errors import TrainingDataError, VolumeError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.labels import SUBTYPE_LABELS, HemorrhageSubtype
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.volume.dicom.pixels import read_stored_values
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.hounsfield import with_air_for_padding

IMAGES, CSV = ("stage_2_train", "stage_2_train_images"), ("stage_2_train.csv",)
UNLABELED_IMAGES = ("stage_2_test", "stage_2_test_images")
HEADERS_AT_ONCE = 5000
_TAGS = [
    "PatientID",
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
]
_COLUMN_OF = {subtype.value: place for place, subtype in enumerate(HemorrhageSubtype)}
_UNREADABLE = (InvalidDicomError, OSError, ValueError, TypeError, AttributeError, KeyError, EOFError)


@dataclass(frozen=True)
class Header:
    """What a file says of itself: who, where (mm along the normal), how to rescale, how to show."""

    name: str
    patient: str
    series: str
    position: float
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    rescale: tuple[float, ...]
    window: tuple[int, ...]


def source(
    folder: Path, cache: Path, *, allow_missing: bool, is_labeled: bool = True, pool: Executor | None = None
) -> Source:
    """The series of the data set.

    Args:
        folder: With the images and the CSV.
        cache: Where headers are kept.
        allow_missing: Labels without a file are noted, not an error: for a partial copy.
        is_labeled: The training images; else those of `stage_2_test`, of which no label is known.
        pool: Reads headers.

    Raises:
        TrainingDataError: The CSV or the images are absent, or labels have no files.
    """
    if not is_labeled:
        images = existing_folder(folder, *UNLABELED_IMAGES)
        names = sorted(path.name for path in images.iterdir() if path.suffix.lower() == ".dcm")
        nothing = dict.fromkeys((Path(name).stem for name in names), (UNKNOWN,) * len(SUBTYPE_LABELS))
        return _source_of(images, names, nothing, cache, pool, [])
    labels = read_labels(existing_file(folder, *CSV, what="the labels"))
    images = existing_folder(folder, *IMAGES)
    names = sorted(path.name for path in images.iterdir() if path.suffix.lower() == ".dcm")
    present = {Path(name).stem for name in names}
    missing = sorted(set(labels) - present)
    if missing and (not allow_missing or len(missing) == len(labels)):
        raise TrainingDataError(
            f"{len(missing)} of {len(labels)} labeled images have no file in {images} ({', '.join(missing[:3])} ...). "
            "Finish the download, or give --allow-missing to prepare what is there."
        )
    unlabeled = [name for name in names if Path(name).stem not in labels]
    notes = [f"{len(missing)} labels have no file"] * bool(missing)
    notes += [f"{len(unlabeled)} files have no label and are left out"] * bool(unlabeled)
    return _source_of(images, [name for name in names if Path(name).stem in labels], labels, cache, pool, notes)


def read_labels(path: Path) -> dict[str, tuple[int, ...]]:
    """Image id to six labels in the order of `SUBTYPE_LABELS`; rows that stand twice count once.

    Raises:
        TrainingDataError: Other columns, a row that cannot be read, or rows of one image that contradict each other.
    """
    found: dict[str, list[int | None]] = {}
    with path.open(newline="", encoding="utf-8") as stream:
        lines = csv.reader(stream)
        header = next(lines, [])
        if header != ["ID", "Label"]:
            raise TrainingDataError(
                f"{path.name}: expected the columns ID,Label, found {','.join(header) or 'nothing'}."
            )
        for number, line in enumerate(lines, start=2):
            image, _, kind = line[0].rpartition("_")
            if kind not in _COLUMN_OF or line[1] not in ("0", "1"):
                raise TrainingDataError(f"{path.name}, line {number}: {','.join(line)} is no ID_image_subtype,0 or 1.")
            values = found.setdefault(image, [None] * len(SUBTYPE_LABELS))
            column = _COLUMN_OF[kind]
            if values[column] not in (None, int(line[1])):
                raise TrainingDataError(f"{path.name}, line {number}: {line[0]} was labeled otherwise before.")
            values[column] = int(line[1])
    incomplete = next((image for image, values in found.items() if None in values), None)
    if incomplete is not None:
        raise TrainingDataError(f"{path.name}: {incomplete} does not have all six labels; the file is incomplete.")
    return {image: tuple(int(value or 0) for value in values) for image, values in found.items()}


def read_series(images: Path, plan: SeriesPlan) -> tuple[list[SliceItem], list[BadFile]]:
    """The slices of one series in axial display, lowest first, and the files that could not be read."""
    if isinstance(plan.files, BadFile):
        return [], [plan.files]
    items, bad = [], []
    for number, (header, labels) in enumerate(plan.files):
        try:
            items.append(_read(images / header.name, header, number, labels))
        except VolumeError as error:
            bad.append(BadFile(header.name, str(error)))
    return items, bad


def _source_of(
    images: Path,
    names: list[str],
    labels: Mapping[str, tuple[int, ...]],
    cache: Path,
    pool: Executor | None,
    notes: list[str],
) -> Source:
    headers, bad = _headers(images, names, cache, pool)
    plans = _plans(headers, labels)
    plans += [SeriesPlan("", f"unreadable-{number:06d}", 0, one) for number, one in enumerate(bad)]
    return Source(plans, partial(read_series, images), tuple(notes))


def _read(path: Path, header: Header, number: int, labels: tuple[int, ...]) -> SliceItem:
    stored = read_stored_values(path)[0]
    hu = with_air_for_padding(stored.astype(np.float32) * np.float32(header.rescale[0]) + np.float32(header.rescale[1]))
    cosines = np.array(header.orientation)
    geometry = VolumeGeometry(
        (1, *stored.shape), cosines[:3] * header.spacing[1], cosines[3:] * header.spacing[0], np.zeros((1, 3))
    )
    view = AxialView.of(geometry)
    turned = np.ascontiguousarray(view.apply_to_slices(np.rint(hu).astype(np.int16)))
    spacing = header.spacing if view.axes[1] == 1 else header.spacing[::-1]
    window = (header.window[0], header.window[1])
    return SliceItem(
        path.stem, header.patient, header.series, number, turned, None, labels, (spacing[0], spacing[1]), window
    )


def _headers(images: Path, names: list[str], cache: Path, pool: Executor | None) -> tuple[list[Header], list[BadFile]]:
    """All headers; those of parts that were read before come from the cache."""
    parts = [names[start : start + HEADERS_AT_ONCE] for start in range(0, len(names), HEADERS_AT_ONCE)]
    run: Callable[..., Iterable[Path]] = map if pool is None else pool.map
    paths = [cache / "headers" / f"{number:05d}.csv" for number in range(len(parts))]
    list(run(partial(_read_headers, images), parts, paths))
    headers, bad = [], []
    for path in paths:
        with path.open(newline="", encoding="utf-8") as stream:
            for line in csv.reader(stream):
                if len(line) == 2:
                    bad.append(BadFile(*line))
                else:
                    headers.append(_header_of(line))
    return headers, bad


def _read_headers(images: Path, names: list[str], path: Path) -> Path:
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as stream:
            if [line[0] for line in csv.reader(stream)] == names:
                return path
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        for name in names:
            try:
                writer.writerow(_line_of(images / name))
            except _UNREADABLE as error:
                writer.writerow([name, f"the header cannot be read ({error})"])
    return path


def _line_of(path: Path) -> list[object]:
    file = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    cosines = np.array(file.ImageOrientationPatient, dtype=float)
    position = float(np.array(file.ImagePositionPatient, dtype=float) @ np.cross(cosines[:3], cosines[3:]))
    numbers = [*cosines, *file.PixelSpacing, file.get("RescaleSlope", 1), file.get("RescaleIntercept", 0)]
    window = [_first(file.get("WindowCenter", 0)), _first(file.get("WindowWidth", 0))]
    return [path.name, file.PatientID, file.SeriesInstanceUID, position, *map(float, numbers), *window]


def _header_of(line: list[str]) -> Header:
    numbers = tuple(float(text) for text in line[4:14])
    window = (int(line[14]), int(line[15]))
    return Header(line[0], line[1], line[2], float(line[3]), numbers[:6], numbers[6:8], numbers[8:10], window)


def _first(value: object) -> int:
    """The first of several windows, as the authors take it."""
    several = isinstance(value, pydicom.multival.MultiValue)
    return int(float(str(value[0] if several else value) or 0))  # type: ignore[index]


def _plans(headers: list[Header], labels: Mapping[str, tuple[int, ...]]) -> list[SeriesPlan]:
    of_series: dict[str, list[Header]] = {}
    for header in headers:
        of_series.setdefault(header.series, []).append(header)
    plans = []
    for series, several in sorted(of_series.items()):
        patients = {header.patient for header in several}
        if len(patients) > 1:
            raise TrainingDataError(f"Series {series} belongs to several patients ({', '.join(sorted(patients))}).")
        ordered = sorted(several, key=lambda header: (header.position, header.name))
        files = [(header, labels[Path(header.name).stem]) for header in ordered]
        plans.append(SeriesPlan(several[0].patient, series, len(files), files))
    return plans
