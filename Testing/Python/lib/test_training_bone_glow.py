"""Brain made too bright near bone, as real scans are."""

from __future__ import annotations

import numpy as np
import pytest

from ICHSegmenterLib.learning.beam_hardening import FAR_SHARE, BeamHardening, add_beam_hardening, draw_beam_hardening
from ICHSegmenterLib.learning.recipe import AugmentationRecipe

SPACING = (1.0, 1.0)


@pytest.fixture
def head() -> np.ndarray:
    """A ring of bone, 70 to 80 mm from the middle, around brain of 35 HU; air outside."""
    rows, columns = np.mgrid[:192, :192] - 95.5
    radius = np.hypot(rows, columns)
    return np.select([radius < 70, radius < 80], [35.0, 1000.0], -1000.0).astype(np.float32)


def test_brain_glows_near_bone_and_nowhere_else(head):
    glowing = add_beam_hardening(head, BeamHardening(15.0, 0.0, 6.0, 20.0, 0.0, 0.0), SPACING)
    row = glowing[96]
    assert row[96] == pytest.approx(35.0, abs=0.1)
    assert 38.0 < row[96 - 66] <= 50.0
    assert (glowing[head == 35] <= 50.0).all()
    assert np.array_equal(glowing[head != 35], head[head != 35])


def test_one_side_may_glow_more_than_the_other(head):
    """0 degrees is towards the last column."""
    glowing = add_beam_hardening(head, BeamHardening(15.0, 0.0, 6.0, 20.0, 0.0, 1.0), SPACING)
    assert glowing[96, 96 + 66] > glowing[96, 96 - 66] + 2
    assert glowing[96 + 66, 96] == pytest.approx(glowing[96 - 66, 96], abs=1.0)


def test_a_slice_near_the_vertex_is_too_bright_in_the_middle_too(head):
    """The same bone around a quarter of the brain: the far glow reaches its middle."""
    small = head[::2, ::2]
    hardening = BeamHardening(0.0, 20.0, 5.0, 25.0, 0.0, 0.0)
    whole, vertex = (add_beam_hardening(one, hardening, SPACING) for one in (head, small))
    assert vertex[48, 48] > whole[96, 96] + 3


def test_the_reach_is_in_millimeters(head):
    """The same slice with pixels of 2 mm is a head twice as large: at 20 pixels from bone it glows less."""
    hardening = BeamHardening(15.0, 0.0, 10.0, 20.0, 0.0, 0.0)
    near, far = (add_beam_hardening(head, hardening, (pixel, pixel))[96, 96 - 50] for pixel in (1.0, 2.0))
    assert near > far + 0.5


def test_every_draw_takes_as_many_random_numbers():
    after = []
    for chance in (0.0, 1.0):
        random = np.random.default_rng(3)
        drawn = draw_beam_hardening(AugmentationRecipe(beam_hardening=chance, beam_hardening_hu=12.0), random)
        assert (drawn is None) == (chance == 0.0)
        assert drawn is None or (0 <= drawn.far_hu <= 12 * FAR_SHARE and 0 <= drawn.near_hu <= 12)
        after.append(random.random())
    assert after[0] == after[1]
