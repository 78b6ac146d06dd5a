"""Weights of the reduced slice-and-sequence transformer of the golden numbers, drawn again from their seed."""

from __future__ import annotations

import csv
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden_numbers import golden_file

SEED = 20220507
REDUCED = {"embed_dim": 16, "depths": (2, 2, 4, 2), "num_heads": (2, 4, 8, 16)}
BIAS_TABLE_SCALE, NORM_SCALE, BIAS_SCALE = 0.5, 0.1, 0.05


def rsna_state() -> dict[str, NDArray[Any]]:
    """Name to array in Paddle's layout (linear weights: inputs, outputs).

    One stream of normal numbers, over the trained names in alphabetical order. What Paddle's file holds besides,
    tables that a network computes by itself, is zero here: whoever used it would get wrong numbers.
    """
    with golden_file("rsna/state.csv").open(newline="") as lines:
        rows = {row["key"]: row for row in csv.DictReader(lines)}
    random = np.random.default_rng(SEED)
    state: dict[str, NDArray[Any]] = {}
    for name in sorted(rows):
        shape = tuple(map(int, rows[name]["shape"].split("x")))
        if rows[name]["kind"] == "param":
            state[name] = _scaled(name, random.standard_normal(shape, dtype=np.float32))
        else:
            state[name] = np.zeros(shape, np.int64 if name.endswith("index") else np.float32)
    return state


def write_rsna_state(path: Path) -> Path:
    """Write the state as NumPy archive (.npz) or as Paddle writes it (.pdparams)."""
    state = rsna_state()
    if path.suffix == ".npz":
        np.savez(path, **state)
    else:
        names = {"StructuredToParameterName@@": {name: f"tensor_{n}" for n, name in enumerate(state)}}
        path.write_bytes(pickle.dumps(state | names, protocol=2))
    return path


def _scaled(name: str, normal: NDArray[np.float32]) -> NDArray[np.float32]:
    if "bias_table" in name:
        return np.float32(BIAS_TABLE_SCALE) * normal
    if normal.ndim > 1:
        inputs = math.prod(normal.shape[1:]) if normal.ndim == 4 else normal.shape[0]
        return np.asarray(normal / math.sqrt(inputs), np.float32)
    if name.endswith(".weight"):
        return np.float32(1) + np.float32(NORM_SCALE) * normal
    return np.float32(BIAS_SCALE) * normal
