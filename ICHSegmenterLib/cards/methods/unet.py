"""The two supervised baselines of the HGI-SAM paper: its U-Net, and MONAI's SwinUNETR on single slices."""

from __future__ import annotations

from types import MappingProxyType

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.methods.swin import HGI_SAM_PAPER
from ICHSegmenterLib.cards.predictors import INSIDE_BRAIN, TTA
from ICHSegmenterLib.cards.published_files import APACHE, UNET_FOLDS
from ICHSegmenterLib.cards.requirement import EINOPS, MONAI, TORCH
from ICHSegmenterLib.cards.trust import TrainingData, Trust
from ICHSegmenterLib.labels import ICH
from ICHSegmenterLib.preprocessing.spec import SlicePreprocessing

PHYSIONET_TERMS = (
    "PhysioNet CT-ICH: restricted access since version 1.3.1, under its data use agreement; treat the weights as for "
    "non-commercial research"
)
NOT_SEEN = ("subtypes", "slices of another thickness than the 5 mm it learned from")

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
    release="release of May 2023",
    trust=Trust(
        trained_on=TrainingData(
            "PhysioNet CT-ICH, the 36 exams with blood of 75",
            36,
            HGI_SAM_PAPER,
            PHYSIONET_TERMS,
        ),
        not_seen=NOT_SEEN,
    ),
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
    trust=Trust(
        trained_on=TrainingData("PhysioNet CT-ICH in the paper; no weights were published", None, HGI_SAM_PAPER),
        not_seen=NOT_SEEN,
    ),
    limits=(
        "The second baseline of the HGI-SAM paper, MONAI's network on single slices. No weights were published: train "
        "the five folds, or any number of them. One class, no subtype."
    ),
)
