"""Rows of the tables of a batch, from the content of a `result.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
        }


def _segments(measurements: object) -> str:
    """Names and volumes of the segments, the largest first."""
    rows = measurements if isinstance(measurements, list) else []
    largest_first = sorted(rows, key=lambda row: -row["volume_ml"])
    return "; ".join(f"{row['name']} {row['volume_ml']:.1f} mL" for row in largest_first)
