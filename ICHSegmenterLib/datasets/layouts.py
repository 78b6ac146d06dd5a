"""The table of layouts: how data sets lie on disk, read for training, listed for evaluation, written by synthesis.

A layout is one module beside this one, whose functions make up a `Layout`. To add one, write the module and give it a
line in `LAYOUTS`; recipes and the verbs `prepare`, `train`, `evaluate` and `synthesize` go by the table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.datasets.sources import ReadOptions, Source
from ICHSegmenterLib.errors import did_you_mean

if TYPE_CHECKING:
    from ICHSegmenterLib.synthesis.exam import SyntheticExam


@runtime_checkable
class Layout(Protocol):
    """A layout that `prepare` can read."""

    def source(self, folder: Path, options: ReadOptions) -> Source[Any]:
        """The series of a data set with their reader.

        Raises:
            TrainingDataError: The folder is not what the layout promises.
        """


@runtime_checkable
class LabeledLayout(Layout, Protocol):
    """A layout whose truth is known, so that methods can be trained on it and scored against it.

    Attributes:
        HAS_SUBTYPE_MASKS: Masks may tell subtypes apart by the values 1 to 5.
    """

    HAS_SUBTYPE_MASKS: bool

    def cases(self, folder: Path, cache: Path) -> list[Case]:
        """The exams of a data set with their truth; headers that take long to read are kept in `cache`.

        Raises:
            TrainingDataError: The folder is not what the layout promises.
        """


@runtime_checkable
class WritableLayout(Layout, Protocol):
    """A layout that synthetic exams can be written in."""

    def write(self, exams: Iterable[SyntheticExam], folder: Path) -> int:
        """Write exams, each as another patient; returns their number."""


@dataclass(frozen=True)
class LayoutEntry:
    """A line of the table: the module, imported when first used, and one phrase for people."""

    module: str
    title: str


LAYOUTS: dict[str, LayoutEntry] = {
    "nifti": LayoutEntry("ICHSegmenterLib.datasets.nifti_folder", "images/ and masks/ of the same names, or BHSD"),
    "nifti-slabs": LayoutEntry("ICHSegmenterLib.datasets.slab_folder", "as nifti, read in slabs around the brain"),
    "physionet": LayoutEntry("ICHSegmenterLib.datasets.physionet", "PhysioNet CT-ICH"),
    "smart-net": LayoutEntry("ICHSegmenterLib.datasets.smart_net", "SMART-Net's train/, valid/ and test/"),
    "rsna": LayoutEntry("ICHSegmenterLib.datasets.rsna", "RSNA 2019 stage 2"),
    "rsna-unlabeled": LayoutEntry("ICHSegmenterLib.datasets.rsna_unlabeled", "test images of RSNA 2019 stage 2"),
}


def get_layout(name: str) -> Layout:
    """The layout of a name.

    Raises:
        ValueError: The table has no such name.
    """
    if name not in LAYOUTS:
        raise ValueError(f"There is no layout {name!r}; choose {', '.join(LAYOUTS)}." + did_you_mean(name, LAYOUTS))
    layout = import_module(LAYOUTS[name].module)
    if not isinstance(layout, Layout):
        raise TypeError(f"{layout.__name__} has no function `source`, which every layout needs.")
    return layout


def labeled_layout(name: str) -> LabeledLayout:
    """The layout of a name, for which the truth is known.

    Raises:
        ValueError: The table has no such name, or the layout comes without truth.
    """
    layout = get_layout(name)
    if not isinstance(layout, LabeledLayout):
        raise ValueError(f"The layout {name!r} comes without labels; choose {', '.join(labeled_names())}.")
    return layout


def writable_layout(name: str) -> WritableLayout:
    """The layout of a name, in which exams can be written.

    Raises:
        ValueError: The table has no such name, or the layout can only be read.
    """
    layout = get_layout(name)
    if not isinstance(layout, WritableLayout):
        raise ValueError(f"The layout {name!r} can only be read; choose {', '.join(writable_names())}.")
    return layout


def labeled_names() -> list[str]:
    """Layouts to train on and to evaluate with."""
    return [name for name in LAYOUTS if isinstance(get_layout(name), LabeledLayout)]


def writable_names() -> list[str]:
    """Layouts to write synthetic exams in."""
    return [name for name in LAYOUTS if isinstance(get_layout(name), WritableLayout)]
