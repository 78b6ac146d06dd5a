"""A terminology of a few codes under the file and context names that Slicer's logic loads at start.

SNOMED CT codes are facts of DICOM PS3.16; Slicer's own files are much longer and are not in its wheel.
"""

import json

SEGMENT_CONTEXTS = {
    "SegmentationCategoryTypeModifier-SlicerGeneralAnatomy": (
        "Segmentation category and type - 3D Slicer General Anatomy list"
    ),
    "SegmentationCategoryTypeModifier-DICOM-Master": "Segmentation category and type - DICOM master list",
}
REGION_CONTEXTS = {"AnatomicRegionAndModifier-DICOM-Master": "Anatomic codes - DICOM master list"}
CATEGORIES = (
    ("Tissue", "85756007", (("Tissue", "85756007", (128, 174, 128)),)),
    (
        "Morphologically Altered Structure",
        "49755003",
        (
            ("Hemorrhage", "50960005", (216, 101, 79)),
            ("Edema", "79654002", (140, 224, 228)),
            ("Mass", "4147007", (144, 238, 144)),
        ),
    ),
)
REGIONS = (("Brain", "12738006"), ("Head", "69536005"))


def write(share):
    """Write the three files into the share folder."""
    categories = [
        {
            **_code(meaning, value),
            "showAnatomy": True,
            "Type": [{**_code(m, v), "recommendedDisplayRGBValue": list(rgb)} for m, v, rgb in kinds],
        }
        for meaning, value, kinds in CATEGORIES
    ]
    for stem, context in SEGMENT_CONTEXTS.items():
        _dump(
            share,
            stem,
            {
                "SegmentationCategoryTypeContextName": context,
                "@schema": "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/"
                "segment-context-schema.json#",
                "SegmentationCodes": {"Category": categories},
            },
        )
    for stem, context in REGION_CONTEXTS.items():
        _dump(
            share,
            stem,
            {
                "AnatomicContextName": context,
                "@schema": "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/"
                "anatomic-context-schema.json#",
                "AnatomicCodes": {"AnatomicRegion": [_code(*region) for region in REGIONS]},
            },
        )


def _code(meaning: str, value: str) -> dict:
    return {
        "CodeMeaning": meaning,
        "CodingSchemeDesignator": "SCT",
        "CodeValue": value,
        "cid": "",
        "contextGroupName": "",
    }


def _dump(share, stem: str, content: dict):
    (share / f"{stem}.term.json").write_text(json.dumps(content), encoding="utf-8")
