"""Columns of the tables of a batch, each with its type, by which Parquet keeps numbers as numbers."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from typing import NamedTuple

from ICHSegmenterLib.labels import ANY, SUBTYPE_LABELS
from ICHSegmenterLib.verdict import Piece

SUMMARY_FILE, SLICES_FILE, FINDINGS_FILE = "results.csv", "slices.csv", "findings.csv"


class Kind(Enum):
    """Type of a column; cells of all may be empty."""

    TEXT = "text"
    FLAG = "0 or 1"
    COUNT = "whole number"
    NUMBER = "number"


class Column(NamedTuple):
    """A column of a table."""

    name: str
    kind: Kind


EXAM_COLUMNS = (
    Column("exam", Kind.TEXT),
    Column("status", Kind.TEXT),
    Column("positive", Kind.FLAG),
    Column("verdict", Kind.TEXT),
    Column("any", Kind.NUMBER),
    Column("blood_ml", Kind.NUMBER),
    Column("segments", Kind.TEXT),
    Column("pieces", Kind.COUNT),
    Column("below_threshold", Kind.COUNT),
    Column("positive_slices", Kind.COUNT),
    Column("slices", Kind.COUNT),
    Column("key_slice", Kind.COUNT),
    Column("midline_shift_mm", Kind.NUMBER),
    Column("flags", Kind.TEXT),
    Column("seconds", Kind.NUMBER),
    Column("created", Kind.TEXT),
    Column("method", Kind.TEXT),
    Column("detector", Kind.TEXT),
    Column("error", Kind.TEXT),
    Column("message", Kind.TEXT),
    Column("statement", Kind.TEXT),
)
"""`results.csv`. `any` is the exam's probability or score; `segments` says how much blood each segment holds, `flags`
which criteria of the literature are met."""

SLICE_COLUMNS = (
    Column("exam", Kind.TEXT),
    Column("slice", Kind.COUNT),
    Column("index", Kind.COUNT),
    Column("position_mm", Kind.NUMBER),
    Column("extent_mm", Kind.NUMBER),
    Column("positive", Kind.FLAG),
    Column("blood_ml", Kind.NUMBER),
    *(Column(key.lower(), Kind.NUMBER) for key in (ANY, *(key for key in SUBTYPE_LABELS if key != ANY))),
)
"""`slices.csv`: slices are counted from 1, from the lowest; labels that the method does not name stay empty."""

CENTER = "center_lps_mm"
SLICE_FIELDS = ("first_slice", "last_slice", "key_slice")
"""Fields of a piece that are indices in `result.json`, and numbers counted from 1 in tables."""

REPORT_COLUMNS = (
    Column("max_hu", Kind.NUMBER),
    Column("diameter_mm", Kind.NUMBER),
    Column("thickness_mm", Kind.NUMBER),
    Column("abc2_ml", Kind.NUMBER),
    Column("side", Kind.TEXT),
    Column("region", Kind.TEXT),
    Column("touches_ventricle", Kind.FLAG),
)
"""The measures of a report, of pieces that are drawn; of two parts that a piece has on the slices, the larger one's."""

FINDING_COLUMNS = (
    Column("exam", Kind.TEXT),
    Column("finding", Kind.COUNT),
    Column("drawn", Kind.FLAG),
    Column("subtype", Kind.TEXT),
    *(
        Column(field.name, Kind.COUNT if field.name in SLICE_FIELDS else Kind.NUMBER)
        for field in fields(Piece)
        if str(field.type).startswith(("int", "float"))
    ),
    *(Column(f"center_{axis}_lps_mm", Kind.NUMBER) for axis in "xyz"),
    *REPORT_COLUMNS,
)
"""`findings.csv`: pieces of blood that are drawn, the most probable first, then those below the threshold."""
