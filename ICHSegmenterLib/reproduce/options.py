"""Settings of a reproduction, and where its data sets lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl

from ICHSegmenterLib.datasets.physionet import CSV as PHYSIONET_CSV
from ICHSegmenterLib.datasets.prepare import Progress
from ICHSegmenterLib.datasets.rsna.layout import CSV as RSNA_CSV
from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.evaluation.evaluate import Announce, silent
from ICHSegmenterLib.training.trainer import TrainerOptions


def _no_callbacks(what: str) -> Sequence[pl.Callback]:
    return ()


@dataclass(frozen=True)
class ReproduceOptions:
    """Settings.

    Attributes:
        data: The data set, or a folder whose subfolders are the data sets.
        output: Where everything goes; run again to go on.
        weights: Files to evaluate in place of a training.
        as_authors: All their quirks on.
        changes: Of the recipes, as "key=value".
        folds: Patient and fold, or the folder of HGI-SAM's fold files, in place of drawn folds.
        fold_count: Folds to draw.
        part: (n, of): this run trains every n-th fold of so many.
        machine: What to train on.
        device: What to evaluate on.
        resamples, seed: Of the bootstrap; the seed also draws folds.
        progress: Of the preparation of data: (done, total, message).
        announce: Progress of the evaluation.
        callbacks: Makes what watches the training of a network, which is named for people.
    """

    data: Path
    output: Path
    weights: tuple[Path, ...] = ()
    as_authors: bool = False
    changes: tuple[str, ...] = ()
    folds: Path | None = None
    fold_count: int = 5
    part: tuple[int, int] = (1, 1)
    machine: TrainerOptions | None = None
    device: str = "auto"
    resamples: int = 1000
    seed: int = 0
    progress: Progress = silent
    announce: Announce = silent
    callbacks: Callable[[str], Sequence[pl.Callback]] = _no_callbacks

    @property
    def precision(self) -> str:
        """Of the evaluation."""
        return "float32" if self.as_authors else "auto"

    def physionet(self) -> Path:
        """The root of PhysioNet CT-ICH."""
        return self._holding(PHYSIONET_CSV, "PhysioNet CT-ICH (https://doi.org/10.13026/4nae-zg36)", "physionet")

    def rsna(self) -> Path:
        """The root of RSNA 2019 stage 2."""
        return self._holding(RSNA_CSV, "the stage 2 data of RSNA 2019 (Kaggle)", "rsna")

    def smart_net(self) -> Path:
        """The root of a data set in SMART-Net's layout."""
        return self._holding("train", "train/, valid/ and test/ in SMART-Net's layout", "smart-net")

    def _holding(self, name: str, what: str, layout: str) -> Path:
        """The folder of the data, or a subfolder of it, that holds a file or folder of this name.

        Raises:
            TrainingDataError: There is none.
        """
        folders = [self.data, *sorted(path for path in self.data.iterdir() if path.is_dir())]
        for folder in folders:
            if (folder / name).exists():
                return folder
        raise TrainingDataError(
            f"{self.data}: neither it nor a folder in it holds {name}. This table needs {what}; to rehearse, make it: "
            f"ichsegmenter synthesize --layout {layout} --output {self.data / layout}"
        )
