"""The classical baseline: no network, no weights."""

from __future__ import annotations

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.published_files import APACHE
from ICHSegmenterLib.labels import ICH

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
    limits=(
        "No learning: misses bleeds below 50 HU, thin or along the skull (extra-axial) and small ones, and can mistake "
        "dense sinuses or calcification for blood. A floor to compare with."
    ),
)
