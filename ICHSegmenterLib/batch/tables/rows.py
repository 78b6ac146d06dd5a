"""Rows of the tables of a batch, from the content of a `result.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import dist
from typing import Any

from ICHSegmenterLib.batch.tables.columns import CENTER, FINDING_COLUMNS, SLICE_FIELDS, Kind
from ICHSegmenterLib.verdict import VerdictCode

Row = Mapping[str, object]

_MEASURED = tuple(column.name for column in FINDING_COLUMNS if column.kind is Kind.NUMBER)


def numbers_of(result: Mapping[str, object]) -> dict[str, object]:
    """The columns of an exam that come from its result.

    Raises:
        KeyError, TypeError, StopIteration: It is incomplete, or of another version.
    """
    slices, provenance, probabilities = result["slices"], result["provenance"], result["probabilities"]
    key = result["key_slice"]
    if not (isinstance(slices, list) and isinstance(provenance, dict) and isinstance(probabilities, dict)):
        raise TypeError("slices, provenance and probabilities are a list and two objects")
    positive, assessment = bool(result["positive"]), result.get("assessment")
    judged: dict[str, object] = {"verdict": (VerdictCode.SUSPECTED if positive else VerdictCode.NONE_FOUND).value}
    if isinstance(assessment, dict):  # absent of results of before there was one
        pieces, below = len(assessment["pieces"]), len(assessment["below_threshold"])
        judged = {"verdict": assessment["code"], "pieces": pieces, "below_threshold": below}
    measures = result.get("measures")
    if isinstance(measures, dict):  # of an exam with drawn blood, and not of before there were any
        midline, flags = measures["midline"], [flag["code"] for flag in measures["flags"]]
        judged.update(midline_shift_mm=midline and midline["shift_mm"], flags="; ".join(flags))
    return {
        "positive": int(positive),
        **judged,
        "statement": result["verdict"],
        "any": probabilities["any"],
        "blood_ml": result["blood_ml"],
        "segments": _segments(result.get("measurements")),
        "positive_slices": sum(bool(item["positive"]) for item in slices),
        "slices": len(slices),
        "key_slice": next(item["number"] for item in slices if item["index"] == key),
        "seconds": round(sum(provenance["seconds"].values()), 2),
        "created": provenance.get("created", ""),
    }


def slice_rows(exam: str, result: Mapping[str, Any]) -> Iterator[Row]:
    """A row for each slice, from the lowest.

    Raises:
        KeyError, TypeError, AttributeError: The result is incomplete.
    """
    for item in sorted(result["slices"], key=lambda each: each["number"]):
        yield {
            "exam": exam,
            "slice": item["number"],
            "index": item["index"],
            "position_mm": item["position_mm"],
            "extent_mm": item.get("extent_mm"),
            "positive": int(item["positive"]),
            "blood_ml": item["blood_ml"],
            **{key.lower(): value for key, value in item["probabilities"].items()},
        }


def finding_rows(exam: str, result: Mapping[str, Any]) -> Iterator[Row]:
    """A row for each piece of blood; none of a result of before there were any.

    Raises:
        KeyError, TypeError, AttributeError: The result is incomplete.
    """
    assessment = result.get("assessment") or {"pieces": (), "below_threshold": ()}
    numbers = {item["index"]: item["number"] for item in result["slices"]}
    pieces = [(1, piece) for piece in assessment["pieces"]] + [(0, piece) for piece in assessment["below_threshold"]]
    measured = _measured_of(assessment["pieces"], (result.get("measures") or {"pieces": ()})["pieces"])
    for count, (drawn, piece) in enumerate(pieces, start=1):
        first, last = sorted((numbers[piece["first_slice"]], numbers[piece["last_slice"]]))
        yield {
            "exam": exam,
            "finding": count,
            "drawn": drawn,
            "subtype": piece["subtype"],
            **{name: piece[name] for name in _MEASURED if name in piece},
            **dict(zip(SLICE_FIELDS, (first, last, numbers[piece["key_slice"]]), strict=True)),
            **{f"center_{axis}_lps_mm": value for axis, value in zip("xyz", piece[CENTER], strict=True)},
            **(_report_numbers(measured[count - 1]) if count - 1 in measured else {}),
        }


def _measured_of(
    pieces: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]]
) -> dict[int, Mapping[str, Any]]:
    """The measures of each drawn piece: those of the same label that are nearest, each given once."""
    pairs = sorted(
        (dist(piece[CENTER], one[CENTER]), n, m)
        for n, piece in enumerate(pieces)
        for m, one in enumerate(measured)
        if one["label"] == piece["subtype"]
    )
    matched: dict[int, int] = {}
    for _, n, m in pairs:
        if n not in matched and m not in matched.values():
            matched[n] = m
    return {n: measured[m] for n, m in matched.items()}


def _report_numbers(measured: Mapping[str, Any]) -> Row:
    touches = measured["touches_ventricle"]
    numbers = {name: measured[name] for name in ("max_hu", "diameter_mm", "thickness_mm", "side", "region")}
    return {
        **numbers,
        "abc2_ml": measured["abc2"]["volume_ml"],
        "touches_ventricle": None if touches is None else int(touches),
    }


def _segments(measurements: object) -> str:
    """Names and volumes of the segments, the largest first."""
    rows = measurements if isinstance(measurements, list) else []
    largest_first = sorted(rows, key=lambda row: -row["volume_ml"])
    return "; ".join(f"{row['name']} {row['volume_ml']:.1f} mL" for row in largest_first)
