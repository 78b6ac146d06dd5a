"""The model card: one method as data, what it is, what it needs, what it outputs, how far to trust it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

from ICHSegmenterLib.cards.calibration import Calibration
from ICHSegmenterLib.cards.network_config import check_network_config
from ICHSegmenterLib.cards.option import Option
from ICHSegmenterLib.cards.predictors import PREDICTORS
from ICHSegmenterLib.cards.published_files import WeightsFile
from ICHSegmenterLib.cards.requirement import Requirement, missing
from ICHSegmenterLib.cards.trust import NO_TRUST, Trust
from ICHSegmenterLib.errors import did_you_mean
from ICHSegmenterLib.labels import Code, SegmentLabel
from ICHSegmenterLib.preprocessing.spec import NoPreprocessing, Preprocessing

LabelmapRule = Literal["threshold", "sum", "argmax"]
ValueName = Literal["probability", "score"]
NO_CONFIG: Mapping[str, Any] = MappingProxyType({})

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_RESERVED_NAMES = ("all", "auto")
MAX_MODELS = 32


@dataclass(frozen=True)
class ModelCard:
    """One method.

    Attributes:
        name: On the command line and in files.
        title: In the panel; summary: one line of what it outputs.
        predictor: A name of `PREDICTORS`; wiring: what makes it this method and is no option.
        network: Name for `models.create_model`, empty for classical methods; network_config: its arguments.
        options: Offered to the user, with this method's defaults.
        requirements: Python packages that it runs with, besides those that the library always needs.
        preprocessing: What the network sees.
        labels: Segments it can make, in the order of its maps; empty for detection only.
        labelmap_rule: "threshold" (maps above `threshold`, in positive slices only if `positive_slices_only`),
            "sum" (their sum above it, named by the largest) or "argmax" (largest class, background included).
        threshold: Of the map; detection_threshold: of the "any" value of a slice.
        value_name: What its network's own slice values are: "probability" or "score".
        harmonize: It sees sharp and noisy scans smoothed to a soft kernel's noise.
        align_slices: It looks across slices, and sees those of a head that moved put back beside each other.
        refine_edges: Drawn pieces end where the scan shows it, unless another threshold is asked for.
        knows_subtypes: Its slice values hold EDH, IPH, IVH, SAH and SDH, so it can name another method's segments.
        weights: Published files, an ensemble if several; `default_models` of them are used unless files are named.
        license, paper, doi, limits: What a reader must know.
        calibration: How its values become probabilities, and its two operating points; None: they are scores.
        trust: Training data, false alarms, sensitivity and what is not seen, each with its source.
        release: Which of its authors' releases the weights are of, as "April 2020, 96666a1"; empty if there is none.

    Raises:
        ValueError: A field does not fit the others; says which.
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
    wiring: Mapping[str, str] = field(default_factory=lambda: NO_CONFIG)
    options: tuple[Option, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    preprocessing: Preprocessing = field(default_factory=NoPreprocessing)
    labelmap_rule: LabelmapRule = "threshold"
    threshold: float | None = None
    detection_threshold: float = 0.5
    positive_slices_only: bool = False
    value_name: ValueName = "probability"
    knows_subtypes: bool = False
    harmonize: bool = False
    align_slices: bool = False
    refine_edges: bool = False
    weights: tuple[WeightsFile, ...] = ()
    default_models: int = 1
    doi: str = ""
    calibration: Calibration | None = None
    trust: Trust = NO_TRUST
    release: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in _RESERVED_NAMES:
            raise ValueError(
                f"name must be lower-case letters, digits, dots and dashes and none of {', '.join(_RESERVED_NAMES)}, "
                f"got {self.name!r}"
            )
        if self.predictor not in PREDICTORS:
            raise ValueError(f"predictor must be one of {', '.join(PREDICTORS)}, got {self.predictor!r}")
        self._check_predictor()
        for key in ("threshold", "detection_threshold"):
            value = getattr(self, key)
            if value is not None and not (math.isfinite(value) and 0.0 <= value <= 1.0):
                raise ValueError(f"{key} must lie between 0 and 1, got {value}")
        for key, choices in (("labelmap_rule", LabelmapRule), ("value_name", ValueName)):
            if getattr(self, key) not in get_args(choices):
                raise ValueError(f"{key} must be one of {', '.join(get_args(choices))}, got {getattr(self, key)!r}")
        if self.labels and self.labelmap_rule != "argmax" and self.threshold is None:
            raise ValueError(f"threshold must be given for the labelmap_rule {self.labelmap_rule!r}")
        if not 1 <= self.default_models <= MAX_MODELS:
            raise ValueError(f"default_models must lie between 1 and {MAX_MODELS}, got {self.default_models}")
        if self.calibration is not None and self.judges_pieces != (self.calibration.pieces is not None):
            kind = "pieces, as its outline is judged" if self.judges_pieces else "no pieces: its slices are judged"
            raise ValueError(f"calibration of {self.name} must have {kind}")

    def _check_predictor(self) -> None:
        kind = PREDICTORS[self.predictor]
        if self.network not in (kind.networks or ("",)):
            known = ", ".join(kind.networks) or "none"
            raise ValueError(f"network of the predictor {self.predictor} must be one of {known}, got {self.network!r}")
        if self.network:
            check_network_config(self.network, self.network_config)
        if type(self.preprocessing) is not kind.preprocessing:
            raise ValueError(
                f"preprocessing of the predictor {self.predictor} must be {kind.preprocessing.__name__}, got "
                f"{type(self.preprocessing).__name__}"
            )
        if set(self.wiring) != set(kind.wiring):
            raise ValueError(f"wiring must hold {', '.join(kind.wiring) or 'nothing'}, got {', '.join(self.wiring)}")
        for key, value in self.wiring.items():
            if value not in kind.wiring[key]:
                raise ValueError(f"wiring.{key} must be one of {', '.join(kind.wiring[key])}, got {value!r}")
        known_options = [one.name for one in kind.options]
        for option in self.options:
            if option.name not in known_options:
                raise ValueError(f"options.{option.name}: {self.predictor} knows {', '.join(known_options) or 'none'}")

    @property
    def needs_weights(self) -> bool:
        """True if a network must be filled with weights first."""
        return bool(self.network)

    @property
    def judges_pieces(self) -> bool:
        """True if the exam is judged by pieces of the outline, False if by the values of its slices."""
        return bool(self.labels) and not PREDICTORS[self.predictor].values_slices

    @property
    def algorithm_family(self) -> Code:
        """The family of its algorithm, as DICOM objects name it."""
        return PREDICTORS[self.predictor].family

    @property
    def option_values(self) -> dict[str, Any]:
        """Option name to what it is set to."""
        return {one.name: one.default for one in self.options}

    @property
    def license_text(self) -> str:
        """The license of the weights, and whether terms of the training data bind their user too."""
        return f"{self.license}, but training data with terms" if self.trust.terms else self.license

    @property
    def draws_attention(self) -> bool:
        """True if its segments are where the network looked: an attention map, not an outline of blood."""
        return self.predictor == "swin_map"

    @property
    def missing_packages(self) -> tuple[Requirement, ...]:
        """Packages that it needs and that are not installed."""
        return missing(self.requirements)


def with_options(card: ModelCard, options: Mapping[str, Any]) -> ModelCard:
    """The card with other values for some of its options.

    Raises:
        ValueError: The method has no such option, or the value is of another type than the default.
    """
    known = {one.name: one for one in card.options}
    for name, value in options.items():
        if name not in known:
            listed = ", ".join(f"{one.name} ({one.values}): {one.help}" for one in card.options) or "none"
            raise ValueError(f"{card.name} has no option {name!r}; available: {listed}." + did_you_mean(name, known))
        known[name] = known[name].with_default(value, card.name)
    return replace(card, options=tuple(known.values()))
