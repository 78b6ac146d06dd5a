"""Predictions of a method for a case, kept on disk as `batch` does, so that an interrupted evaluation goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.batch.names import result_name
from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.errors import EvaluationError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.labels import ANY, SUBTYPE_LABELS
from ICHSegmenterLib.outputs.result_json import DONE_FILE
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.nifti import read_nifti
from ICHSegmenterLib.volume.volume import Volume

LABELMAP_FILE, MAP_FILE = "labelmap.nii.gz", "map.nii.gz"

SUBTYPE_KEYS = tuple(key for key in SUBTYPE_LABELS if key != ANY)

Analyze = Callable[..., AnalysisResult]
"""Volume, and `brain_mask` where the data set brings one, to result."""


@dataclass(frozen=True)
class Method:
    """A method under evaluation.

    Attributes:
        name: In tables and pictures.
        folder: One subfolder a case, named after it or as `batch` names it.
        analyze: Runs it on cases that have no result yet; None: all results are there already.
        weights: File name to SHA-256 that a result on disk must have been made with; None: any.
        map_rule: Its outlines are maps above one threshold, which is to be searched; maps are kept.
        positive_slices_only: Slices that are called negative are not outlined.
        of_patient: For networks of folds: patient to the method with the network that never met that patient.
    """

    name: str
    folder: Path
    analyze: Analyze | None = None
    weights: dict[str, str] | None = None
    map_rule: bool = False
    positive_slices_only: bool = False
    of_patient: Callable[[str], Method] | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """The part of a result that is scored.

    Attributes:
        slice_values: (slices,) of "any", as the detection orders them: the network's own, by its published rule.
        subtype_values: (slices, 5) of EDH, IPH, IVH, SAH, SDH, None of methods that do not tell them apart.
        exam_value: Value of "any" for the exam.
        threshold: Threshold of the exam.
        value_name: "probability" or "score".
        mask: bool (slices, rows, columns) of blood as acquired, None for detection-only methods.
        soft: float32 of the same shape in [0, 1], None if it was not kept.
        seconds: Duration of the analysis.
        own_threshold: Threshold of the slices' values, None if it is that of the exam.
    """

    slice_values: NDArray[np.float64]
    exam_value: float
    threshold: float
    value_name: str
    mask: NDArray[np.bool_] | None
    soft: NDArray[np.float32] | None
    seconds: float
    subtype_values: NDArray[np.float64] | None = None
    own_threshold: float | None = None

    @property
    def slice_threshold(self) -> float:
        """Threshold of the slices' values."""
        return self.threshold if self.own_threshold is None else self.own_threshold

    def outline(self, method: Method, threshold: float | None = None) -> NDArray[np.bool_] | None:
        """bool (slices, rows, columns) of blood, None for detection-only methods.

        Args:
            method: That said this.
            threshold: Threshold of the map, instead of the method's own; without a map, or if None, the mask as it is.
        """
        if threshold is None or self.soft is None:
            return self.mask
        mask = np.asarray(self.soft >= threshold)
        if method.positive_slices_only:
            mask[self.slice_values < self.slice_threshold] = False
        return mask


def predict(method: Method, case: Case, volume: Volume, brain_mask: NDArray[np.bool_] | None = None) -> Prediction:
    """The result on disk, or a new one, which is kept.

    Args:
        method: With the network of the fold that holds the patient out, where it has several.
        case: With its name and patient.
        volume: The exam.
        brain_mask: bool (slices, rows, columns) to use instead of our own.

    Raises:
        EvaluationError: There is no result and no way to make one.
        ICHSegmenterError: Whatever the method says.
    """
    method = method if method.of_patient is None else method.of_patient(case.patient)
    name = result_name(method.folder, case.name, case.images[0], volume.source.series_uid or None)
    folder = method.folder / name
    plain = _read_done(folder)
    if plain is None or not _is_current(plain, method, folder):
        if method.analyze is None:
            raise EvaluationError(
                f"{folder} holds no result.json. Run `batch` on the same data, or name the method under --methods."
            )
        given = {} if brain_mask is None else {"brain_mask": brain_mask}
        _write(method.analyze(volume, **given), folder, keeps_map=method.map_rule)
        plain = _read_done(folder)
        if plain is None:
            raise EvaluationError(f"{folder / DONE_FILE} was written but cannot be read. Check the disk.")
    return _prediction(plain, folder, volume)


