"""The authors' numbers: thinned in Testing/Data, compared with the whole arrays as well where the shared folder is."""

from __future__ import annotations

import csv
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shared_folder import REPOSITORY, shared_folder
from thinned import Thinned, digest

FOLDER = REPOSITORY / "Testing" / "Data" / "golden"


class Golden:
    """The arrays of one file, named as its path below the folder `golden`, without ending.

    Inputs and small outputs are kept whole: `golden["x"]`. Large outputs are thinned, and can only be compared with.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        with np.load(FOLDER / f"{name}.npz") as arrays:
            self._kept = dict(arrays)

    def __getitem__(self, key: str) -> NDArray[Any]:
        if key not in self._kept:
            raise KeyError(f"{self.name}: {key} is not kept whole; compare with assert_close or assert_equal")
        return self._kept[key]

    def whole_keys(self) -> list[str]:
        """Names of the arrays that are kept whole."""
        return [key for key in self._kept if "@" not in key]

    def assert_close(self, key: str, actual: ArrayLike, *, atol: float = 0.0, relative: float = 0.0) -> None:
        """Fail unless an array equals the authors'.

        Args:
            key: Name of the golden array.
            actual: Of the same shape.
            atol: Allowed difference of an entry, in its unit.
            relative: Allowed difference of an entry as a part of the largest golden value; added to `atol`.
        """
        if key in self._kept:
            _assert_entries_close(actual, self._kept[key], atol, relative)
            return
        thinned = Thinned.read(self._kept, key)
        thinned.assert_close(actual, atol=atol + relative * thinned.largest)
        if key in self._whole:
            _assert_entries_close(actual, self._whole[key], atol, relative)

    def assert_equal(self, key: str, actual: ArrayLike) -> None:
        """Fail unless an array equals the authors' to the last bit."""
        if key in self._kept:
            np.testing.assert_array_equal(np.asarray(actual), self._kept[key])
            return
        if key in self._whole:
            np.testing.assert_array_equal(np.asarray(actual), self._whole[key])
        assert digest(actual) == str(self._kept[f"{key}@digest"]), f"{self.name}: {key} has another digest"

    def assert_few_off_by_one(self, key: str, actual: ArrayLike, *, share: float) -> None:
        """Fail unless whole numbers differ from the authors' by at most 1, in fewer than a share of all entries."""
        Thinned.read(self._kept, key).assert_few_off_by_one(actual, share=share)
        if key in self._whole:
            difference = np.abs(np.asarray(actual, dtype=np.int64) - self._whole[key])
            assert difference.max() <= 1
            assert np.count_nonzero(difference) < share * difference.size

    @cached_property
    def _whole(self) -> dict[str, NDArray[Any]]:
        path = shared_folder() / "golden" / f"{self.name}.npz"
        if not path.is_file():
            return {}
        with np.load(path) as arrays:
            return {key: arrays[key] for key in arrays.files if f"{key}@digest" in self._kept or self._is_thinned(key)}

    def _is_thinned(self, key: str) -> bool:
        return f"{key}@whole" in self._kept


def parameter_shapes(name: str) -> dict[str, str]:
    """Name to shape ("64x1x7x7") of the authors' parameters, from the CSV file of that path below `golden`."""
    with golden_file(f"{name}.csv").open(newline="") as lines:
        return {row["key"]: row["shape"] for row in csv.DictReader(lines)}


def golden_file(name: str) -> Path:
    """A small file that is kept as it is."""
    return FOLDER / name


def _assert_entries_close(actual: ArrayLike, expected: NDArray[Any], atol: float, relative: float) -> None:
    allowed = atol + relative * float(np.abs(expected).max())
    np.testing.assert_allclose(np.asarray(actual), expected, atol=allowed, rtol=0)
    assert np.shape(actual) == expected.shape
