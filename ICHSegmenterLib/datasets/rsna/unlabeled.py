"""RSNA 2019 stage 2, the test images: `stage_2_test/ID_*.dcm`, of which no label is known.

Pseudo-labels are made for them; see `rsna` for the training images.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ICHSegmenterLib.datasets.rsna.layout import RsnaPlan, dicom_names, plan_series, read_series
from ICHSegmenterLib.datasets.slices import UNKNOWN
from ICHSegmenterLib.datasets.sources import ReadOptions, Source, existing_folder
from ICHSegmenterLib.labels import SUBTYPE_LABELS

IMAGES = ("stage_2_test", "stage_2_test_images")


def source(folder: Path, options: ReadOptions) -> Source[RsnaPlan]:
    """The series of the test images.

    Raises:
        TrainingDataError: The images are absent.
    """
    images = existing_folder(folder, *IMAGES)
    names = dicom_names(images)
    unknown = dict.fromkeys((Path(name).stem for name in names), (UNKNOWN,) * len(SUBTYPE_LABELS))
    return Source(plan_series(images, names, unknown, options), partial(read_series, images))
