"""SwinUNETR as a method: an ensemble of folds on single slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("monai", reason="SwinUNETR is MONAI's network")
pytest.importorskip("einops", reason="MONAI's SwinUNETR needs it")

from head_volumes import gantry_geometry, head
from ICHSegmenterLib.analysis import analyze as engine
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.errors import WeightsError
from ICHSegmenterLib.methods.unet.predictor import UnetPredictor
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.preprocessing.pipeline import prepare
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.runtime.context import RunContext

FLOAT32 = {"device": "cpu", "precision": "float32"}


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(create_model("swin_unetr").state_dict(), folder / f"fold{seed}.pt")
    return [folder / "fold0.pt", folder / "fold1.pt"]


@pytest.fixture(scope="module")
def exam():
    volume = head(gantry_geometry(slices=5, size=64, pixel_mm=3.2, steps_mm=20.0))
    mask = np.zeros(volume.geometry.shape, dtype=bool)
    mask[2, 10:-10, 10:-10] = True
    return prepare(volume, get_card("swin-unetr").preprocessing, mask)


@torch.inference_mode()
def test_the_map_is_the_mean_foreground_probability_of_the_folds(folds, exam):
    found = UnetPredictor.load(get_card("swin-unetr"), folds, **FLOAT32).predict(exam, RunContext())
    slices, total = torch.from_numpy(exam.batch([2])), 0
    for path in folds:
        network = create_model("swin_unetr")
        network.load_state_dict(torch.load(path, weights_only=True))
        total = total + network(slices).softmax(dim=1)[:, 1:]
    inside = (total / 2).numpy() * exam.mask_batch([2])
    np.testing.assert_allclose(found[2].maps, exam.restore(inside, [2])[0], atol=1e-4)
    assert [one.index for one in found if one.maps is not None] == [2]


def test_it_runs_as_a_method_with_its_own_brain_mask(folds, exam):
    result = engine.analyze(
        exam.volume, AnalysisRequest("swin-unetr", weights=folds[:1], **FLOAT32), brain_mask=exam.brain_mask
    )
    assert result.segmentation.labelmap.shape == exam.volume.geometry.shape
    assert not result.segmentation.labelmap[[0, 1, 3, 4]].any()


def test_a_unet_file_is_refused(tmp_path):
    torch.save(create_model("unet", variant="release").state_dict(), tmp_path / "unet.pt")
    with pytest.raises(WeightsError, match=r"unet\.pt: belongs to another network.*SwinUNETR"):
        UnetPredictor.load(get_card("swin-unetr"), [tmp_path / "unet.pt"], **FLOAT32)
