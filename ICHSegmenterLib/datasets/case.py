"""An exam with known truth, as an evaluation takes it from a layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ICHSegmenterLib.errors import EvaluationError

SliceLabels = tuple[bool, ...]
SubtypeLabels = tuple[tuple[bool, ...], ...]


@dataclass(frozen=True)
class Case:
    """One exam and its truth on disk.

    Attributes:
        name: Folder name of its results; unique.
        patient: Whose exam it is; intervals and folds go by it.
        images: One file, or the DICOM files of one series.
        mask: On the grid of the exam; its blood is every value above zero. None if only slices are labeled.
        slice_labels: One for each image file, or for each slice of the one file in its order; None: from the mask.
        brain_mask: On the grid of the exam, to use instead of our own; None without one.
        slice_subtypes: For each of these labels, whether EDH, IPH, IVH, SAH and SDH are there; None if not known.
    """

    name: str
    patient: str
    images: tuple[Path, ...]
    mask: Path | None = None
    slice_labels: SliceLabels | None = None
    slice_subtypes: SubtypeLabels | None = None
    brain_mask: Path | None = None

    def __post_init__(self) -> None:
        if self.mask is None and self.slice_labels is None:
            raise EvaluationError(
                f"{self.name}: there is no truth, neither a mask nor labels of its slices. Add one, or leave it out."
            )


def split_labels(labels: Sequence[Sequence[int]]) -> tuple[SliceLabels, SubtypeLabels]:
    """Labels of "any" and of the five subtypes, from six of each slice in the order of `SUBTYPE_LABELS`."""
    return tuple(bool(values[-1]) for values in labels), tuple(tuple(map(bool, values[:-1])) for values in labels)
