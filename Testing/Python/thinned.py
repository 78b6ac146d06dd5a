"""An array thinned to what proves that another one equals it.

Kept are one entry of each of SAMPLES equal parts, the sum of each of BLOCKS parts with a random sign at every entry
(a random projection), and the norm. Samples, signs and parts follow from the size alone. An array x passes against a
golden array y and a tolerance t for single entries when

* every sample differs by at most t: a run of 2 size / SAMPLES entries that are wrong by more is always seen, and a
  share f of wrong entries anywhere is overlooked with a chance of (1 - f)**SAMPLES;
* every signed sum of m entries differs by at most DEVIATIONS t sqrt(m). By Hoeffding's inequality an array within t
  of the golden one at each entry exceeds that with a chance of 2 exp(-DEVIATIONS**2 / 2), 1.2e-12 a sum, because
  rounding knows nothing of the signs; an error of root mean square r is overlooked by a sum with a chance of about
  0.8 DEVIATIONS t / r, and by all BLOCKS sums together only if r is of the size of the tolerance;
* the norms differ by at most t sqrt(size), as the triangle inequality says of any array within t.

Where every bit counts, a digest is kept instead.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parameter_rule import unit

SAMPLES = 512
BLOCKS = 64
DEVIATIONS = 7.5

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Thinned:
    """What is kept of a golden array.

    Attributes:
        shape: Of the whole array.
        largest: The largest absolute value.
        norm: Euclidean norm of all entries.
        samples: (at most SAMPLES,) entries at `sample_indices`.
        sums: float64 (at most BLOCKS,) signed sums.
    """

    shape: tuple[int, ...]
    largest: float
    norm: float
    samples: Array
    sums: NDArray[np.float64]

    @classmethod
    def of(cls, array: ArrayLike) -> Thinned:
        """Thin an array of numbers; NaN is not allowed."""
        whole = np.asarray(array)
        flat = whole.ravel().astype(np.float64)
        samples = whole.ravel()[sample_indices(whole.size)]
        return cls(whole.shape, float(np.abs(flat).max()), _norm(flat), samples, signed_sums(flat))

    @classmethod
    def read(cls, arrays: Mapping[str, Array], key: str) -> Thinned:
        """The array `key` of a file that holds the entries of `entries`."""
        largest, norm, *shape = arrays[f"{key}@whole"]
        return cls(
            tuple(int(n) for n in shape), float(largest), float(norm), arrays[f"{key}@samples"], arrays[f"{key}@sums"]
        )

    def entries(self, key: str) -> dict[str, Array]:
        """Arrays for an .npz file."""
        whole = np.array([self.largest, self.norm, *self.shape], dtype=np.float64)
        return {f"{key}@whole": whole, f"{key}@samples": self.samples, f"{key}@sums": self.sums}

    def assert_close(self, actual: ArrayLike, *, atol: float) -> None:
        """Fail unless an array agrees, entry by entry within `atol` as far as samples, sums and norm can show."""
        array = np.asarray(actual)
        assert array.shape == self.shape, f"shape {array.shape} instead of {self.shape}"
        flat = array.ravel().astype(np.float64)
        off = np.abs(flat[sample_indices(flat.size)] - self.samples.astype(np.float64))
        assert (off <= atol).all(), f"a sampled entry is off by {off.max():.3g}, allowed {atol:.3g}"
        off = np.abs(signed_sums(flat) - self.sums) / np.sqrt(block_sizes(flat.size))
        assert (off <= DEVIATIONS * atol).all(), f"a signed sum is off by {off.max() / atol:.3g} tolerances"
        off_norm = abs(_norm(flat) - self.norm)
        assert off_norm <= atol * math.sqrt(flat.size), f"norm is off by {off_norm:.3g}"

    def assert_few_off_by_one(self, actual: ArrayLike, *, share: float) -> None:
        """Fail unless whole numbers differ by at most 1, in fewer than a share of all entries.

        The signed sums together cannot differ by more than the entries do.
        """
        array = np.asarray(actual)
        assert array.shape == self.shape, f"shape {array.shape} instead of {self.shape}"
        flat = array.ravel().astype(np.float64)
        assert np.abs(flat[sample_indices(flat.size)] - self.samples).max() <= 1
        assert np.abs(signed_sums(flat) - self.sums).sum() < share * flat.size


def digest(array: ArrayLike) -> str:
    """SHA-256 of kind, shape and values; -0 counts as 0, True as 1."""
    whole = np.asarray(array)
    whole = whole.astype(np.uint8) if whole.dtype == bool else whole + whole.dtype.type(0)
    little = np.ascontiguousarray(whole, dtype=whole.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{little.dtype.str} {whole.shape} ".encode() + little.tobytes()).hexdigest()


def sample_indices(size: int) -> NDArray[np.int64]:
    """One index in each of SAMPLES equal parts; all of a small array."""
    edges = _edges(size, SAMPLES)
    fractions = (unit(f"samples of {size}", len(edges) - 1) + 1) / 2
    return edges[:-1] + (fractions * np.diff(edges)).astype(np.int64)


def signed_sums(flat: NDArray[np.float64]) -> NDArray[np.float64]:
    """(at most BLOCKS,) sums of equal parts, each entry with its random sign."""
    signed = np.where(unit(f"signs of {flat.size}", flat.size) < 0, -flat, flat)
    return np.add.reduceat(signed, _edges(flat.size, BLOCKS)[:-1])


def block_sizes(size: int) -> NDArray[np.int64]:
    """Entries of each sum."""
    return np.diff(_edges(size, BLOCKS))


def _norm(flat: NDArray[np.float64]) -> float:
    return math.sqrt(np.square(flat).sum())


def _edges(size: int, parts: int) -> NDArray[np.int64]:
    parts = min(parts, size)
    return np.arange(parts + 1, dtype=np.int64) * size // parts
