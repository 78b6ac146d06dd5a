"""The committed golden numbers are what Testing/thin_golden.py makes from the whole ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from conftest import shared_data
from shared_folder import shared_folder
from Testing import thin_golden

pytest.importorskip("torch")

EXACT = 1e-12
NETWORK = 1e-4
"""Of the largest logit: numbers of a network, which another processor computes in another order."""
LARGEST_MB = 4.0


def files_below(folder: Path) -> dict[str, Path]:
    return {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.suffix != ".md" and path.is_file()
    }


def assert_same_arrays(name: str, ours: Path, expected: Path) -> None:
    with np.load(ours) as kept, np.load(expected) as made:
        assert kept.files == made.files, name
        for key in kept.files:
            if kept[key].dtype.kind == "U" or "@" not in key:
                np.testing.assert_array_equal(kept[key], made[key], err_msg=f"{name}: {key}")
            else:
                allowed = NETWORK if name.endswith("golden_rule.npz") else EXACT
                scale = float(np.abs(made[key]).max())
                np.testing.assert_allclose(kept[key], made[key], rtol=0, atol=allowed * scale, err_msg=f"{name}: {key}")


def test_the_files_are_what_the_script_makes_of_the_whole_arrays(tmp_path):
    for name in ("golden", "data/pythonqt_api.json", "data/blast_ct_v1"):
        shared_data(name)
    thin_golden.write_all(shared_folder(), tmp_path)
    kept, made = files_below(thin_golden.DATA), files_below(tmp_path)
    assert sorted(kept) == sorted(made)
    for name, path in kept.items():
        if path.suffix == ".npz":
            assert_same_arrays(name, path, made[name])
        elif path.suffix == ".gz":
            assert gzip.decompress(path.read_bytes()) == gzip.decompress(made[name].read_bytes())
        else:
            assert path.read_bytes() == made[name].read_bytes(), name


def test_the_files_are_small():
    assert sum(path.stat().st_size for path in thin_golden.DATA.rglob("*") if path.is_file()) <= LARGEST_MB * 1e6


def test_only_peaks_are_kept_of_what_is_max_pooled():
    logits = np.random.default_rng(0).normal(size=(2, 1, 64, 32)).astype(np.float16)
    peaks = thin_golden.peaks_only(logits)
    pooled = [array.reshape(2, 4, 16, 2, 16).max(axis=(2, 4)) for array in (logits, peaks)]
    np.testing.assert_array_equal(*pooled)
    assert (peaks > thin_golden.LOWEST_LOGIT).sum() == (
        pooled[0][:, :, None, :, None] == logits.reshape(2, 4, 16, 2, 16)
    ).sum()