def read_provenance(folder: Path) -> dict[str, Any]:
    """The provenance of the first result in a batch's folder.

    Raises:
        EvaluationError: There is none.
    """
    for path in sorted(folder.glob(f"*/{DONE_FILE}")):
        plain = _read_done(path.parent)
        if plain is not None:
            provenance: dict[str, Any] = plain["provenance"]
            return provenance
    raise EvaluationError(f"{folder} holds no results (EXAM/{DONE_FILE}). Name the --output folder of `batch`.")


def _is_current(plain: dict[str, Any], method: Method, folder: Path) -> bool:
    """True if the method would say the same again: same weights, and the map kept if it is needed."""
    if method.analyze is None:
        return True
    has_map = not method.map_rule or (folder / MAP_FILE).is_file()
    return has_map and (method.weights is None or plain["provenance"]["weights"] == method.weights)


def _write(result: AnalysisResult, folder: Path, *, keeps_map: bool) -> None:
    segmentation = result.segmentation
    (folder / DONE_FILE).unlink(missing_ok=True)
    if segmentation is not None:
        write_nifti(segmentation.labelmap, segmentation.geometry, folder / LABELMAP_FILE)
        if keeps_map and (blood := segmentation.blood_map) is not None:
            write_nifti(blood, segmentation.geometry, folder / MAP_FILE)
    with replacing(folder / DONE_FILE) as draft:
        draft.write_text(json.dumps(result.to_json()), encoding="utf-8")


def _read_done(folder: Path) -> dict[str, Any] | None:
    """`result.json`, None if it is not there whole."""
    try:
        plain = json.loads((folder / DONE_FILE).read_text(encoding="utf-8"))
        return plain if isinstance(plain["provenance"], dict) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _prediction(plain: dict[str, Any], folder: Path, volume: Volume) -> Prediction:
    labelmap = _on_grid(folder / LABELMAP_FILE, volume)
    result = AnalysisResult.from_json(
        plain, volume.geometry, None if labelmap is None or not plain["labels"] else labelmap.astype(np.uint8)
    )
    slices = sorted(result.detection.slices, key=lambda one: one.index)
    subtypes = None
    if all(key in one.own for one in slices for key in SUBTYPE_KEYS):
        subtypes = np.array([[float(one.own[key]) for key in SUBTYPE_KEYS] for one in slices])
    return Prediction(
        slice_values=np.array([float(one.own[ANY]) for one in slices]),
        exam_value=float(result.detection.exam_probabilities[ANY]),
        threshold=result.detection.threshold,
        value_name=result.provenance.value_name,
        mask=None if result.segmentation is None else result.segmentation.blood_mask,
        soft=_on_grid(folder / MAP_FILE, volume),
        seconds=float(sum(result.provenance.seconds.values())),
        subtype_values=subtypes,
        own_threshold=result.detection.own_threshold,
    )


def _on_grid(path: Path, volume: Volume) -> NDArray[Any] | None:
    """Voxels of a result, None if there is no such file.

    Raises:
        EvaluationError: It belongs to another exam.
    """
    if not path.is_file():
        return None
    values = read_nifti(path).values
    if values.shape != volume.geometry.shape:
        raise EvaluationError(
            f"{path} has {values.shape} voxels, its exam {volume.geometry.shape}: it belongs to another exam of this "
            "name. Remove the folder, or choose another output folder."
        )
    return values
