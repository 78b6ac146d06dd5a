"""HU to channels."""

from __future__ import annotations

import numpy as np
import pytest

from ICHSegmenterLib.preprocessing.in_plane import InPlaneGrid
from ICHSegmenterLib.preprocessing.spec import PHYSIONET_WINDOWS, Window
from ICHSegmenterLib.preprocessing.windowing import apply_windows, windowed_slices


def test_each_slice_and_channel_is_scaled_by_its_own_clipped_extremes() -> None:
    hu = np.array([[[-1000.0, 10.0], [30.0, 60.0]], [[0.0, 200.0], [50.0, 100.0]]], dtype=np.float32)
    channels = apply_windows(hu, [Window(40, 80)])
    assert channels.dtype == np.float32 and channels.shape == (2, 1, 2, 2)
    np.testing.assert_allclose(channels[0, 0], [[0, 10 / 60], [0.5, 1]], rtol=1e-6)
    np.testing.assert_allclose(channels[1, 0], [[0, 1], [50 / 80, 1]], rtol=1e-6)


def test_a_constant_slice_keeps_its_clipped_value() -> None:
    channels = apply_windows(np.full((1, 4, 4), -1000.0, dtype=np.float32), PHYSIONET_WINDOWS)
    assert [float(channel.max()) for channel in channels[0]] == [-20.0, -90.0, -900.0]
    assert float(np.ptp(channels, axis=(2, 3)).max()) == 0.0


def test_window_normalization_maps_the_edges_to_zero_and_one() -> None:
    hu = np.array([[[-500.0, 0.0, 40.0, 80.0, 3000.0]]], dtype=np.float32)
    np.testing.assert_allclose(apply_windows(hu, [Window(40, 80)], "window")[0, 0, 0], [0, 0, 0.5, 1, 1])


def test_odd_widths_are_halved_downwards() -> None:
    assert Window(40, 81).edges == (0, 80)


def test_the_volume_is_not_changed() -> None:
    hu = np.linspace(-1000, 1000, 64, dtype=np.float32).reshape(1, 8, 8)
    before = hu.copy()
    apply_windows(hu, PHYSIONET_WINDOWS)
    np.testing.assert_array_equal(hu, before)


def test_a_single_slice_must_have_three_axes() -> None:
    with pytest.raises(ValueError, match="slices, rows, columns"):
        apply_windows(np.zeros((8, 8), dtype=np.float32), PHYSIONET_WINDOWS)


def test_slices_windowed_one_channel_at_a_time_are_those_of_whole_stacks() -> None:
    hu = np.random.default_rng(0).normal(30, 300, (2, 40, 52)).astype(np.float32)
    grid = InPlaneGrid((40, 52), resize=30, crop=24)
    expected = grid.forward(apply_windows(hu, PHYSIONET_WINDOWS))
    np.testing.assert_array_equal(windowed_slices(hu, grid, PHYSIONET_WINDOWS), expected)
