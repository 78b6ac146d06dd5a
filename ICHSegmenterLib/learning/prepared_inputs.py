"""Network inputs that `prepare --inputs-of` computes for a whole data set; every training of such inputs reads them.

The file lies beside the shards. Its name is a digest of the index and of all that decides on the pixels, so a training
with other windows or another crop does not meet it. Places that are not filled yet are filled when they are needed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.datasets.prepare import INDEX
from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.learning.array_file import ArrayFile

PREFIX, SUFFIX = "inputs-", ".ready"
VERSION = 1
"""To be raised when the same settings give other pixels."""


class PreparedInputs(ArrayFile):
    """Arrays of a whole data set, asked for by their number in a part of it.

    Args:
        path: The file; it must exist.
        places: (arrays of the part,) which array of the data set each is; beyond `count` for what is not in the file.
        count: Arrays of the data set.
        bytes_each: The most that one takes.
    """

    def __init__(self, path: Path, places: NDArray[np.integer], count: int, bytes_each: int) -> None:
        super().__init__(path, count, bytes_each)
        self._places = places

    def check_kept(self, number: int) -> None:
        """Make sure that an array which was just computed is in the file.

        Raises:
            TrainingDataError: It is not.
        """
        if not self.is_kept(number):
            raise TrainingDataError(
                f"{self._path} could not be written: the disk is full, or does not take so large a file. Free it and "
                "run `prepare` again, or prepare without --inputs-of."
            )

    def _number_in_file(self, number: int) -> int:
        return int(self._places[number])


def inputs_of(
    cache: Path, settings: tuple[object, ...], places: NDArray[np.integer], count: int, bytes_each: int
) -> PreparedInputs | None:
    """What `prepare` computed with these settings; None if it did not.

    Args:
        cache: Folder of the shards.
        settings: All that decides on the pixels, with a readable `repr`.
        places, count, bytes_each: As for `PreparedInputs`.
    """
    path = inputs_path(cache, (*settings, count, bytes_each))
    return PreparedInputs(path, places, count, bytes_each) if path.is_file() else None


def begin_inputs(cache: Path, settings: tuple[object, ...], count: int, bytes_each: int) -> None:
    """Make the file, all places empty, unless it is there; it takes room as it is filled.

    Raises:
        TrainingDataError: The folder cannot be written.
    """
    path = inputs_path(cache, (*settings, count, bytes_each))
    try:
        with path.open("ab"):
            os.truncate(path, count * (1 + bytes_each))  # the same length again changes nothing
    except OSError as error:
        raise TrainingDataError(
            f"{path} cannot be written ({error.strerror}). Free the disk, or prepare without --inputs-of."
        ) from error


def inputs_path(cache: Path, settings: tuple[object, ...]) -> Path:
    """The file of these settings beside the index of the shards."""
    index = hashlib.sha256((cache / INDEX).read_bytes()).hexdigest() if (cache / INDEX).is_file() else ""
    digest = hashlib.sha256(repr((VERSION, index, *settings)).encode()).hexdigest()
    return cache / f"{PREFIX}{digest[:16]}{SUFFIX}"
