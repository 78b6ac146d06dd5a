"""SMART-Net: slices one by one, exams classified, exams outlined. No weights were published."""

from __future__ import annotations

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.predictors import DROP_EMPTY_ENDS, INSIDE_BRAIN, MODE, VARIANT
from ICHSegmenterLib.cards.requirement import OPENCV, TORCH, TORCHVISION
from ICHSegmenterLib.cards.trust import FalseAlarms, Sensitivity, TrainingData, Trust
from ICHSegmenterLib.labels import ICH
from ICHSegmenterLib.preprocessing.spec import SmartNetPreprocessing

PAPER = "Kyung et al., Med Image Anal 2022 (S1361841522001360)"
LICENSE = "MIT"
REQUIREMENTS = (TORCH, TORCHVISION, OPENCV)
LIMITS = (
    "The authors published no weights: train it, or use a file from them. Gray values are normalized over the whole "
    "volume and empty slices stay in, as in their volume test. "
)
CLOSED_DATA = TrainingData("patients of the authors' hospital, closed data; no weights were published", None, PAPER)
TRUST = Trust(trained_on=CLOSED_DATA, not_seen=("subtypes",))
INTERNAL_TEST = "exams of the authors' internal test set"
FIGURE_SOURCE = PAPER + ", graphical abstract; of weights that were not published"
CLASSIFICATION_TRUST = Trust(
    trained_on=CLOSED_DATA,
    false_alarms=(FalseAlarms(0.03, None, INTERNAL_TEST, FIGURE_SOURCE),),
    sensitivity=(Sensitivity(0.966, None, INTERNAL_TEST, FIGURE_SOURCE),),
    not_seen=("where blood lies: it judges the exam as a whole", "subtypes"),
)

CARDS = (
    ModelCard(
        name="smart-net-up",
        title="SMART-Net, slices",
        summary="Finds bleeding slices and outlines blood on each by itself; one class",
        predictor="smart_net_up",
        options=(VARIANT, MODE, INSIDE_BRAIN),
        requirements=REQUIREMENTS,
        network="smart_net_up",
        preprocessing=SmartNetPreprocessing(),
        labels=(ICH,),
        threshold=0.5,
        license=LICENSE,
        paper=PAPER,
        trust=TRUST,
        limits=LIMITS
        + (
            "Training normalized the gray values over each slice by itself, which mode=slice-wise does. The option "
            "variant names the network that the file was trained for; without its heads nothing is outlined, or slices "
            "are judged by their outline. Outlines are kept inside the skull, which the authors did not do: "
            "inside_brain=false does not."
        ),
    ),
    ModelCard(
        name="smart-net-cls",
        title="SMART-Net, exam classification",
        summary="Says whether the exam bleeds, from all its slices in order; no outline",
        predictor="smart_net_cls",
        options=(DROP_EMPTY_ENDS,),
        requirements=REQUIREMENTS,
        network="smart_net_down_cls",
        preprocessing=SmartNetPreprocessing(),
        labels=(),
        license=LICENSE,
        paper=PAPER,
        trust=CLASSIFICATION_TRUST,
        limits=LIMITS
        + (
            "Detection only, for the exam as a whole. The value of a slice is the network's answer to that slice "
            "alone, at most that of the exam: it was not trained for slices, and only says where to look first. "
            "Training left empty end slices out, which drop_empty_ends=true does."
        ),
    ),
    ModelCard(
        name="smart-net-seg",
        title="SMART-Net, exam segmentation",
        summary="Outlines blood with the slices above and below in view; one class",
        predictor="smart_net_seg",
        options=(DROP_EMPTY_ENDS, INSIDE_BRAIN),
        requirements=REQUIREMENTS,
        network="smart_net_down_seg",
        preprocessing=SmartNetPreprocessing(),
        labels=(ICH,),
        threshold=0.5,
        license=LICENSE,
        paper=PAPER,
        trust=TRUST,
        limits=LIMITS
        + (
            "One class, no subtype. Training left empty end slices out, which drop_empty_ends=true does. Outlines are "
            "kept inside the skull, which the authors did not do: inside_brain=false does not."
        ),
    ),
)
