"""Tissue makes room for blood."""

from __future__ import annotations

import numpy as np
import pytest

from ICHSegmenterLib.synthesis.fields import cover, ellipsoid_distance, smooth_noise, tube_distance
from ICHSegmenterLib.synthesis.pathology.mass_effect import displacement_of
from ICHSegmenterLib.volume.geometry import VolumeGeometry

SIZE = 80


def _points():
    axis = np.arange(SIZE, dtype=np.float32) - SIZE / 2
    return axis[None, None, :], axis[None, :, None], axis[:, None, None]


def test_a_ball_pushes_tissue_away_by_a_third_of_its_radius_at_its_surface():
    points, radius = _points(), 12.0
    ball = cover(ellipsoid_distance(points, (0, 0, 0), (radius,) * 3))
    grid = VolumeGeometry.from_affine((SIZE,) * 3, np.eye(4))
    field = displacement_of([ball], grid, np.full(ball.shape, 40.0, dtype=np.float32)).on_grid()
    beside = field[:, SIZE // 2, SIZE // 2, SIZE // 2 + 16]
    # Of an incompressible flow: radius**3 / (3 * distance**2).
    assert beside[2] == pytest.approx(radius**3 / (3 * 16**2), rel=0.15)
    assert abs(beside[0]) < 0.2 and abs(beside[1]) < 0.2


def test_nothing_moves_at_the_skull():
    ball = cover(ellipsoid_distance(_points(), (0, 0, 0), (12.0,) * 3))
    grid = VolumeGeometry.from_affine((SIZE,) * 3, np.eye(4))
    assert displacement_of([ball], grid, np.zeros(ball.shape, dtype=np.float32)).largest_mm == 0


def test_noise_has_unit_variance_and_no_fine_detail():
    noise = smooth_noise(np.random.default_rng(0), (60, 70, 80), 4.0)
    assert noise.shape == (60, 70, 80)
    assert noise.std() == pytest.approx(1, abs=0.1)
    assert np.abs(np.diff(noise, axis=2)).mean() < 0.3


def test_a_tube_is_negative_inside_and_grows_along_its_path():
    x = np.array([0.0, 0.0, 10.0], dtype=np.float32)
    y = np.array([0.0, 3.0, 3.0], dtype=np.float32)
    distance = tube_distance((x, y, np.zeros_like(x)), [(0, 0, 0, 2), (10, 0, 0, 4)])
    assert distance == pytest.approx([-2, 1, -1])
