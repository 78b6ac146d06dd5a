"""The origin of a result: the record of one method, of two that work together, and of the vote of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone

from ICHSegmenterLib import __version__
from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.notices.run_notice import RunNotice
from ICHSegmenterLib.preprocessing.checks.findings import InputFinding
from ICHSegmenterLib.results import Provenance
from ICHSegmenterLib.runtime.context import Predictor
from ICHSegmenterLib.weights.digests import free_name

VOTE = "vote"
"""The name that stands for a method in the result of a vote."""


def of_method(
    card: ModelCard,
    predictor: Predictor,
    weights: Mapping[str, str],
    threshold: float | None,
    seconds: Mapping[str, float],
) -> Provenance:
    """The record of one method.

    Args:
        card: With the options that were used.
        predictor: As it ran at last, perhaps on another device than asked for.
        weights: File name to SHA-256.
        threshold: Of the maps.
        seconds: Phase to wall time.
    """
    return Provenance(
        method=card.name,
        title=card.title,
        version=__version__,
        release=card.release,
        device=predictor.device,
        precision=predictor.precision,
        value_name="score" if card.calibration is None else "probability",
        weights=weights,
        options=card.option_values,
        threshold=threshold if card.labelmap_rule != "argmax" else None,
        seconds={phase: round(value, 3) for phase, value in seconds.items()},
        created=_now(),
    )


def of_pair(outlined: Provenance, detected: Provenance) -> Provenance:
    """Both methods in one record; times of the same phase are added."""
    phases = dict.fromkeys((*detected.seconds, *outlined.seconds))
    weights = dict(outlined.weights)
    for name, digest in detected.weights.items():
        weights[free_name(name, weights)] = digest
    return replace(
        outlined,
        title=f"{outlined.title}, named by {detected.title}",
        release="; ".join(filter(None, (outlined.release, detected.release))),
        detector=detected.method,
        value_name=detected.value_name,
        weights=weights,
        detector_options=detected.options,
        device=_each_once((detected.device, outlined.device)),
        precision=_each_once((detected.precision, outlined.precision)),
        seconds={phase: round(detected.seconds.get(phase, 0) + outlined.seconds.get(phase, 0), 3) for phase in phases},
        warnings=_warnings((detected, outlined)),
        notices=_notices((detected, outlined)),
        input_findings=_findings((detected, outlined)),
    )


def of_vote(methods: Sequence[Provenance]) -> Provenance:
    """The record of a vote; its phases are the methods."""
    return Provenance(
        method=VOTE,
        title=f"Majority vote of {len(methods)}",
        version=__version__,
        device=_each_once(method.device for method in methods),
        precision=_each_once(method.precision for method in methods),
        value_name="score",
        seconds={method.method: round(sum(method.seconds.values()), 3) for method in methods},
        warnings=_warnings(methods),
        notices=_notices(methods),
        input_findings=_findings(methods),
        series_uid=methods[0].series_uid,
        created=_now(),
    )


def _each_once(names: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(names))


def _warnings(records: Iterable[Provenance]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(warning for record in records for warning in record.warnings))


def _notices(records: Iterable[Provenance]) -> tuple[RunNotice, ...]:
    """Each sentence once."""
    return tuple({notice.text: notice for record in records for notice in record.notices}.values())


def _findings(records: Iterable[Provenance]) -> tuple[InputFinding, ...]:
    """Each code once."""
    return tuple({finding.code: finding for record in records for finding in record.input_findings}.values())


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
