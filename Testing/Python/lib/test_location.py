"""Side and region of points in a phantom's skull, whose middle is the origin."""

from __future__ import annotations

import numpy as np
import pytest

from ICHSegmenterLib.editing.location import Region, Side, SkullFrame, region_at
from ICHSegmenterLib.synthesis.phantom import HeadModel, StorageOrder, head_geometry, make_phantom


def frame(**options) -> SkullFrame:
    geometry = head_geometry((30, 96, 96), pixel_mm=(2.4, 2.4), slice_step_mm=5.5, center=(0, 0, 12), **options)
    volume = make_phantom(geometry, HeadModel(), subsamples=(1, 1, 1)).volume
    result = SkullFrame.of(volume.hu, volume.geometry)
    assert result is not None
    return result


@pytest.mark.parametrize(
    "options",
    [{}, {"tilt_deg": 20}, {"order": StorageOrder(is_descending=True, flips_columns=True)}],
    ids=["usual", "tilted", "stored from above, columns flipped"],
)
def test_a_side_is_the_patients_however_the_scan_is_stored(options) -> None:
    skull = frame(**options)
    assert skull.side((30, 5, 30)) is Side.LEFT
    assert skull.side((-30, 5, 30)) is Side.RIGHT
    assert skull.side((1, 5, 30)) is Side.MIDDLE


def test_lobes_are_named_by_their_position_in_the_skull() -> None:
    skull = frame()
    assert skull.region((30, -60, 30)) is Region.FRONTAL
    assert skull.region((35, 30, 60)) is Region.PARIETAL
    assert skull.region((50, -10, -15)) is Region.TEMPORAL
    assert skull.region((25, 75, 15)) is Region.OCCIPITAL
    assert skull.region((20, 0, 8)) is Region.DEEP
    assert skull.region((15, 45, -40)) is Region.POSTERIOR_FOSSA


def test_no_region_is_named_where_the_vertex_was_not_scanned() -> None:
    geometry = head_geometry((12, 96, 96), pixel_mm=(2.4, 2.4), slice_step_mm=5.0, center=(0, 0, 0))
    volume = make_phantom(geometry, HeadModel(), subsamples=(1, 1, 1)).volume
    skull = SkullFrame.of(volume.hu, volume.geometry)
    assert skull is not None
    assert skull.region((30, 0, 10)) is None
    assert skull.side((30, 0, 10)) is Side.LEFT


def test_there_is_no_frame_without_a_skull() -> None:
    geometry = head_geometry((12, 32, 32), pixel_mm=(7, 7))
    assert SkullFrame.of(np.full(geometry.shape, 30.0), geometry) is None


def test_every_position_has_a_region() -> None:
    positions = np.linspace(0, 1, 11)
    assert {region_at(x, y, z) for x in positions for y in positions for z in positions} == set(Region)
