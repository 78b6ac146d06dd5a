"""Names, colors and codes of segments."""

from ICHSegmenterLib.labels import PERILESIONAL_EDEMA, SDH, SEGMENT_LABELS, SUBTYPE_LABELS


def test_six_labels_come_in_the_order_of_rsna():
    assert SUBTYPE_LABELS == ("EDH", "IPH", "IVH", "SAH", "SDH", "any")


def test_every_segment_has_its_own_name_and_color():
    assert len({label.name for label in SEGMENT_LABELS.values()}) == len(SEGMENT_LABELS)
    assert len({label.color for label in SEGMENT_LABELS.values()}) == len(SEGMENT_LABELS)


def test_terminology_has_seven_parts_with_category_type_and_region():
    parts = SDH.terminology.split("~")
    assert len(parts) == 7
    assert parts[1] == "SCT^49755003^Morphologically Altered Structure"
    assert parts[2] == "SCT^50960005^Hemorrhage"
    assert parts[5] == "SCT^54214006^Subdural space"
    assert parts[3] == parts[6] == "^^"


def test_edema_is_not_blood():
    assert not PERILESIONAL_EDEMA.is_blood
    assert "SCT^79654002^Edema" in PERILESIONAL_EDEMA.terminology
