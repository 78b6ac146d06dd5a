"""The classical baseline on phantoms with known answer and on a real, bleed-free head."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import shared_data
from ICHSegmenterLib.errors import CancelledError
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.methods.hu_threshold import predictor
from ICHSegmenterLib.methods.hu_threshold.predictor import GROWTH_MM, HuThresholdPredictor, _Blocks, _reach
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.preprocessing.blocks import block_mean, dilate_in_plane
from ICHSegmenterLib.preprocessing.pipeline import prepare
from ICHSegmenterLib.preprocessing.spec import NoPreprocessing
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, StorageOrder, head_geometry, make_phantom
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

GEOMETRIES = {
    "plain": head_geometry((28, 224, 224), pixel_mm=(1.0, 1.0)),
    "tilted and uneven": head_geometry(
        (28, 256, 256),
        tilt_deg=20,
        slice_step_mm=(4.2,) * 13 + (1.1,) + (7.4,) * 13,
        order=StorageOrder(is_descending=True),
    ),
    "thin": head_geometry((80, 160, 160), pixel_mm=(1.4, 1.4), slice_step_mm=2.0),
}
SPHERE = Bleed.sphere(20.0, (28.0, 5.0, 30.0))


def _predict(volume: Volume) -> list[SlicePrediction]:
    return HuThresholdPredictor().predict(prepare(volume, NoPreprocessing()), RunContext())


def _mask(predictions: list[SlicePrediction], volume: Volume) -> np.ndarray:
    mask = np.zeros(volume.geometry.shape, dtype=bool)
    for one in predictions:
        if one.maps is not None:
            assert one.maps.shape == (1, *volume.geometry.shape[1:])
            mask[one.index] = one.maps[0] >= 0.5
    return mask


def _milliliters(mask: np.ndarray, volume: Volume) -> float:
    return float(mask.sum(axis=(1, 2)) @ volume.geometry.voxel_volumes_mm3) / 1000


def _dice(found: np.ndarray, truth: np.ndarray, volume: Volume) -> float:
    return 2 * _milliliters(found & truth, volume) / (_milliliters(found, volume) + _milliliters(truth, volume))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_bleed_in_the_brain_is_outlined(name: str) -> None:
    phantom = make_phantom(GEOMETRIES[name], HeadModel((SPHERE,)), subsamples=(3, 1, 1))
    predictions = _predict(phantom.volume)
    assert [one.index for one in predictions] == list(range(phantom.volume.geometry.shape[0]))
    found = _mask(predictions, phantom.volume)
    assert _dice(found, phantom.labelmap > 0, phantom.volume) >= 0.9
    bleeding = {one.index for one in predictions if one.probabilities[ANY] >= 0.5}
    assert bleeding == set(np.flatnonzero(found.any(axis=(1, 2))).tolist())


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_normal_head_with_calcifications_and_dense_sinus_has_no_blood(name: str) -> None:
    phantom = make_phantom(GEOMETRIES[name], HeadModel(), subsamples=(3, 1, 1))
    predictions = _predict(phantom.volume)
    assert all(one.maps is None and one.probabilities[ANY] == 0 for one in predictions)


def test_islands_below_the_named_volume_are_removed() -> None:
    model = HeadModel((Bleed.sphere(0.5, (28.0, 5.0, 30.0), hu=70),), noise_hu=0)
    phantom = make_phantom(head_geometry((60, 200, 200), pixel_mm=(1.0, 1.0), slice_step_mm=1.5), model)
    assert phantom.blood_ml == pytest.approx(0.5, rel=0.05)
    assert not _mask(_predict(phantom.volume), phantom.volume).any()


def test_a_cancelled_run_stops() -> None:
    phantom = make_phantom(GEOMETRIES["plain"], HeadModel(), subsamples=(1, 1, 1))
    with pytest.raises(CancelledError):
        HuThresholdPredictor().predict(prepare(phantom.volume, NoPreprocessing()), RunContext(cancelled=lambda: True))


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import ICHSegmenterLib.methods.hu_threshold.predictor as found; "
        "print(found.HuThresholdPredictor.device)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "cpu", done.stderr


def _insert_sphere(volume: Volume, center: tuple[float, float, float], milliliters: float) -> tuple[Volume, np.ndarray]:
    """60 HU where a voxel center lies in a ball at a patient position, on the volume's own grid."""
    radius = (milliliters * 3000 / (4 * np.pi)) ** (1 / 3)
    k, j, i = np.meshgrid(*(np.arange(n) for n in volume.geometry.shape), indexing="ij", sparse=True)
    box = np.zeros(volume.geometry.shape, dtype=bool)
    for index in range(len(box)):
        points = volume.geometry.ijk_to_lps(np.stack(np.broadcast_arrays(i[0], j[0], k[index]), axis=-1))
        box[index] = np.linalg.norm(points - center, axis=-1) <= radius
    noise = np.random.default_rng(0).normal(0, 5, volume.geometry.shape)
    return Volume(np.where(box, 60 + noise, volume.hu).astype(np.float32), volume.geometry), box


