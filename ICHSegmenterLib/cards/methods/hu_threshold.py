"""The classical baseline: no network, no weights."""

from __future__ import annotations

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.published_files import APACHE
from ICHSegmenterLib.cards.trust import FalseAlarms, Sensitivity, TrainingData, Trust
from ICHSegmenterLib.labels import ICH

SYNTHETIC = "docs/verdict.md; of 66 exams, each judged by a calibration on the others"
TRIAL = "trial of this program"
TRUST = Trust(
    trained_on=TrainingData("nobody: a rule, without learning"),
    false_alarms=(
        FalseAlarms(0.0, 2, "bleed-free human heads", TRIAL + "; GE and InVesalius, both public"),
        FalseAlarms(7 / 37, 37, "clean synthetic exams, suspected or possible", SYNTHETIC),
        FalseAlarms(1 / 37, 37, "the same, suspected", SYNTHETIC),
    ),
    sensitivity=(
        Sensitivity(0.0, 1, "patient with a cerebellar bleed of 2.6 mL, bone kernel", TRIAL + "; a scan kept aside"),
        Sensitivity(14 / 29, 29, "bleeding synthetic exams, suspected or possible", SYNTHETIC, from_ml=1.0),
        Sensitivity(11 / 29, 29, "the same, suspected", SYNTHETIC, from_ml=1.0),
    ),
    not_seen=(
        "blood below 50 HU",
        "thin bleeds along the skull",
        "bleeds below 1 mL: 0 of 144 in the synthetic exams",
        "subtypes",
    ),
)

HU_THRESHOLD = ModelCard(
    name="hu-threshold",
    title="HU threshold",
    summary="Classical baseline: voxels as dense as acute blood inside the skull; works offline",
    predictor="hu_threshold",
    labels=(ICH,),
    threshold=0.5,
    value_name="score",
    license=APACHE,
    paper="Classical baseline; HU of acute blood after Nowinski et al. 2014",
    trust=TRUST,
    limits=(
        "No learning: misses bleeds below 50 HU, thin or along the skull (extra-axial) and small ones, and can mistake "
        "dense sinuses or calcification for blood. A floor to compare with."
    ),
)
