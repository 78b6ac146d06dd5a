"""The words for blood: hemorrhage subtypes in RSNA's order, and segments with name, color and SNOMED CT codes.

Codes were read from Slicer's terminology files; none exists there for the epidural or subdural space, so
those two carry an own region context (Resources/Terminology). Scheme is always SCT.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class HemorrhageSubtype(Enum):
    """RSNA 2019 label, in RSNA's order."""

    EDH = "epidural"
    IPH = "intraparenchymal"
    IVH = "intraventricular"
    SAH = "subarachnoid"
    SDH = "subdural"
    ANY = "any"


ANY = "any"
"""The label for hemorrhage of any subtype in `SlicePrediction.probabilities`."""

SUBTYPE_LABELS: tuple[str, ...] = tuple(subtype.name if subtype.name != "ANY" else ANY for subtype in HemorrhageSubtype)
"""("EDH", "IPH", "IVH", "SAH", "SDH", "any"): output order of six-label networks."""


@dataclass(frozen=True)
class Code:
    """A coded concept: scheme is SCT (SNOMED CT) unless it says otherwise."""

    value: str
    meaning: str
    scheme: str = "SCT"

    def __str__(self) -> str:
        return f"{self.scheme}^{self.value}^{self.meaning}"


MORPHOLOGICALLY_ALTERED = Code("49755003", "Morphologically Altered Structure")
HEMORRHAGE = Code("50960005", "Hemorrhage")
EDEMA = Code("79654002", "Edema")
BRAIN = Code("12738006", "Brain")
BRAIN_VENTRICLE = Code("35764002", "Brain ventricle")
SUBARACHNOID_SPACE = Code("35951006", "Subarachnoid space")
SUBDURAL_SPACE = Code("54214006", "Subdural space")
DURA_MATER = Code("18545000", "Dura mater")
MENINGES = Code("1231004", "Meninges")

TYPE_CONTEXT = "Segmentation category and type - DICOM master list"
REGION_CONTEXT = "Anatomic codes - DICOM master list"
OWN_REGION_CONTEXT = "Intracranial compartments - ICHSegmenter"


@dataclass(frozen=True)
class SegmentLabel:
    """One kind of segment.

    Attributes:
        key: Short name, stable: used in files and tables ("IPH", "edema", "ICH").
        name: The name a reader sees.
        color: RGB, 0 to 255.
        type: What it is; region: where it is.
        is_blood: False for edema, which never counts as hemorrhage.
    """

    key: str
    name: str
    color: tuple[int, int, int]
    region: Code
    type: Code = HEMORRHAGE
    is_blood: bool = True

    @property
    def terminology(self) -> str:
        """Slicer's serialized terminology entry: seven parts joined by `~`."""
        context = OWN_REGION_CONTEXT if self.region in (SUBDURAL_SPACE, DURA_MATER) else REGION_CONTEXT
        return "~".join(
            (TYPE_CONTEXT, str(MORPHOLOGICALLY_ALTERED), str(self.type), "^^", context, str(self.region), "^^")
        )


ICH = SegmentLabel("ICH", "Intracranial hemorrhage", (216, 60, 40), BRAIN)
EDH = SegmentLabel("EDH", "Epidural hemorrhage", (255, 170, 30), DURA_MATER)
IPH = SegmentLabel("IPH", "Intraparenchymal hemorrhage", (216, 30, 60), BRAIN)
IVH = SegmentLabel("IVH", "Intraventricular hemorrhage", (60, 110, 235), BRAIN_VENTRICLE)
SAH = SegmentLabel("SAH", "Subarachnoid hemorrhage", (190, 80, 220), SUBARACHNOID_SPACE)
SDH = SegmentLabel("SDH", "Subdural hemorrhage", (250, 225, 60), SUBDURAL_SPACE)
EAH = SegmentLabel("EAH", "Extra-axial hemorrhage", (255, 130, 0), MENINGES)
PERILESIONAL_EDEMA = SegmentLabel("edema", "Perilesional edema", (90, 205, 200), BRAIN, type=EDEMA, is_blood=False)

SUBTYPES_OF: dict[str, tuple[SegmentLabel, ...]] = {ICH.key: (EDH, IPH, IVH, SAH, SDH), EAH.key: (EDH, SAH, SDH)}
"""Labels that leave the subtype open, and the subtypes that each may turn out to be."""

SEGMENT_LABELS: dict[str, SegmentLabel] = {
    label.key: label for label in (ICH, EDH, IPH, IVH, SAH, SDH, EAH, PERILESIONAL_EDEMA)
}
