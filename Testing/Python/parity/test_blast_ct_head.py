"""BLAST-CT's trained networks on a real head: silent without a bleed, exact with one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from conftest import shared_data

torch = pytest.importorskip("torch")

from ICHSegmenterLib.analysis.labelmap import assemble, blood_per_slice_ml  # noqa: E402
from ICHSegmenterLib.cards.table import get_card  # noqa: E402
from ICHSegmenterLib.methods.blast_ct import predictor as blast_ct  # noqa: E402
from ICHSegmenterLib.methods.blast_ct.predictor import BlastCtPredictor  # noqa: E402
from ICHSegmenterLib.methods.partial_volume import bone_like_blood  # noqa: E402
from ICHSegmenterLib.predictions import SlicePrediction  # noqa: E402
from ICHSegmenterLib.preprocessing.pipeline import prepare  # noqa: E402
from ICHSegmenterLib.results import SegmentationResult  # noqa: E402
from ICHSegmenterLib.runtime.context import RunContext  # noqa: E402
from ICHSegmenterLib.runtime.device import choose_device  # noqa: E402
from ICHSegmenterLib.synthesis.insertion import insert_lesions  # noqa: E402
from ICHSegmenterLib.synthesis.pathology.lesions import LesionPlan  # noqa: E402
from ICHSegmenterLib.volume.geometry import VolumeGeometry  # noqa: E402
from ICHSegmenterLib.volume.io import read_volume  # noqa: E402
from ICHSegmenterLib.volume.volume import Volume  # noqa: E402

CARD = get_card("blast-ct")
SPHERE_CENTER_LPS_MM = np.array((-36.6, -16.5, 55.8))
SPHERE_ML = 20.0
SPHERE_HU = 60.0
FIRST_NETWORK = ("model_1.pt",)


def run_default_networks(volume: Volume) -> tuple[Sequence[SlicePrediction], SegmentationResult]:
    numbers = [file.name.rsplit("_", 1)[1] for file in CARD.weights[: CARD.default_models]]
    return run_networks(volume, [f"model_{number}" for number in numbers])


def run_networks(volume: Volume, names: Sequence[str]) -> tuple[Sequence[SlicePrediction], SegmentationResult]:
    files = [shared_data(f"data/blast_ct_v1/{name}") for name in names]
    predictor = BlastCtPredictor.load(CARD, files, device="cpu", precision=choose_device("cpu").precision)
    found = predictor.predict(prepare(volume, CARD.preprocessing), RunContext())
    return found, assemble(found, volume, CARD, threshold=None, detection_threshold=0.5, keep_maps=False)


def sphere(geometry: VolumeGeometry) -> np.ndarray:
    radius = (SPHERE_ML * 1000 * 3 / 4 / np.pi) ** (1 / 3)
    k, j, i = np.indices(geometry.shape)
    points = geometry.ijk_to_lps(np.stack((i, j, k), axis=-1))
    return np.linalg.norm(points - SPHERE_CENTER_LPS_MM, axis=-1) <= radius


def center_lps(mask: np.ndarray, geometry: VolumeGeometry) -> np.ndarray:
    k, j, i = np.nonzero(mask)
    points = geometry.ijk_to_lps(np.stack((i, j, k), axis=-1))
    return np.average(points, axis=0, weights=geometry.voxel_volumes_mm3[k])


@pytest.mark.slow
def test_head_without_a_bleed_has_at_most_one_milliliter_of_blood_labels() -> None:
    found, segmentation = run_default_networks(read_volume(shared_data("data/ge_head_ct")))
    assert blood_per_slice_ml(segmentation).sum() <= 1.0
    assert max(one.probabilities["any"] for one in found) < CARD.detection_threshold


@pytest.mark.slow
def test_one_network_does_not_take_the_vertex_for_blood() -> None:
    volume = read_volume(shared_data("data/ge_head_ct"))
    _, segmentation = run_networks(volume, FIRST_NETWORK)
    assert blood_per_slice_ml(segmentation)[25:].sum() <= 0.3  # 1.3 mL if the bone above shines in
    assert blood_per_slice_ml(segmentation).sum() <= 0.8


@pytest.mark.slow
@pytest.mark.parametrize(("subtype", "hu", "seed"), [("EDH", 70.0, 3), ("SDH", 60.0, 1)])
def test_blood_along_the_skull_is_not_taken_for_bone(
    monkeypatch: pytest.MonkeyPatch, subtype: str, hu: float, seed: int
) -> None:
    before = []

    def spied(maps: np.ndarray, volume: Volume, blood: Sequence[int]) -> np.ndarray:
        before.append(maps.copy())
        return bone_like_blood(maps, volume, blood)

    monkeypatch.setattr(blast_ct, "bone_like_blood", spied)
    exam = insert_lesions(
        read_volume(shared_data("data/ge_head_ct")), [LesionPlan(subtype, 15.0, hu=hu, edema_hu=0.0)], seed=seed
    )
    found, kept = run_networks(exam.volume, FIRST_NETWORK)
    whole = [replace(one, maps=maps) for one, maps in zip(found, np.swapaxes(before[0], 0, 1), strict=True)]
    uncut = assemble(whole, exam.volume, CARD, threshold=None, detection_threshold=0.5, keep_maps=False)
    bled, voxels_ml = exam.labelmap > 0, exam.volume.geometry.voxel_volumes_mm3 / 1000
    seen_ml, left_ml = (float((one.blood_mask & bled).sum(axis=(1, 2)) @ voxels_ml) for one in (uncut, kept))
    assert seen_ml > 2.0
    assert left_ml >= 0.98 * seen_ml


@pytest.mark.slow
def test_inserted_bleed_is_found_at_its_place_and_size() -> None:
    clean = read_volume(shared_data("data/ge_head_ct"))
    inserted = sphere(clean.geometry)
    hu = np.where(inserted, SPHERE_HU, clean.hu).astype(np.float32)
    found, segmentation = run_default_networks(Volume(hu, clean.geometry, clean.source))

    weights = clean.geometry.voxel_volumes_mm3[:, None, None]
    blood = segmentation.blood_mask
    overlap = 2 * (weights * (blood & inserted)).sum() / ((weights * blood).sum() + (weights * inserted).sum())
    assert overlap >= 0.88
    assert np.linalg.norm(center_lps(blood, clean.geometry) - SPHERE_CENTER_LPS_MM) < 2.0
    bleeding = {one.index for one in found if one.probabilities["any"] >= CARD.detection_threshold}
    assert bleeding >= set(np.flatnonzero(inserted.sum(axis=(1, 2)) > 800).tolist())
