"""The network that ships: what it says of a real head that it never saw, and of synthetic ones unlike its own."""

from __future__ import annotations

import pytest

from conftest import shared_data

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from ICHSegmenterLib.inference.engine import analyze  # noqa: E402
from ICHSegmenterLib.inference.session import Session  # noqa: E402
from ICHSegmenterLib.model_cards import get_card  # noqa: E402
from ICHSegmenterLib.training.synthesis.exam import make_exam  # noqa: E402
from ICHSegmenterLib.training.synthesis.insertion import insert_lesions  # noqa: E402
from ICHSegmenterLib.training.synthesis.lesions import SUBTYPES, LesionPlan  # noqa: E402
from ICHSegmenterLib.volume.io import read_volume  # noqa: E402
from ICHSegmenterLib.weights import store  # noqa: E402

pytestmark = pytest.mark.shipped

LESION_ML = 10.0
OUTLINED_SHARE = 0.4


@pytest.fixture(scope="module")
def head():
    return read_volume(shared_data("data/ge_head_ct"))


@pytest.fixture(scope="module")
def session():
    return Session()


def blood_ml(result):
    return sum(one.volume_ml for one in result.measurements if one.is_blood)


def test_the_network_is_in_the_repository_and_whole():
    (path,) = store.find(get_card("compact-unet"))
    assert path.parent.name == "Models"
    assert path.stat().st_size > 1e6


def test_the_compact_unet_calls_a_real_head_without_blood_negative(head, session):
    result = analyze(head, "compact-unet", session=session)
    assert not result.detection.is_positive
    assert blood_ml(result) < 1.0


def test_the_compact_unet_notices_four_of_five_subtypes_put_into_a_real_head(head, session):
    """10 mL each. Of these, epidural, parenchymal and ventricular blood is outlined too."""
    noticed, outlined = [], []
    for subtype in SUBTYPES:
        exam = insert_lesions(head, [LesionPlan(subtype, LESION_ML)], seed=1)
        result = analyze(exam.volume, "compact-unet", session=session)
        truth = exam.labelmap > 0
        share = (result.segmentation.blood_mask & truth).sum() / truth.sum()
        noticed += [subtype] * result.detection.is_positive
        outlined += [subtype] * bool(share >= OUTLINED_SHARE)
    assert len(noticed) >= 4, noticed
    assert {"EDH", "IPH", "IVH"} <= set(outlined)


@pytest.mark.parametrize(("subtype", "least_dice"), [("EDH", 0.6), ("IPH", 0.7)])
def test_the_compact_unet_outlines_a_bleed_in_a_head_unlike_its_own(subtype, least_dice, session):
    exam = make_exam(31, style="shifted", plans=[LesionPlan(subtype, 20.0)])
    result = analyze(exam.volume, "compact-unet", session=session)
    outline, truth = result.segmentation.blood_mask, exam.labelmap > 0
    assert result.detection.is_positive
    assert 2 * (outline & truth).sum() / (outline.sum() + truth.sum()) > least_dice


def test_the_compact_unet_leaves_a_head_unlike_its_own_alone(session):
    exam = make_exam(32, style="shifted", plans=())
    assert blood_ml(analyze(exam.volume, "compact-unet", session=session)) < 1.0
