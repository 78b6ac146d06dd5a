"""BLAST-CT: lesions of traumatic brain injury in four classes."""

from __future__ import annotations

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.predictors import TTA
from ICHSegmenterLib.cards.published_files import APACHE, BLAST_CT_MODELS
from ICHSegmenterLib.cards.requirement import TORCH
from ICHSegmenterLib.labels import EAH, IPH, IVH, PERILESIONAL_EDEMA
from ICHSegmenterLib.preprocessing.spec import VolumePreprocessing

BLAST_CT = ModelCard(
    name="blast-ct",
    title="BLAST-CT",
    summary="Outlines intraparenchymal, extra-axial and intraventricular blood, and edema",
    predictor="blast_ct",
    options=(TTA,),
    requirements=(TORCH,),
    network="deepmedic",
    preprocessing=VolumePreprocessing(),
    labels=(IPH, EAH, PERILESIONAL_EDEMA, IVH),
    labelmap_rule="argmax",
    value_name="score",
    weights=BLAST_CT_MODELS,
    default_models=2,
    license=APACHE,
    paper="Monteiro et al., Lancet Digital Health 2020;2:e314-e322",
    doi="10.1016/S2589-7500(20)30085-6",
    limits=(
        "Trained on 184 scans of traumatic brain injury; extra-axial bleeds are one class; weaker on spontaneous "
        "hemorrhage. Not for clinical use."
    ),
)
