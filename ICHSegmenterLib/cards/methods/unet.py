"""The two supervised baselines of the HGI-SAM paper: its U-Net, and MONAI's SwinUNETR on single slices."""

from __future__ import annotations

from types import MappingProxyType

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.methods.swin import HGI_SAM_PAPER
from ICHSegmenterLib.cards.predictors import INSIDE_BRAIN, TTA
from ICHSegmenterLib.cards.published_files import APACHE, UNET_FOLDS
from ICHSegmenterLib.cards.requirement import EINOPS, MONAI, TORCH
from ICHSegmenterLib.labels import ICH
from ICHSegmenterLib.preprocessing.spec import SlicePreprocessing

UNET = ModelCard(
    name="unet",
    title="U-Net (five folds)",
    summary="Outlines blood slice by slice; one class",
    predictor="unet",
    options=(TTA, INSIDE_BRAIN),
    requirements=(TORCH,),
    network="unet",
    network_config=MappingProxyType({"variant": "release"}),
    preprocessing=SlicePreprocessing(),
    labels=(ICH,),
    threshold=0.5,
    weights=UNET_FOLDS,
    default_models=5,
    license=APACHE,
    paper=HGI_SAM_PAPER,
    limits=(
        "Trained on 36 bleeding exams of PhysioNet CT-ICH, the published folds split by slice. One class, no subtype. "
        "Whether the authors' weight files can still be downloaded is not known."
    ),
)

SWIN_UNETR = ModelCard(
    name="swin-unetr",
    title="SwinUNETR (five folds)",
    summary="Outlines blood slice by slice; one class",
    predictor="unet",
    options=(TTA, INSIDE_BRAIN),
    requirements=(TORCH, MONAI, EINOPS),
    network="swin_unetr",
    preprocessing=SlicePreprocessing(),
    labels=(ICH,),
    threshold=0.5,
    default_models=5,
    license=APACHE,
    paper=HGI_SAM_PAPER,
    limits=(
        "The second baseline of the HGI-SAM paper, MONAI's network on single slices. No weights were published: train "
        "the five folds, or any number of them. One class, no subtype."
    ),
)
