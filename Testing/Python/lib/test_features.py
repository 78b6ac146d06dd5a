"""Features of exams: the encoder's vectors, activation on the acquired grid, and their pictures."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

pytest.importorskip("cv2", reason="needs opencv-python-headless")
pytest.importorskip("sklearn", reason="needs scikit-learn")

from head_volumes import gantry_geometry, head, write_head
from ICHSegmenterLib.analysis.features import FEATURE_METHODS, extract_features
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import DependencyError
from ICHSegmenterLib.methods.smart_net.slices import stack_of
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.preprocessing.pipeline import prepare
from ICHSegmenterLib.preprocessing.spec import SmartNetPreprocessing
from ICHSegmenterLib.report.embedding import embed, write_embedding
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

SLICES = 5


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "cls.pt"
    torch.save(create_model("smart_net_down_cls").state_dict(), path)
    return path


@pytest.fixture(scope="module")
def volume():
    return head(gantry_geometry(slices=SLICES, size=48, pixel_mm=4.2, steps_mm=20.0))


@pytest.fixture(scope="module")
def features(volume, weights):
    return extract_features(
        volume, AnalysisRequest("smart-net-cls", weights=[weights], device="cpu", precision="float32")
    )


@torch.inference_mode()
def test_vectors_are_the_pooled_features_and_the_one_that_classifies(volume, weights, features):
    network = create_model("smart_net_down_cls")
    network.load_state_dict(torch.load(weights, weights_only=True))
    slices = torch.from_numpy(stack_of(prepare(volume, SmartNetPreprocessing())).slices)[:, None]
    expected = network.slice_features(slices)
    tolerance = {"atol": 1e-4 * float(expected.abs().max()), "rtol": 0}
    np.testing.assert_allclose(features.slice_vectors, expected, **tolerance)
    pooled = network.pooled(expected[None], torch.tensor([SLICES]))[0]
    np.testing.assert_allclose(features.exam_vector, pooled, atol=1e-4)


def test_activation_lies_on_the_acquired_grid_between_a_half_and_one(volume, features):
    assert features.activation.shape == volume.geometry.shape
    assert features.activation.min() >= 0.49 and features.activation.max() <= 1
    assert features.slice_indices == tuple(range(SLICES))


def test_activation_of_a_volume_stored_as_sagittal_slices_lies_on_its_grid(volume, weights, features):
    affine = volume.geometry.affine[:, [2, 1, 0, 3]]
    stored = Volume(volume.hu.transpose(2, 1, 0), VolumeGeometry.from_affine(volume.hu.shape[::-1], affine))
    found = extract_features(
        stored, AnalysisRequest("smart-net-cls", weights=[weights], device="cpu", precision="float32")
    )
    np.testing.assert_allclose(found.activation.transpose(2, 1, 0), features.activation, atol=1e-4)


def test_methods_without_features_are_refused_with_those_that_have_them(volume):
    with pytest.raises(ValueError, match="hu-threshold has no features.*smart-net-up, smart-net-cls, smart-net-seg"):
        extract_features(volume, AnalysisRequest("hu-threshold"))
    assert len(FEATURE_METHODS) == 3


def test_two_clouds_of_vectors_stay_two_clouds_of_points():
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(24, 50)).astype(np.float32)
    vectors[12:] += 20
    points = embed(vectors)
    centers = points[:12].mean(axis=0), points[12:].mean(axis=0)
    for cloud, own, other in ((points[:12], *centers), (points[12:], *centers[::-1])):
        assert (np.linalg.norm(cloud - own, axis=1) < np.linalg.norm(cloud - other, axis=1)).all()
    np.testing.assert_array_equal(points, embed(vectors))


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="at least 4 points, got 3"):
        embed(np.zeros((3, 5), np.float32))


def test_missing_scikit_learn_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(DependencyError, match="pip install scikit-learn"):
        embed(np.zeros((4, 5), np.float32))


def test_the_picture_of_many_groups_is_written(tmp_path):
    points = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    write_embedding(points, [f"exam {n}" for n in range(12)], "title", tmp_path / "points.png")
    assert (tmp_path / "points.png").read_bytes().startswith(b"\x89PNG")


def test_the_verb_writes_vectors_maps_and_pictures(tmp_path, weights, volume, capsys):
    write_head(tmp_path / "exam", volume.geometry)
    out = tmp_path / "out"
    arguments = ["features", str(tmp_path / "exam"), "--weights", str(weights), "--output", str(out)]
    assert main([*arguments, "--device", "cpu", "--precision", "float32"]) == 0, capsys.readouterr().err
    with np.load(out / "features.npz") as arrays:
        assert arrays["slice_vectors"].shape == (SLICES, 2048)
        assert arrays["exam_vectors"].shape == (1, 512)
        assert arrays["tsne_slices"].shape == (SLICES, 2)
        assert "tsne_exams" not in arrays
        name = str(arrays["exams"][0])
    assert read_volume(out / f"{name}-activation.nii.gz").hu.shape == volume.hu.shape
    assert {path.suffix for path in out.iterdir()} == {".npz", ".png", ".gz"}


def test_the_verb_hands_options_to_the_network(tmp_path, weights, capsys):
    """A tall stack whose first and last slices show only air: training left them out."""
    write_head(tmp_path / "exam", gantry_geometry(slices=9, size=48, pixel_mm=4.2, steps_mm=20.0))
    arguments = ["features", str(tmp_path / "exam"), "--weights", str(weights), "--output", str(tmp_path / "out")]
    seen = []
    for value in ("false", "true"):
        assert main([*arguments, "--option", f"drop_empty_ends={value}", "--device", "cpu"]) == 0
        with np.load(tmp_path / "out" / "features.npz") as arrays:
            seen.append(arrays["slice_indices"].tolist())
    assert seen[0] == list(range(9))
    assert seen[1] == list(range(1, 8))
    capsys.readouterr()
    assert main([*arguments, "--option", "mirror=true"]) == 2
    assert "smart-net-cls has no option 'mirror'; available: drop_empty_ends" in capsys.readouterr().err


def test_vectors_of_an_upstream_network_are_those_of_its_encoder(volume):
    from ICHSegmenterLib.methods.smart_net.predictor import SmartNetUpPredictor

    torch.manual_seed(1)
    predictor = SmartNetUpPredictor(create_model("smart_net_up_single_cls"), device="cpu", precision="float32")
    found = predictor.encode(prepare(volume, SmartNetPreprocessing(size=32)), RunContext())
    assert found.vectors.shape == (SLICES, 2048)
    assert found.maps.shape == (SLICES, 32, 32)
    assert found.exam_vector is None
