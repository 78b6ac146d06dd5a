"""The slice-and-sequence transformer for RSNA 2019: each slice in the light of the others."""

from __future__ import annotations

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.predictors import MASKED, TTA, XYZ_ORDER
from ICHSegmenterLib.cards.published_files import APACHE
from ICHSegmenterLib.cards.requirement import TORCH
from ICHSegmenterLib.cards.trust import TrainingData, Trust
from ICHSegmenterLib.preprocessing.spec import SeriesPreprocessing

RSNA_TERMS = (
    "RSNA 2019 hemorrhage data: non-commercial use, academic research and education only, no re-identification; "
    "treat the weights alike"
)
TRUST = Trust(
    trained_on=TrainingData(
        "RSNA 2019, 752 803 slices of its training part, and its test slices without their labels",
        None,
        "Shang et al. 2022; the authors' code",
        RSNA_TERMS,
    ),
    not_seen=("where blood lies: it draws no outline", "more than 60 slices at once"),
)

RSNA_SEQUENCE = ModelCard(
    name="rsna-sequence",
    title="RSNA slice-and-sequence transformer",
    summary="Finds bleeding slices and their subtype, each slice in the light of the others; no outline",
    predictor="rsna_sequence",
    options=(MASKED, XYZ_ORDER, TTA),
    requirements=(TORCH,),
    network="slice_sequence_transformer",
    preprocessing=SeriesPreprocessing(),
    knows_subtypes=True,
    labels=(),
    license=APACHE,
    paper="Shang et al., 2022 (arXiv 2205.07556)",
    doi="10.48550/arXiv.2205.07556",
    trust=TRUST,
    limits=(
        "Detection only. As in the authors' code, exams are padded to 60 slices with empty ones that take part in "
        "attention (option masked=true leaves them out). Slices are sorted by true position; xyz_order=true sorts them "
        "as the authors do. Trained on RSNA 2019, whose terms are non-commercial, with a semi-supervised step that was "
        "never released. The authors' weights are a download of 1.07 GB that has to be fetched by hand."
    ),
)
