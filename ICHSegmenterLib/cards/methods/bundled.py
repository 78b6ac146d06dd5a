"""The small networks that ship with the program; what runs is the card beside each weight file.

It is equal to these, and adds what belongs to the weights: their release, and how far to trust them.
"""

from __future__ import annotations

from types import MappingProxyType

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.methods.swin import HGI_SAM_PAPER
from ICHSegmenterLib.cards.predictors import MIN_PIXELS, TTA
from ICHSegmenterLib.cards.published_files import APACHE
from ICHSegmenterLib.cards.requirement import TIMM, TORCH
from ICHSegmenterLib.labels import EDH, ICH, IPH, IVH, SAH, SDH
from ICHSegmenterLib.preprocessing.spec import RSNA_WINDOWS, SlabPreprocessing, SlicePreprocessing

PREPROCESSING = SlicePreprocessing(RSNA_WINDOWS, resize=212, crop=192, normalization="window")
"""Slices of half the usual size, window edges to 0 and 1."""
LIMITS = (
    "Small, and trained on synthetic bleeds in made-up heads only, never on a patient: expect less on real exams than "
    "on synthetic ones. It is there so that something learned works without network. Research only."
)

COMPACT_UNET = ModelCard(
    name="compact-unet",
    title="Compact U-Net (works offline)",
    summary="Outlines blood and names the five subtypes, seeing 2 cm of the head at a time; ships with the program",
    predictor="slab_unet",
    options=(TTA.with_default(True), MIN_PIXELS.with_default(21)),
    requirements=(TORCH,),
    network="context_unet",
    network_config=MappingProxyType({"num_classes": 6}),
    preprocessing=SlabPreprocessing(),
    labels=(EDH, IPH, IVH, SAH, SDH),
    labelmap_rule="sum",
    threshold=0.5,
    detection_threshold=0.9,
    value_name="score",
    knows_subtypes=True,
    align_slices=True,
    refine_edges=True,
    license=APACHE,
    paper="U-Net with context, made and trained here (docs/training-log.md)",
    limits="Small. It learned from synthetic bleeds in made-up heads and in one bleed-free real head (BSD, from "
    "neurolabusc/dcm_qa_ct), never from a patient with hemorrhage: expect less on real exams than on synthetic ones. "
    "It is there so that something learned works without network. Research only.",
)

COMPACT_HGI = ModelCard(
    name="compact-hgi",
    title="Compact HGI-SAM (detection only, works offline)",
    summary="Finds bleeding slices; its segments are an attention map, not an outline; ships with the program",
    predictor="swin_map",
    wiring=MappingProxyType({"map_kind": "hgi-sam"}),
    options=(TTA,),
    requirements=(TORCH, TIMM),
    network="swin_classifier",
    network_config=MappingProxyType(
        {
            "num_classes": 2,
            "image_size": 192,
            "window_size": 6,
            "embed_dim": 48,
            "depths": (2, 2, 6, 2),
            "num_heads": (2, 4, 8, 16),
        }
    ),
    preprocessing=PREPROCESSING,
    labels=(ICH,),
    threshold=0.1,
    detection_threshold=0.9,
    value_name="score",
    positive_slices_only=True,
    license=APACHE,
    paper="Method of " + HGI_SAM_PAPER + ", a smaller network trained here",
    limits=(
        LIMITS
        + " It only detects: its segments show where the network looked, not where blood ends (median Dice of an exam "
        "0.29), so their volumes mean nothing; compact-unet outlines."
    ),
)
