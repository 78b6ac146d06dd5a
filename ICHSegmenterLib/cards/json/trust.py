"""How far to trust a method as JSON, read back with every figure checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any, TypeVar

from ICHSegmenterLib.cards.trust import FalseAlarms, Rate, Sensitivity, TrainingData, Trust

MAX_RATES = 20
MAX_NOT_SEEN = 40
MAX_EXAMS = 10_000_000
Part = TypeVar("Part", TrainingData, FalseAlarms, Sensitivity)
_RATES: Mapping[str, type[Rate]] = {"false_alarms": FalseAlarms, "sensitivity": Sensitivity}


def trust_facts(trust: Trust) -> dict[str, Any]:
    """The trust as plain data."""
    return {
        "trained_on": asdict(trust.trained_on),
        "false_alarms": [asdict(rate) for rate in trust.false_alarms],
        "sensitivity": [asdict(rate) for rate in trust.sensitivity],
        "not_seen": list(trust.not_seen),
    }


def trust_from(content: Mapping[str, Any]) -> Trust:
    """The trust that plain data describes; what is absent is not stated.

    Raises:
        ValueError: An unknown key, or a value that no figure can have; names the key.
    """
    known = [one.name for one in fields(Trust)]
    if unknown := [key for key in content if key not in known]:
        raise ValueError(f"trust.{str(unknown[0])[:60]}: trust has only {', '.join(known)}")
    not_seen = _list("trust.not_seen", content.get("not_seen", []), MAX_NOT_SEEN)
    for number, text in enumerate(not_seen):
        if not isinstance(text, str) or not text:
            raise ValueError(f"trust.not_seen.{number} must be a text, got {str(text)[:60]!r}")
    return Trust(
        trained_on=_part("trust.trained_on", content.get("trained_on", {}), TrainingData),
        false_alarms=_parts("trust.false_alarms", content.get("false_alarms", []), FalseAlarms),
        sensitivity=_parts("trust.sensitivity", content.get("sensitivity", []), Sensitivity),
        not_seen=tuple(not_seen),
    )


def texts_of(trust: Trust) -> dict[str, str]:
    """Every text of it by its key, for a check of the letters."""
    texts = {f"trust.not_seen.{number}": text for number, text in enumerate(trust.not_seen)}
    texts |= {f"trust.trained_on.{key}": getattr(trust.trained_on, key) for key in ("population", "source", "terms")}
    for key in _RATES:
        for number, rate in enumerate(getattr(trust, key)):
            texts |= {f"trust.{key}.{number}.{part}": getattr(rate, part) for part in ("population", "source")}
    return texts


def _parts(key: str, content: Any, kind: type[Part]) -> tuple[Part, ...]:
    return tuple(_part(f"{key}.{number}", one, kind) for number, one in enumerate(_list(key, content, MAX_RATES)))


def _list(key: str, content: Any, most: int) -> list[Any]:
    if not isinstance(content, list) or len(content) > most:
        raise ValueError(f"{key} must be a list of at most {most}, got {str(content)[:60]!r}")
    return content


def _part(key: str, content: Any, kind: type[Part]) -> Part:
    known = fields(kind)
    if not isinstance(content, Mapping):
        raise ValueError(f"{key} must be an object, got {str(content)[:60]!r}")
    if unknown := [name for name in content if name not in [one.name for one in known]]:
        raise ValueError(f"{key}.{str(unknown[0])[:60]}: it has only {', '.join(one.name for one in known)}")
    if absent := [one.name for one in known if one.default is MISSING and one.name not in content]:
        raise ValueError(f"{key} must have {', '.join(absent)}")
    values = {name: _value(f"{key}.{name}", name, value) for name, value in content.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{key}.{error}") from error


def _value(key: str, name: str, value: Any) -> Any:
    if name == "exams":
        if value is not None and (type(value) is not int or value > MAX_EXAMS):
            raise ValueError(f"{key} must be a whole number or null, got {str(value)[:60]!r}")
    elif name in ("value", "from_ml"):
        if not (value is None and name == "from_ml") and type(value) not in (int, float):
            raise ValueError(f"{key} must be a number, got {str(value)[:60]!r}")
        return None if value is None else float(value)
    elif not isinstance(value, str):
        raise ValueError(f"{key} must be a text, got {str(value)[:60]!r}")
    return value
