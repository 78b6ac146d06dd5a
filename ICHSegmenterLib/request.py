"""The request of an analysis: methods, weights, options, thresholds, processor, outputs. Frozen, checked, torch-free.

The same request goes through command line, batch, evaluation, panel and the pipe to the worker. The exam itself
(voxels, geometry, brain mask) is not part of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ICHSegmenterLib.cards.pairs import check_pair
from ICHSegmenterLib.cards.table import NO_CONFIG, ModelCard, with_options
from ICHSegmenterLib.errors import DeviceRequestError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.protocol import Message, read_number, read_object, read_text, read_texts
from ICHSegmenterLib.verdict import MIN_PIECE_VOLUME_ML, OperatingPoint
from ICHSegmenterLib.weights import store

PRECISIONS = ("auto", "float32", "bfloat16", "float16")

MAP = "map"
"""The output that keeps soft maps (and uncertainty) in the result; the others are known to `outputs.table`."""

NO_FILES: Mapping[str, tuple[Path, ...]] = MappingProxyType({})
NO_OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class AnalysisRequest:
    """One method, or one that outlines and one that detects, with all that changes what they say.

    Attributes:
        method: A name of the table of cards, or of the card beside `weights`.
        detector: Name of a second method that detects and names what `method` outlines, empty without one.
        weights: Files of `method` to use instead of the installed ones; several make an ensemble.
        detector_weights: Those of the detector.
        options: Other values for options of `method`, see its card.
        detector_options: Those of the detector.
        threshold: Of the maps, 0 to 1; None for the card's.
        detection_threshold: Of the exam's probability, and of the slice values of a detector, 0 to 1: where screening
            begins; None for the card's.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: One of `PRECISIONS`.
        outputs: Names of the outputs to write, none: the defaults; `MAP` keeps the soft maps in the result.
        detection_only: Say whether, which slices and which type; nothing is outlined.
        operating_point: Which pieces of blood are drawn: sensitivity first, or specificity first.
        min_volume_ml: Smaller pieces are neither listed nor drawn.

    Raises:
        ModelNotFoundError: No such method.
        WeightsError: A card beside the weights cannot be used.
        DeviceRequestError: No processor is called so.
        ValueError: An option or weights of no use, a threshold beyond 0 to 1, or two methods that cannot work together.
    """

    method: str
    detector: str = ""
    weights: tuple[Path, ...] = ()
    detector_weights: tuple[Path, ...] = ()
    options: Mapping[str, Any] = field(default_factory=lambda: NO_CONFIG)
    detector_options: Mapping[str, Any] = field(default_factory=lambda: NO_CONFIG)
    threshold: float | None = None
    detection_threshold: float | None = None
    device: str = "auto"
    precision: str = "auto"
    outputs: tuple[str, ...] = ()
    detection_only: bool = False
    operating_point: OperatingPoint = OperatingPoint.SCREENING
    min_volume_ml: float = MIN_PIECE_VOLUME_ML

    def __post_init__(self) -> None:
        _set(self, weights=_paths(self.weights), detector_weights=_paths(self.detector_weights))
        _set(self, options=_read_only(self.options), detector_options=_read_only(self.detector_options))
        _set(self, outputs=_names("outputs", self.outputs))
        _set(self, operating_point=OperatingPoint.named(self.operating_point))
        if not 0.0 <= self.min_volume_ml < math.inf:
            raise ValueError(f"min_volume_ml must be 0 mL or more, got {self.min_volume_ml}")
        card = self.card
        if self.detector_card is not None:
            if self.detection_only:
                raise ValueError(f"{self.detector} has nothing to name in a detection; give it as the method instead")
            check_pair(card, self.detector_card)
        elif self.detector_weights or self.detector_options:
            raise ValueError("weights or options of a detector were given, but no detector; name it by --detector")
        _check_fraction("threshold", self.threshold)
        _check_fraction("detection_threshold", self.detection_threshold)
        check_device_request(self.device, self.precision)

    @property
    def card(self) -> ModelCard:
        """The card of `method` with these options."""
        return configured(self.method, self.options, self.weights)

    @property
    def detector_card(self) -> ModelCard | None:
        """The card of the detector with these options, None without one."""
        return configured(self.detector, self.detector_options, self.detector_weights) if self.detector else None

    @property
    def keeps_maps(self) -> bool:
        """True if the result shall hold the soft maps."""
        return MAP in self.outputs

    def of_detector(self) -> AnalysisRequest:
        """The detector's part of a request with a detector; what it outlines would be thrown away."""
        return replace(
            self,
            method=self.detector,
            weights=self.detector_weights,
            options=self.detector_options,
            threshold=None,
            outputs=(),
            detection_only=True,
            **_NO_DETECTOR,
        )

    def of_segmenter(self) -> AnalysisRequest:
        """The outlining part of a request with a detector."""
        return replace(self, detection_threshold=None, **_NO_DETECTOR)

    def to_json(self) -> dict[str, Any]:
        """Plain data; paths become absolute, because who reads them may stand in another folder."""
        return {
            "method": self.method,
            "detector": self.detector,
            "weights": _texts(self.weights),
            "detector_weights": _texts(self.detector_weights),
            "options": dict(self.options),
            "detector_options": dict(self.detector_options),
            "threshold": self.threshold,
            "detection_threshold": self.detection_threshold,
            "device": self.device,
            "precision": self.precision,
            "outputs": list(self.outputs),
            "detection_only": self.detection_only,
            "operating_point": self.operating_point.value,
            "min_volume_ml": self.min_volume_ml,
        }

    @classmethod
    def from_json(cls, fields: Message) -> AnalysisRequest:
        """The request that `to_json` wrote; absent fields have their defaults.

        What is said of a detector that is not named is left out: a panel may keep its settings while none is chosen.

        Raises:
            ValueError: A field is unknown or of the wrong type; else as of the class.
        """
        _check_fields(cls, fields)
        detector = read_text(fields, "detector") if fields.get("detector") else ""
        detector_weights, detector_options = (
            read_texts(fields, "detector_weights"),
            read_object(fields, "detector_options"),
        )
        volume_ml = read_number(fields, "min_volume_ml")
        return cls(
            method=read_text(fields, "method"),
            detector=detector,
            weights=_paths(read_texts(fields, "weights")),
            detector_weights=_paths(detector_weights if detector else ()),
            options=read_object(fields, "options"),
            detector_options=detector_options if detector else NO_CONFIG,
            threshold=read_number(fields, "threshold"),
            detection_threshold=read_number(fields, "detection_threshold"),
            detection_only=bool(fields.get("detection_only", False)),
            operating_point=OperatingPoint.named(read_text(fields, "operating_point", OperatingPoint.SCREENING.value)),
            min_volume_ml=MIN_PIECE_VOLUME_ML if volume_ml is None else volume_ml,
            **_common(fields),
        )