def test_the_bleed_free_real_head_has_no_blood() -> None:
    volume = read_volume(shared_data("data/ge_head_ct"))
    assert _milliliters(_mask(_predict(volume), volume), volume) < 1.0


@pytest.mark.parametrize("center", [(27.0, 4.0, 49.0), (-27.0, 23.0, 42.0), (32.0, -5.0, 17.0), (12.0, -28.0, 45.0)])
def test_a_sphere_in_the_real_head_is_outlined_at_its_place(
    head_scan: Path, center: tuple[float, float, float]
) -> None:
    original = read_volume(head_scan)
    volume, truth = _insert_sphere(original, center, 20.0)
    assert _milliliters(truth, volume) == pytest.approx(20.0, rel=0.06)
    found = _mask(_predict(volume), volume)
    assert _dice(found, truth, volume) >= 0.88
    index = np.argwhere(found)
    points = volume.geometry.ijk_to_lps(index[:, ::-1])
    weights = volume.geometry.voxel_volumes_mm3[index[:, 0]]
    assert np.linalg.norm(np.average(points, axis=0, weights=weights) - center) < 3.0


@pytest.mark.parametrize(("slices", "step_mm"), [(40, 0.2), (40, 0.5), (10, 0.2), (12, 5.0)])
def test_a_bleed_grows_to_every_slice_within_reach(slices, step_mm):
    core = np.random.default_rng(0).random((slices, 20, 20)) > 0.999
    blocks = _Blocks(core, core, core, (1, 1), 1.0, step_mm, np.ones(slices), (slice(0, 20),) * 2, (20, 20))
    in_plane = dilate_in_plane(core, round(GROWTH_MM))
    distance = max(1, int(GROWTH_MM / step_mm))
    expected = [in_plane[max(0, k - distance) : k + distance + 1].any(axis=0) for k in range(slices)]
    assert core.any()
    assert np.array_equal(_reach(core, blocks), expected)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_what_lies_far_from_the_brain_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    phantom = make_phantom(GEOMETRIES[name], HeadModel((SPHERE,)), subsamples=(1, 1, 1))
    exam = prepare(phantom.volume, NoPreprocessing())
    near = HuThresholdPredictor().predict(exam, RunContext())
    monkeypatch.setattr(predictor, "MARGIN_MM", 1000.0)
    whole = HuThresholdPredictor().predict(exam, RunContext())
    assert [one.probabilities for one in near] == [one.probabilities for one in whole]
    assert any(one.maps is not None for one in near)
    assert all(np.array_equal(one.maps, other.maps) for one, other in zip(near, whole, strict=True))


def test_without_a_brain_there_is_no_blood() -> None:
    phantom = make_phantom(GEOMETRIES["plain"], HeadModel((SPHERE,)), subsamples=(1, 1, 1))
    exam = prepare(phantom.volume, NoPreprocessing(), np.zeros(phantom.volume.geometry.shape, dtype=bool))
    predictions = HuThresholdPredictor().predict(exam, RunContext())
    assert all(one.maps is None and one.probabilities[ANY] == 0 for one in predictions)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("block", [1, 2, 3, 300])
def test_block_means_of_a_mask_are_those_of_its_numbers(axis: int, block: int) -> None:
    mask = np.random.default_rng(1).random((3, 11, 13)) > 0.5
    means = block_mean(mask, axis, block)
    assert means.dtype == np.float32
    assert np.array_equal(means, block_mean(mask.astype(np.float32), axis, block))
