"""Brain multiplication, switchable for each method: the authors of HGI-SAM do it, those of SMART-Net do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("cv2", reason="needs opencv-python-headless")
pytest.importorskip("timm", reason="Swin is timm's")

from head_volumes import gantry_geometry, head
from ICHSegmenterLib.methods.smart_net.predictor import SmartNetUpPredictor
from ICHSegmenterLib.methods.smart_net.volume_predictor import SmartNetSegPredictor
from ICHSegmenterLib.methods.swin.predictor import SwinMapPredictor
from ICHSegmenterLib.methods.unet.predictor import UnetPredictor
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.preprocessing.pipeline import prepare
from ICHSegmenterLib.preprocessing.spec import SlicePreprocessing, SmartNetPreprocessing
from ICHSegmenterLib.runtime.context import RunContext

SIZE, HALF = 48, 24
MARGIN = 4
"""Acquired pixels that a pixel of the networks' 32, and its neighbor in the interpolation, may reach over."""
FLOAT32 = {"device": "cpu", "precision": "float32"}
NARROW = {"width": 8, "layers": (1, 1, 1, 1)}
SLICES, STACK = SlicePreprocessing(resize=32, crop=32), SmartNetPreprocessing(size=32)
SWIN = {"image_size": 32, "window_size": 2, "embed_dim": 8, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 2, 4)}


def unet(inside_brain):
    predictor = UnetPredictor([create_model("unet", widths=(4, 8, 8, 8))], **FLOAT32)
    predictor.inside_brain = inside_brain
    return predictor


def hgi_sam(inside_brain):
    network = create_model("swin_classifier", num_classes=2, **SWIN)
    return SwinMapPredictor(network, map_kind="hgi-sam", inside_brain=inside_brain, **FLOAT32)


def smart_net_up(inside_brain):
    return SmartNetUpPredictor(create_model("smart_net_up", **NARROW), inside_brain=inside_brain, **FLOAT32)


def smart_net_seg(inside_brain):
    return SmartNetSegPredictor(create_model("smart_net_down_seg", **NARROW), inside_brain=inside_brain, **FLOAT32)


@pytest.mark.parametrize(
    ("make", "shown"), [(unet, SLICES), (hgi_sam, SLICES), (smart_net_up, STACK), (smart_net_seg, STACK)]
)
def test_a_map_reaches_beyond_the_brain_mask_only_if_it_is_asked_to(make, shown):
    volume = head(gantry_geometry(slices=5, size=SIZE, pixel_mm=4.2, steps_mm=20.0))
    mask = np.zeros(volume.geometry.shape, dtype=bool)
    mask[1:4, 8:-8, 8:HALF] = True
    exam = prepare(volume, shown, mask)
    reaches = {}
    for inside_brain in (True, False):
        torch.manual_seed(0)
        maps = [each.maps for each in make(inside_brain).predict(exam, RunContext()) if each.maps is not None]
        assert len(maps) >= 3
        reaches[inside_brain] = any(one[:, :, HALF + MARGIN :].any() for one in maps)
    assert reaches == {True: False, False: True}