@dataclass(frozen=True)
class CompareRequest:
    """Several methods for one exam.

    Attributes:
        methods: Names, each once, in the order of the answer.
        weights: Method to the files to use instead of the installed ones.
        options: Method to other values for its options.
        device, precision, outputs: As of `AnalysisRequest`.

    Raises:
        ValueError: No method, or one twice; weights or options for a method that is not compared; else as of
            `AnalysisRequest`.
    """

    methods: tuple[str, ...]
    weights: Mapping[str, tuple[Path, ...]] = field(default_factory=lambda: NO_FILES)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: NO_OPTIONS)
    device: str = "auto"
    precision: str = "auto"
    outputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _set(self, methods=_names("methods", self.methods), outputs=_names("outputs", self.outputs))
        _set(self, weights=_read_only({method: _paths(files) for method, files in self.weights.items()}))
        _set(self, options=_read_only({method: _read_only(values) for method, values in self.options.items()}))
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise ValueError(f"name each method once, got {', '.join(self.methods) or 'none'}")
        for given, what in ((self.weights, "weights"), (self.options, "options")):
            if unused := set(given) - set(self.methods):
                raise ValueError(
                    f"{what} are given for {', '.join(sorted(unused))}, which is not among the methods to run"
                )
        for method in self.methods:
            self.of_method(method)

    @property
    def keeps_maps(self) -> bool:
        """True if the results shall hold the soft maps."""
        return MAP in self.outputs

    def of_method(self, method: str) -> AnalysisRequest:
        """The part of one of the methods."""
        return AnalysisRequest(
            method,
            weights=self.weights.get(method, ()),
            options=self.options.get(method, NO_CONFIG),
            device=self.device,
            precision=self.precision,
            outputs=self.outputs,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data; paths become absolute, because who reads them may stand in another folder."""
        return {
            "methods": list(self.methods),
            "weights": {method: _texts(files) for method, files in self.weights.items()},
            "options": {method: dict(values) for method, values in self.options.items()},
            "device": self.device,
            "precision": self.precision,
            "outputs": list(self.outputs),
        }

    @classmethod
    def from_json(cls, fields: Message) -> CompareRequest:
        """The request that `to_json` wrote; absent fields have their defaults.

        Raises:
            ValueError: A field is unknown or of the wrong type; else as of the class.
        """
        _check_fields(cls, fields)
        weights, options = read_object(fields, "weights"), read_object(fields, "options")
        return cls(
            methods=tuple(read_texts(fields, "methods")),
            weights={method: _paths(read_texts(weights, method)) for method in weights},
            options={method: read_object(options, method) for method in options},
            **_common(fields),
        )


def configured(method: str, options: Mapping[str, Any] = NO_CONFIG, weights: Sequence[Path] = ()) -> ModelCard:
    """The card that runs, the method's or that beside the weights, with these options.

    Raises:
        ModelNotFoundError: No such method.
        WeightsError: A card beside the weights cannot be used.
        ValueError: It has no such option, or no use for weights.
    """
    card = with_options(store.card_of(method, weights), options)
    if weights and not card.needs_weights:
        raise ValueError(f"{card.name} has no network and takes no weights; leave --weights out")
    return card


def check_device_request(requested: str, precision: str) -> None:
    """Refuse what no computer has, also for a method that runs on the CPU alone.

    Raises:
        DeviceRequestError: There is no processor of such a name, or it does not compute in this precision.
        ValueError: Unknown precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", requested):
        raise DeviceRequestError(
            f"The device {requested!r} cannot be used: no processor is called so. "
            "Choose 'auto', 'cpu', 'cuda', 'cuda:N' "
            "(the N-th graphics card, from 0) or 'mps'.",
            Cause.NO_SUCH_DEVICE,
        )
    check_precision_on(requested, precision)


def check_precision_on(device: str, precision: str) -> None:
    """Refuse float16 on the CPU, which multiplies it through float32: slower than float32, and only up to 65504.

    Raises:
        DeviceRequestError: The processor does not compute in this precision.
    """
    if device == "cpu" and precision == "float16":
        raise DeviceRequestError(
            "The precision 'float16' is for graphics cards, and the device is the CPU, which gains nothing from it. "
            "Choose the precision 'auto', 'bfloat16' or 'float32'.",
            Cause.NO_SUCH_DEVICE,
        )


_NO_DETECTOR: dict[str, Any] = {"detector": "", "detector_weights": (), "detector_options": NO_CONFIG}


def _set(request: object, **values: object) -> None:
    """Fields in their own types, while a frozen request is made."""
    for name, value in values.items():
        object.__setattr__(request, name, value)


def _paths(files: Iterable[str | Path]) -> tuple[Path, ...]:
    if isinstance(files, str | Path):
        raise TypeError(f"weights are a sequence of files, got {files!r}")
    return tuple(Path(file) for file in files)


def _names(field_name: str, names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise TypeError(f"{field_name} are a sequence of names, got {names!r}")
    return tuple(names)


def _read_only(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(values))


def _texts(files: Sequence[Path]) -> list[str]:
    return [str(file.absolute()) for file in files]


def _check_fraction(name: str, value: float | None) -> None:
    if value is not None and not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")


def _check_fields(request: type[AnalysisRequest] | type[CompareRequest], fields: Message) -> None:
    if unknown := set(fields) - set(request.__dataclass_fields__):
        known = ", ".join(request.__dataclass_fields__)
        raise ValueError(f"a request has no field {', '.join(map(repr, sorted(unknown)))}; its fields are {known}")


def _common(fields: Message) -> dict[str, Any]:
    """The fields that both kinds of request have."""
    return {
        "device": read_text(fields, "device", "auto"),
        "precision": read_text(fields, "precision", "auto"),
        "outputs": tuple(read_texts(fields, "outputs")),
    }
