"""Connected pieces found some slices at a time: the same ones as at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from ICHSegmenterLib.volume.components import CONNECTIVITY_26, Component, components_in_steps


def drained(mask: np.ndarray, step_voxels: int) -> tuple[list[Component], int]:
    steps, count = components_in_steps(mask, step_voxels), 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, count
        count += 1


def whole(piece: Component, shape: tuple[int, ...]) -> bytes:
    mask = np.zeros(shape, bool)
    mask[piece.box] = piece.mask
    return mask.tobytes()


@pytest.mark.parametrize("density", [0.02, 0.08, 0.3])
@pytest.mark.parametrize("slices", [1, 3, 11])
def test_pieces_do_not_depend_on_how_many_slices_a_step_takes(density, slices) -> None:
    mask = np.random.default_rng(5).random((11, 20, 18)) < density
    labels, count = ndimage.label(mask, structure=CONNECTIVITY_26)
    pieces, _ = drained(mask, slices * 20 * 18)
    assert {whole(piece, mask.shape) for piece in pieces} == {(labels == n).tobytes() for n in range(1, count + 1)}


def test_two_arms_that_meet_slices_later_are_one_piece() -> None:
    mask = np.zeros((6, 9, 9), bool)
    mask[:, 4, 1] = mask[:, 4, 7] = mask[5, 4, 1:8] = True
    pieces, steps = drained(mask, 81)
    assert len(pieces) == 1
    assert steps >= 6
    assert pieces[0].start == (0, 4, 1)


def test_an_empty_mask_has_no_pieces() -> None:
    assert drained(np.zeros((4, 5, 6), bool), 1)[0] == []
    assert drained(np.zeros((0, 0, 0), bool), 1)[0] == []
