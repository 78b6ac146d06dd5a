"""BLAST-CT: lesions of traumatic brain injury in four classes."""

from __future__ import annotations

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.predictors import TTA
from ICHSegmenterLib.cards.published_files import APACHE, BLAST_CT_MODELS
from ICHSegmenterLib.cards.requirement import TORCH
from ICHSegmenterLib.cards.trust import FalseAlarms, Sensitivity, TrainingData, Trust
from ICHSegmenterLib.labels import EAH, IPH, IVH, PERILESIONAL_EDEMA
from ICHSegmenterLib.preprocessing.spec import VolumePreprocessing

TRUST = Trust(
    trained_on=TrainingData(
        "patients with traumatic brain injury", 184, "Monteiro et al. 2020; the authors' README at 96666a1"
    ),
    false_alarms=(
        FalseAlarms(
            0.0,
            2,
            "two bleed-free public real heads",
            "trial of this program with the first two files on the GE and the InVesalius head",
        ),
        FalseAlarms(
            0.0,
            5,
            "bleed-free human heads of five scanners, one with contrast medium",
            "trial of this program with the first two files; GE and InVesalius are public, three scans are kept aside",
        ),
        FalseAlarms(
            7 / 32,
            32,
            "copies of two bleed-free public real heads, as other scanners would show them, suspected or possible",
            "Testing/accuracy/changed_heads.py with the first two files; 7 of 16 of one head, 0.2 to 0.6 mL each",
        ),
    ),
    sensitivity=(
        Sensitivity(
            0.0,
            1,
            "patient with a cerebellar bleed of 2.6 mL, bone kernel",
            "trial of this program with the first two files; a scan kept aside",
        ),
    ),
    not_seen=(
        "isolated subarachnoid hemorrhage: Dice 0.31 of one that was put into a real head",
        "which of epidural, subdural and subarachnoid blood is: they are one class",
        "small bleeds in a sharp kernel",
        "spontaneous hemorrhage as well as networks trained on it (Kok et al. 2022, TICH-2)",
    ),
)

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
    trust=TRUST,
    release="first release, April 2020",
    limits=(
        "Trained on 184 scans of traumatic brain injury; extra-axial bleeds are one class; weaker on spontaneous "
        "hemorrhage. Not for clinical use."
    ),
)
