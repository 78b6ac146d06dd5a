"""Every method as data: what it is, what it needs, what it outputs, how far to trust it. One table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal

from ICHSegmenterLib.cards.published_files import (
    APACHE,
    BLAST_CT_MODELS,
    SWIN_CROSS_ENTROPY,
    SWIN_FOCAL_BINARY,
    SWIN_FOCAL_MULTI,
    UNET_FOLDS,
    WeightsFile,
)
from ICHSegmenterLib.errors import ModelNotFoundError, did_you_mean
from ICHSegmenterLib.labels import (
    EAH,
    EDH,
    ICH,
    IPH,
    IVH,
    PERILESIONAL_EDEMA,
    SAH,
    SDH,
    SUBTYPE_LABELS,
    SegmentLabel,
)
from ICHSegmenterLib.preprocessing.spec import (
    RSNA_WINDOWS,
    NoPreprocessing,
    Preprocessing,
    SeriesPreprocessing,
    SlicePreprocessing,
    SmartNetPreprocessing,
    VolumePreprocessing,
)

LabelmapRule = Literal["threshold", "together", "argmax"]
NO_CONFIG: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class ModelCard:
    """One method.

    Attributes:
        name: On the command line and in files.
        title: In the panel; summary: one line of what it outputs.
        predictor: "module:Class", resolved by the session only, so that this table stays free of torch.
        network: Name for `models.create_model`, empty for classical methods; network_config: its arguments.
        preprocessing: What the network sees.
        labels: Segments it can make, in the order of its maps; empty for detection only.
        labelmap_rule: "threshold" (maps above `threshold`, in positive slices only if `positive_slices_only`),
            "together" (their sum above it, named by the largest) or "argmax" (largest class, background included).
        threshold: Of the map; detection_threshold: of the "any" value of a slice.
        value_name: What its slice values are: "probability" or "score".
        knows_subtypes: Its slice values hold EDH, IPH, IVH, SAH and SDH, so it can name another method's segments.
        weights: Published files, an ensemble if several; `default_models` of them are used unless files are named.
        predictor_config: Options of the predictor with their defaults; `analyze(options=...)` may change them.
            "tta": also look at the mirrored slices and take the mean (test-time augmentation). "skull_guard": take
            bone that looks like blood out. "ignored_pixels": so few pixels of blood in a slice are no finding.
        needs_weights: False for classical methods.
        license, paper, doi, limits: What a reader must know.
    """

    name: str
    title: str
    summary: str
    predictor: str
    labels: tuple[SegmentLabel, ...]
    license: str
    paper: str
    limits: str
    network: str = ""
    network_config: Mapping[str, Any] = field(default_factory=lambda: NO_CONFIG)
    predictor_config: Mapping[str, Any] = field(default_factory=lambda: NO_CONFIG)
    preprocessing: Preprocessing = field(default_factory=NoPreprocessing)
    labelmap_rule: LabelmapRule = "threshold"
    threshold: float | None = None
    detection_threshold: float = 0.5
    positive_slices_only: bool = False
    value_name: Literal["probability", "score"] = "probability"
    knows_subtypes: bool = False
    weights: tuple[WeightsFile, ...] = ()
    default_models: int = 1
    doi: str = ""

    @property
    def needs_weights(self) -> bool:
        """True if a network must be filled with weights first."""
        return bool(self.network)


HGI_SAM_PAPER = "Rasoulian et al., MELBA 2023:012 (arXiv 2304.04902)"
SWIN_SAM_PAPER = "Rasoulian et al., MLCN 2022"
RSNA_SEQUENCE_PAPER = "Shang et al., 2022 (arXiv 2205.07556)"
SMART_NET_PAPER = "Kyung et al., Med Image Anal 2022 (S1361841522001360)"
BLAST_CT_PAPER = "Monteiro et al., Lancet Digital Health 2020;2:e314-e322"

SWIN_LIMITS = (
    "Weakly supervised: outlines are coarse (published mean Dice 0.44). Trained on RSNA 2019, whose terms are "
    "non-commercial. Whether the authors' weight files can still be downloaded is not known."
)
UNET_LIMITS = (
    "Trained on 36 bleeding exams of PhysioNet CT-ICH, the published folds split by slice. One class, no subtype. "
    "Whether the authors' weight files can still be downloaded is not known."
)
RSNA_SEQUENCE_LIMITS = (
    "Detection only. As in the authors' code, exams are padded to 60 slices with empty ones that take part in "
    "attention (option masked=true leaves them out). Slices are sorted by true position; xyz_order=true sorts them as "
    "the authors do. Trained on RSNA 2019, whose terms are non-commercial, with a semi-supervised step that was never "
    "released. The authors' weights (1.07 GB, .pdparams) can be named by --weights, or converted and imported."
)
SMART_NET_LIMITS = (
    "The authors published no weights: train it, or use a file from them. Gray values are spread over the whole "
    "volume and empty slices stay in, as in their volume test. "
)
SMART_NET_UP_LIMITS = (
    SMART_NET_LIMITS + "Training spread the gray values over each slice by itself, which mode=slice-wise does. The "
    "option variant names the network that the file was trained for; without its heads nothing is outlined, or slices "
    "are judged by their outline. Outlines are kept inside the skull, which the authors did not do."
)
SMART_NET_CLS_LIMITS = (
    SMART_NET_LIMITS + "Detection only, for the exam as a whole. The value of a slice is the network's answer to that "
    "slice alone, at most that of the exam: it was not trained for slices, and only says where to look first. "
    "Training left empty end slices out, which drop_empty_ends=true does."
)
SMART_NET_SEG_LIMITS = (
    SMART_NET_LIMITS + "One class, no subtype. Training left empty end slices out, which drop_empty_ends=true does. "
    "Outlines are kept inside the skull, which the authors did not do."
)
SWIN_UNETR_LIMITS = (
    "The second baseline of the HGI-SAM paper, MONAI's network on single slices. No weights were published: train the "
    "five folds, or any number of them. One class, no subtype."
)
BLAST_CT_LIMITS = (
    "Trained on 184 scans of traumatic brain injury; extra-axial bleeds are one class; weaker on spontaneous "
    "hemorrhage. Not for clinical use."
)
COMPACT_LIMITS = (
    "Small, and trained on synthetic bleeds in made-up heads only, never on a patient: expect less on real exams than "
    "on synthetic ones. It is there so that something learned works without network. Research only."
)
COMPACT_HGI_LIMITS = (
    COMPACT_LIMITS + " Better at saying which slices bleed than where: outlines are coarse; compact-unet draws them."
)

COMPACT_PREPROCESSING = SlicePreprocessing(RSNA_WINDOWS, resize=212, crop=192, normalization="window")
"""Of the compact networks: slices of half the usual size, window edges to 0 and 1."""

_SWIN_PREDICTOR = "ICHSegmenterLib.methods.swin.predictor:SwinMapPredictor"
_UNET_PREDICTOR = "ICHSegmenterLib.methods.unet.predictor:UnetPredictor"


def _swin_card(
    name: str,
    title: str,
    summary: str,
    *,
    map_kind: str,
    classes: int,
    threshold: float,
    paper: str,
    weights: WeightsFile,
) -> ModelCard:
    """The four methods that draw maps from one Swin slice classifier."""
    return ModelCard(
        name=name,
        title=title,
        summary=summary,
        predictor=_SWIN_PREDICTOR,
        predictor_config=MappingProxyType({"map_kind": map_kind, "tta": False}),
        network="swin_classifier",
        network_config=MappingProxyType({"num_classes": classes}),
        preprocessing=SlicePreprocessing(),
        labels=(ICH,),
        threshold=threshold,
        positive_slices_only=True,
        knows_subtypes=classes == len(SUBTYPE_LABELS),
        weights=(weights,),
        license=APACHE,
        paper=paper,
        limits=SWIN_LIMITS,
    )


MODEL_CARDS: Mapping[str, ModelCard] = MappingProxyType(
    {
        card.name: card
        for card in (
            ModelCard(
                name="blast-ct",
                title="BLAST-CT",
                summary="Outlines intraparenchymal, extra-axial and intraventricular blood, and edema",
                predictor="ICHSegmenterLib.methods.blast_ct.predictor:BlastCtPredictor",
                predictor_config=MappingProxyType({"tta": False}),
                network="deepmedic",
                preprocessing=VolumePreprocessing(),
                labels=(IPH, EAH, PERILESIONAL_EDEMA, IVH),
                labelmap_rule="argmax",
                value_name="score",
                weights=BLAST_CT_MODELS,
                default_models=2,
                license=APACHE,
                paper=BLAST_CT_PAPER,
                doi="10.1016/S2589-7500(20)30085-6",
                limits=BLAST_CT_LIMITS,
            ),
            _swin_card(
                "hgi-sam",
                "HGI-SAM",
                "Finds bleeding slices and outlines them from gradient-weighted attention",
                map_kind="hgi-sam",
                classes=2,
                threshold=0.05,
                paper=HGI_SAM_PAPER,
                weights=SWIN_CROSS_ENTROPY,
            ),
            _swin_card(
                "swin-sam",
                "Swin-SAM",
                "Finds bleeding slices and outlines them from attention",
                map_kind="swin-sam",
                classes=1,
                threshold=0.07,
                paper=SWIN_SAM_PAPER,
                weights=SWIN_FOCAL_BINARY,
            ),
            _swin_card(
                "swin-sam-multi",
                "Swin-SAM, six labels",
                "Finds bleeding slices with their subtypes and outlines them from attention",
                map_kind="swin-sam",
                classes=6,
                threshold=0.11,
                paper=SWIN_SAM_PAPER,
                weights=SWIN_FOCAL_MULTI,
            ),
            _swin_card(
                "swin-gradcam",
                "Swin-GradCAM",
                "Finds bleeding slices and outlines them by Grad-CAM",
                map_kind="grad-cam",
                classes=2,
                threshold=0.80,
                paper=HGI_SAM_PAPER,
                weights=SWIN_CROSS_ENTROPY,
            ),
            ModelCard(
                name="unet",
                title="U-Net (five folds)",
                summary="Outlines blood slice by slice; one class",
                predictor=_UNET_PREDICTOR,
                predictor_config=MappingProxyType({"tta": False}),
                network="unet",
                network_config=MappingProxyType({"variant": "release"}),
                preprocessing=SlicePreprocessing(),
                labels=(ICH,),
                threshold=0.5,
                weights=UNET_FOLDS,
                default_models=5,
                license=APACHE,
                paper=HGI_SAM_PAPER,
                limits=UNET_LIMITS,
            ),
            ModelCard(
                name="compact-unet",
                title="Compact U-Net (works offline)",
                summary="Outlines blood slice by slice and names the five subtypes; ships with the program",
                predictor=_UNET_PREDICTOR,
                predictor_config=MappingProxyType({"tta": True, "skull_guard": True, "ignored_pixels": 20}),
                network="unet",
                network_config=MappingProxyType({"variant": "release", "num_classes": 6}),
                preprocessing=COMPACT_PREPROCESSING,
                labels=(EDH, IPH, IVH, SAH, SDH),
                labelmap_rule="together",
                threshold=0.6,
                detection_threshold=0.95,
                value_name="score",
                knows_subtypes=True,
                license=APACHE,
                paper="Network of " + HGI_SAM_PAPER + ", trained here",
                limits=COMPACT_LIMITS,
            ),
            ModelCard(
                name="compact-hgi",
                title="Compact HGI-SAM (works offline)",
                summary="Finds bleeding slices and outlines them from attention, coarsely; ships with the program",
                predictor=_SWIN_PREDICTOR,
                predictor_config=MappingProxyType({"map_kind": "hgi-sam", "tta": False}),
                network="swin_classifier",
                network_config=MappingProxyType(
                    {
                        "num_classes": 2,
                        "image_size": 192,
                        "window_size": 6,
                        "embed_dim": 48,
                        "depths": (2, 2, 6, 2),
                        "num_heads": (2, 4, 8, 16),
                    }
                ),
                preprocessing=COMPACT_PREPROCESSING,
                labels=(ICH,),
                threshold=0.1,
                detection_threshold=0.9,
                value_name="score",
                positive_slices_only=True,
                license=APACHE,
                paper="Method of " + HGI_SAM_PAPER + ", a smaller network trained here",
                limits=COMPACT_HGI_LIMITS,
            ),
            ModelCard(
                name="rsna-sequence",
                title="RSNA slice-and-sequence transformer",
                summary="Finds bleeding slices and their subtype, each slice in the light of the others; no outline",
                predictor="ICHSegmenterLib.methods.rsna_sequence.predictor:RsnaSequencePredictor",
                predictor_config=MappingProxyType({"masked": False, "xyz_order": False, "tta": False}),
                network="slice_sequence_transformer",
                preprocessing=SeriesPreprocessing(),
                knows_subtypes=True,
                labels=(),
                license=APACHE,
                paper=RSNA_SEQUENCE_PAPER,
                doi="10.48550/arXiv.2205.07556",
                limits=RSNA_SEQUENCE_LIMITS,
            ),
            ModelCard(
                name="smart-net-up",
                title="SMART-Net, slices",
                summary="Finds bleeding slices and outlines blood on each by itself; one class",
                predictor="ICHSegmenterLib.methods.smart_net.predictor:SmartNetUpPredictor",
                predictor_config=MappingProxyType({"variant": "full", "mode": "stacked"}),
                network="smart_net_up",
                preprocessing=SmartNetPreprocessing(),
                labels=(ICH,),
                threshold=0.5,
                license="MIT",
                paper=SMART_NET_PAPER,
                limits=SMART_NET_UP_LIMITS,
            ),
            ModelCard(
                name="smart-net-cls",
                title="SMART-Net, exam classification",
                summary="Says whether the exam bleeds, from all its slices in order; no outline",
                predictor="ICHSegmenterLib.methods.smart_net.volume_predictor:SmartNetClsPredictor",
                predictor_config=MappingProxyType({"drop_empty_ends": False}),
                network="smart_net_down_cls",
                preprocessing=SmartNetPreprocessing(),
                labels=(),
                license="MIT",
                paper=SMART_NET_PAPER,
                limits=SMART_NET_CLS_LIMITS,
            ),
            ModelCard(
                name="smart-net-seg",
                title="SMART-Net, exam segmentation",
                summary="Outlines blood with the slices above and below in view; one class",
                predictor="ICHSegmenterLib.methods.smart_net.volume_predictor:SmartNetSegPredictor",
                predictor_config=MappingProxyType({"drop_empty_ends": False}),
                network="smart_net_down_seg",
                preprocessing=SmartNetPreprocessing(),
                labels=(ICH,),
                threshold=0.5,
                license="MIT",
                paper=SMART_NET_PAPER,
                limits=SMART_NET_SEG_LIMITS,
            ),
            ModelCard(
                name="swin-unetr",
                title="SwinUNETR (five folds)",
                summary="Outlines blood slice by slice; one class",
                predictor=_UNET_PREDICTOR,
                predictor_config=MappingProxyType({"tta": False}),
                network="swin_unetr",
                preprocessing=SlicePreprocessing(),
                labels=(ICH,),
                threshold=0.5,
                default_models=5,
                license=APACHE,
                paper=HGI_SAM_PAPER,
                limits=SWIN_UNETR_LIMITS,
            ),
            ModelCard(
                name="hu-threshold",
                title="HU threshold",
                summary="Classical baseline: voxels as dense as acute blood inside the skull; works offline",
                predictor="ICHSegmenterLib.methods.hu_threshold.predictor:HuThresholdPredictor",
                labels=(ICH,),
                threshold=0.5,
                value_name="score",
                license=APACHE,
                paper="Classical baseline; HU of acute blood after Nowinski et al. 2014",
                limits=(
                    "No learning: misses bleeds below 50 HU, thin or along the skull (extra-axial) and small ones, and "
                    "can mistake dense sinuses or calcification for blood. A floor to compare with."
                ),
            ),
        )
    }
)

_OF_THE_INSTALLED_METHOD = ("predictor", "weights", "default_models")

DEFAULT_METHODS = ("blast-ct", "compact-unet", "hu-threshold")
"""Best first: what runs, if nobody chose, is the first that is ready. The last needs neither weights nor torch."""


def get_card(name: str) -> ModelCard:
    """The card of a method.

    Raises:
        ModelNotFoundError: No such method.
    """
    if name not in MODEL_CARDS:
        known = ", ".join(sorted(MODEL_CARDS))
        raise ModelNotFoundError(f"Unknown method {name!r}; available: {known}." + did_you_mean(name, MODEL_CARDS))
    return MODEL_CARDS[name]


def with_options(card: ModelCard, options: Mapping[str, Any]) -> ModelCard:
    """The card with other values for some of its options.

    Raises:
        ValueError: The method has no such option, or the value is of another type than the default.
    """
    for name, value in options.items():
        if name not in card.predictor_config:
            known = ", ".join(card.predictor_config) or "none"
            closest = did_you_mean(name, card.predictor_config)
            raise ValueError(f"{card.name} has no option {name!r}; available: {known}." + closest)
        default = card.predictor_config[name]
        if type(value) is not type(default):
            raise ValueError(
                f"option {name} of {card.name} is a {type(default).__name__} like {default!r}, got {value!r}"
            )
    return replace(card, predictor_config=MappingProxyType({**card.predictor_config, **options}))


def card_facts(card: ModelCard) -> dict[str, Any]:
    """A card as plain data for the JSON beside a weight file; what belongs to the installed method is left out."""
    facts = {one.name: getattr(card, one.name) for one in fields(card) if one.name not in _OF_THE_INSTALLED_METHOD}
    facts["labels"] = [label.key for label in card.labels]
    facts["network_config"], facts["predictor_config"] = dict(card.network_config), dict(card.predictor_config)
    facts["preprocessing"] = {"kind": type(card.preprocessing).__name__, **asdict(card.preprocessing)}
    return facts


def weights_by_sha256() -> Mapping[str, WeightsFile]:
    """Every published weight file by its digest."""
    return {file.sha256: file for card in MODEL_CARDS.values() for file in card.weights}
