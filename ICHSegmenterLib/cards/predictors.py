"""The predictors that a card may name: which networks they run, what they are shown, which options they have.

A closed table without torch. `methods.table` holds the class of each name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ICHSegmenterLib.cards.network_config import SMART_NET_UP_NETWORKS
from ICHSegmenterLib.cards.option import Option
from ICHSegmenterLib.labels import Code
from ICHSegmenterLib.preprocessing.spec import (
    NoPreprocessing,
    Preprocessing,
    SeriesPreprocessing,
    SlabPreprocessing,
    SlicePreprocessing,
    SmartNetPreprocessing,
    VolumePreprocessing,
)

TTA = Option("tta", "bool", False, "also look at the mirrored slices and take the mean (test-time augmentation)")
SUPPRESS_BONE = Option("suppress_bone", "bool", False, "take out bone that looks like blood by partial volume")
MIN_PIXELS = Option(
    "min_pixels", "int", 11, "a slice bleeds from so many pixels of blood at the network's size", low=1, high=10_000
)
MASKED = Option("masked", "bool", False, "leave the empty slices out that pad an exam to 60")
XYZ_ORDER = Option("xyz_order", "bool", False, "sort slices as the authors do, not by true position")
VARIANT = Option(
    "variant",
    "choice",
    "full",
    "the network that the file was trained for",
    ("full", "dual_cls_seg", "dual_cls_rec", "dual_seg_rec", "single_cls", "single_seg"),
)
MODE = Option("mode", "choice", "stacked", "gray values over the whole volume or each slice", ("stacked", "slice-wise"))
INSIDE_BRAIN = Option("inside_brain", "bool", True, "outline nothing outside the brain mask")
DROP_EMPTY_ENDS = Option("drop_empty_ends", "bool", False, "leave out slices without tissue at both ends")

ARTIFICIAL_INTELLIGENCE = Code("123110", "Artificial Intelligence", "DCM")
MORPHOLOGICAL_OPERATIONS = Code("123104", "Morphological Operations", "DCM")


@dataclass(frozen=True)
class PredictorKind:
    """Inputs and options that a predictor accepts.

    Attributes:
        networks: Names that it can run; empty for a classical method.
        preprocessing: What its network is shown.
        options: All that it knows; a card offers some of them with its own defaults.
        wiring: What makes it the method that it is, fixed by the card and no option: key to possible values.
        values_slices: It classifies slices or the exam, so that these values are judged and not what it outlines.
        family: Of algorithms, as DICOM codes it (CID 7162).
    """

    networks: tuple[str, ...]
    preprocessing: type[Preprocessing]
    options: tuple[Option, ...] = ()
    wiring: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    values_slices: bool = False
    family: Code = ARTIFICIAL_INTELLIGENCE


PREDICTORS: Mapping[str, PredictorKind] = MappingProxyType(
    {
        "blast_ct": PredictorKind(("deepmedic",), VolumePreprocessing, (TTA,)),
        "hu_threshold": PredictorKind((), NoPreprocessing, family=MORPHOLOGICAL_OPERATIONS),
        "rsna_sequence": PredictorKind(
            ("slice_sequence_transformer",), SeriesPreprocessing, (MASKED, XYZ_ORDER, TTA), values_slices=True
        ),
        "slab_unet": PredictorKind(("context_unet",), SlabPreprocessing, (TTA, MIN_PIXELS)),
        "smart_net_cls": PredictorKind(
            ("smart_net_down_cls",), SmartNetPreprocessing, (DROP_EMPTY_ENDS,), values_slices=True
        ),
        "smart_net_seg": PredictorKind(("smart_net_down_seg",), SmartNetPreprocessing, (DROP_EMPTY_ENDS, INSIDE_BRAIN)),
        "smart_net_up": PredictorKind(
            SMART_NET_UP_NETWORKS, SmartNetPreprocessing, (VARIANT, MODE, INSIDE_BRAIN), values_slices=True
        ),
        "swin_map": PredictorKind(
            ("swin_classifier",),
            SlicePreprocessing,
            (TTA, INSIDE_BRAIN),
            MappingProxyType({"map_kind": ("hgi-sam", "swin-sam", "grad-cam")}),
            values_slices=True,
        ),
        "unet": PredictorKind(
            ("unet", "swin_unetr"), SlicePreprocessing, (TTA, SUPPRESS_BONE, MIN_PIXELS, INSIDE_BRAIN)
        ),
    }
)
"""Predictor name to what it accepts."""
