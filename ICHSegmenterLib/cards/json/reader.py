"""Reads a card from JSON: a foreign file is data to be checked, and every fault names the file and the key."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from ICHSegmenterLib.cards.calibration import Calibration
from ICHSegmenterLib.cards.card import MAX_MODELS, ModelCard
from ICHSegmenterLib.cards.json.consistency import check_consistent
from ICHSegmenterLib.cards.json.preprocessing import preprocessing_from
from ICHSegmenterLib.cards.json.trust import texts_of, trust_from
from ICHSegmenterLib.cards.json.version_1 import upgraded
from ICHSegmenterLib.cards.json.writer import FORMAT_VERSION
from ICHSegmenterLib.cards.option import Option
from ICHSegmenterLib.cards.predictors import PREDICTORS
from ICHSegmenterLib.cards.published_files import WeightsFile
from ICHSegmenterLib.cards.requirement import REQUIREMENTS, Requirement
from ICHSegmenterLib.errors import CardError
from ICHSegmenterLib.labels import SEGMENT_LABELS, SegmentLabel
from ICHSegmenterLib.notices.cause_notice import Cause

MAX_CARD_BYTES = 1_000_000
MAX_TEXT = 4000
MAX_REASON = 500
MAX_WEIGHT_BYTES = 100_000_000_000

HISTORY = ("recipe", "results", "made_with", "source", "version", "created", "sha256", "size")
"""Keys of a card that say how its file came about; they change nothing of what runs."""
_FIELDS = {one.name: one for one in fields(ModelCard)}
_REQUIRED = (
    *(one.name for one in _FIELDS.values() if one.default is MISSING and one.default_factory is MISSING),
    "preprocessing",
    "requirements",
)
_TYPES: Mapping[str, type] = MappingProxyType(
    {
        **dict.fromkeys(("name", "title", "summary", "predictor", "license", "paper", "limits", "network", "doi"), str),
        **dict.fromkeys(("labelmap_rule", "value_name", "release"), str),
        **dict.fromkeys(("network_config", "wiring", "options", "preprocessing", "calibration", "trust"), dict),
        **dict.fromkeys(("labels", "requirements"), list),
        **dict.fromkeys(("positive_slices_only", "knows_subtypes", "harmonize", "align_slices", "refine_edges"), bool),
        "default_models": int,
    }
)
_TYPE_NAMES = {str: "a text", dict: "an object", list: "a list", bool: "true or false", int: "a whole number"}
_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f<>\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FILE_NAME = re.compile(r"[^/\\:\x00-\x1f]{1,200}\.(safetensors|pth|pt|ckpt|npz|pdparams)", re.IGNORECASE)


def read_json(path: Path) -> dict[str, Any] | None:
    """The content of a card file; None if it is JSON of another kind.

    Raises:
        CardError: It cannot be read, is too large, or is no JSON.
    """
    try:
        size = path.stat().st_size
        if size > MAX_CARD_BYTES:
            raise CardError(f"{path.name} has {size} bytes, too many for a model card; is it another file?", Cause.CARD)
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise CardError(
            f"{path.name} cannot be read ({error.strerror or error}). Check the file.", Cause.CARD
        ) from error
    except (ValueError, RecursionError) as error:
        raise CardError(
            f"{path.name} is no valid JSON ({str(error)[:100]}). Copy the card again.", Cause.CARD
        ) from error
    is_card = isinstance(content, dict) and ("format_version" in content or {"name", "sha256"} <= set(content))
    return content if is_card else None


def card_from(content: Mapping[str, Any], file: str, known: Mapping[str, ModelCard]) -> ModelCard:
    """The card that JSON describes.

    Args:
        content: From `read_json`.
        file: Its name, for errors.
        known: The program's own cards; version 1 named one of them.

    Raises:
        CardError: A key is missing, unknown, of the wrong kind or impossible; names file and key.
    """
    version = content.get("format_version", 1)
    if version == 1:
        name = content.get("name")
        if not isinstance(name, str) or name not in known:
            raise CardError(
                f"{file}: its card names the method {str(name)[:60]!r}, which this version does not have; available: "
                f'{", ".join(known)}. Cards of other methods need "format_version": {FORMAT_VERSION}.',
                Cause.CARD,
            )
        content = upgraded(content, known[name])
    elif type(version) is not int or version != FORMAT_VERSION:
        raise CardError(
            f"{file}: format_version is {str(version)[:20]}, this version reads 1 and {FORMAT_VERSION}. "
            "Update ICHSegmenter, or export the card again.",
            Cause.CARD,
        )
    try:
        card = _card(content)
        check_consistent(card)
        _check_is_method(card, known.get(card.name))
    except (ValueError, TypeError, OverflowError) as error:
        raise CardError(f"{file}: {str(error)[:MAX_REASON]}. Correct the card.", Cause.CARD) from error
    return card


def _check_is_method(card: ModelCard, own: ModelCard | None) -> None:
    """A card under the name of a method of the program must be of that method."""
    if own is not None and (card.predictor, dict(card.wiring)) != (own.predictor, dict(own.wiring)):
        wiring = "".join(f", {key} {value}" for key, value in own.wiring.items())
        raise ValueError(
            f"name {card.name!r} is a method of the program (predictor {own.predictor}{wiring}); give the card another"
        )


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _card(content: Mapping[str, Any]) -> ModelCard:
    for key in content:
        if key not in (*_FIELDS, *HISTORY, "format_version"):
            close = difflib.get_close_matches(str(key), _FIELDS, n=1)
            raise ValueError(f"unknown key {str(key)[:60]!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
    if absent := [key for key in _REQUIRED if key not in content]:
        raise ValueError(f"{', '.join(absent)} must be given")
    for key, kind in _TYPES.items():
        if key in content and type(content[key]) is not kind:
            raise ValueError(f"{key} must be {_TYPE_NAMES[kind]}, got {str(content[key])[:60]!r}")
        if kind is str and key in content:
            _check_text(key, content[key])
    values = {key: content[key] for key in _TYPES if key in content}
    values |= {key: _number(key, content[key]) for key in ("threshold", "detection_threshold") if key in content}
    values["network_config"] = {key: _frozen(value) for key, value in values.get("network_config", {}).items()}
    values["labels"] = _labels(content["labels"])
    values["requirements"] = _requirements(content["requirements"])
    values["preprocessing"] = preprocessing_from(content["preprocessing"])
    values["options"] = _options(content["predictor"], content.get("options", {}))
    values["weights"] = _weights(content)
    if "calibration" in content:
        values["calibration"] = _calibration(content["calibration"])
    values["trust"] = trust_from(content.get("trust", {}))
    for key, text in texts_of(values["trust"]).items():
        _check_text(key, text)
    values["network_config"], values["wiring"] = (
        MappingProxyType(dict(values.get(key, {}))) for key in ("network_config", "wiring")
    )
    return ModelCard(**values)


def _check_text(key: str, text: str) -> None:
    if len(text) > MAX_TEXT or _NOT_IN_TEXT.search(text):
        raise ValueError(f"{key} must be plain text of at most {MAX_TEXT} characters, without < and >")


def _number(key: str, value: Any) -> float | None:
    if value is None and key == "threshold":
        return None
    if type(value) not in (int, float):
        raise ValueError(f"{key} must be a number from 0 to 1, got {str(value)[:60]!r}")
    return float(value)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _calibration(content: dict[str, Any]) -> Calibration:
    calibration = Calibration.from_json(content)
    _check_text("calibration.population", calibration.population)
    return calibration


def _labels(keys: list[Any]) -> tuple[SegmentLabel, ...]:
    for key in keys:
        if not isinstance(key, str) or key not in SEGMENT_LABELS or keys.count(key) > 1:
            raise ValueError(f"labels must be some of {', '.join(SEGMENT_LABELS)}, each once, got {str(key)[:60]!r}")
    return tuple(SEGMENT_LABELS[key] for key in keys)


def _requirements(modules: list[Any]) -> tuple[Requirement, ...]:
    for module in modules:
        if not isinstance(module, str) or module not in REQUIREMENTS:
            raise ValueError(f"requirements must be some of {', '.join(REQUIREMENTS)}, got {str(module)[:60]!r}")
    return tuple(REQUIREMENTS[module] for module in dict.fromkeys(modules))


def _options(predictor: str, defaults: Mapping[str, Any]) -> tuple[Option, ...]:
    """The options of a predictor that a card offers, with its defaults."""
    known = {one.name: one for one in PREDICTORS[predictor].options} if predictor in PREDICTORS else {}
    for name in defaults:
        if predictor in PREDICTORS and name not in known:
            raise ValueError(f"options.{str(name)[:60]}: {predictor} knows {', '.join(known) or 'no options'}")
    return tuple(known[name].with_default(value, "the card") for name, value in defaults.items() if name in known)


def _weights(content: Mapping[str, Any]) -> tuple[WeightsFile, ...]:
    """The files that a card names: one text with `sha256` and `size` beside it, or a list of objects."""
    named = content.get("weights", [])
    if isinstance(named, str):
        named = [{"name": named, **{key: content[key] for key in ("sha256", "size") if key in content}}]
    if not isinstance(named, list) or len(named) > MAX_MODELS:
        raise ValueError(f"weights must be a file name, or a list of at most {MAX_MODELS} files")
    return tuple(_file(one, f"weights.{n}", content["license"]) for n, one in enumerate(named))


def _file(content: Any, key: str, card_license: str) -> WeightsFile:
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise ValueError(f"{key} must be an object with name, sha256 and size")
    name, digest, size = (content.get(part) for part in ("name", "sha256", "size"))
    if not _FILE_NAME.fullmatch(str(name)) or str(name).startswith("."):
        raise ValueError(f"{key}.name must be the name of a weight file in the card's folder, got {str(name)[:60]!r}")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError(f"{key}.sha256 must be 64 hexadecimal digits, got {str(digest)[:80]!r}")
    if type(size) is not int or not 0 < size <= MAX_WEIGHT_BYTES:
        raise ValueError(f"{key}.size must be bytes, got {str(size)[:60]!r}")
    text = content.get("license", card_license)
    if not isinstance(text, str):
        raise ValueError(f"{key}.license must be a text")
    _check_text(f"{key}.license", text)
    return WeightsFile(str(name), (), digest, size, text, _NOT_FETCHED if content.get("urls") else "")


_NOT_FETCHED = "The addresses in a foreign card are not fetched; download the file yourself, then import it."
