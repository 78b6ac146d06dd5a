"""HGI-SAM, Swin-SAM and Swin-GradCAM: four methods that draw maps from one Swin slice classifier."""

from __future__ import annotations

from types import MappingProxyType

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.methods.rsna_sequence import RSNA_TERMS
from ICHSegmenterLib.cards.predictors import INSIDE_BRAIN, TTA
from ICHSegmenterLib.cards.published_files import (
    APACHE,
    SWIN_CROSS_ENTROPY,
    SWIN_FOCAL_BINARY,
    SWIN_FOCAL_MULTI,
    WeightsFile,
)
from ICHSegmenterLib.cards.requirement import TIMM, TORCH
from ICHSegmenterLib.cards.trust import TrainingData, Trust
from ICHSegmenterLib.labels import ICH, SUBTYPE_LABELS
from ICHSegmenterLib.preprocessing.spec import SlicePreprocessing

HGI_SAM_PAPER = "Rasoulian et al., MELBA 2023:012 (arXiv 2304.04902)"
SWIN_SAM_PAPER = "Rasoulian et al., MLCN 2022"
LIMITS = (
    "Weakly supervised: outlines are coarse (published mean Dice 0.44; Swin-SAM 0.41, and an AUC of 0.974 for slices). "
    "Trained on RSNA 2019, whose terms are non-commercial. Whether the authors' weight files can still be downloaded "
    "is not known."
)
TRUST = Trust(
    trained_on=TrainingData(
        "RSNA 2019, slices of its training part; thresholds from PhysioNet CT-ICH", None, HGI_SAM_PAPER, RSNA_TERMS
    ),
    not_seen=("where blood ends: maps show where the network looked",),
)


def _card(name: str, title: str, summary: str, *, map_kind: str, threshold: float, weights: WeightsFile) -> ModelCard:
    classes = _CLASSES[weights]
    return ModelCard(
        name=name,
        title=title,
        summary=summary,
        predictor="swin_map",
        wiring=MappingProxyType({"map_kind": map_kind}),
        options=(TTA, INSIDE_BRAIN),
        requirements=(TORCH, TIMM),
        network="swin_classifier",
        network_config=MappingProxyType({"num_classes": classes}),
        preprocessing=SlicePreprocessing(),
        labels=(ICH,),
        threshold=threshold,
        positive_slices_only=True,
        knows_subtypes=classes == len(SUBTYPE_LABELS),
        weights=(weights,),
        license=APACHE,
        paper=SWIN_SAM_PAPER if map_kind == "swin-sam" else HGI_SAM_PAPER,
        limits=LIMITS,
        trust=TRUST,
        release="release of May 2023",
    )


_CLASSES = {SWIN_CROSS_ENTROPY: 2, SWIN_FOCAL_BINARY: 1, SWIN_FOCAL_MULTI: 6}

CARDS = (
    _card(
        "hgi-sam",
        "HGI-SAM",
        "Finds bleeding slices and outlines them from gradient-weighted attention",
        map_kind="hgi-sam",
        threshold=0.05,
        weights=SWIN_CROSS_ENTROPY,
    ),
    _card(
        "swin-sam",
        "Swin-SAM",
        "Finds bleeding slices and outlines them from attention",
        map_kind="swin-sam",
        threshold=0.07,
        weights=SWIN_FOCAL_BINARY,
    ),
    _card(
        "swin-sam-multi",
        "Swin-SAM, six labels",
        "Finds bleeding slices with their subtypes and outlines them from attention",
        map_kind="swin-sam",
        threshold=0.11,
        weights=SWIN_FOCAL_MULTI,
    ),
    _card(
        "swin-gradcam",
        "Swin-GradCAM",
        "Finds bleeding slices and outlines them by Grad-CAM",
        map_kind="grad-cam",
        threshold=0.80,
        weights=SWIN_CROSS_ENTROPY,
    ),
)
