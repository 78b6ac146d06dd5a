"""The tables of a batch as Parquet, by pyarrow, which is optional: pip install 'ichsegmenter[parquet]'.

A Parquet file can be read only once it is complete, so they are made of the CSV files when a batch ends, in blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ICHSegmenterLib.batch.tables.columns import (
    EXAM_COLUMNS,
    FINDING_COLUMNS,
    FINDINGS_FILE,
    SLICE_COLUMNS,
    SLICES_FILE,
    SUMMARY_FILE,
    Column,
    Kind,
)
from ICHSegmenterLib.batch.tables.csv_table import FORMULA_STARTS
from ICHSegmenterLib.errors import DependencyError, OutputError
from ICHSegmenterLib.files import replacing

TABLES = {SUMMARY_FILE: EXAM_COLUMNS, SLICES_FILE: SLICE_COLUMNS, FINDINGS_FILE: FINDING_COLUMNS}
BLOCK_BYTES = 8_000_000
"""Of a CSV file that are in memory at a time."""
PROTECTED = f"^'([{''.join(FORMULA_STARTS)}])".replace("-", "\\-")


def check_parquet() -> None:
    """Refuse before a batch what could not be written after it.

    Raises:
        DependencyError: pyarrow is not installed.
    """
    _pyarrow()


def write_parquet(output: Path) -> list[Path]:
    """Write a Parquet file beside each table of a batch; numbers are numbers, and texts lose their apostrophe.

    Args:
        output: The folder of the batch.

    Returns:
        The files.

    Raises:
        DependencyError: pyarrow is not installed.
        OutputError: A table is damaged, or a file cannot be written.
    """
    _pyarrow()
    return [_convert(output / name, columns) for name, columns in TABLES.items() if (output / name).is_file()]


def _convert(table: Path, columns: Sequence[Column]) -> Path:
    arrow = _pyarrow()
    schema = arrow.schema([(column.name, _type(arrow, column.kind)) for column in columns])
    path = table.with_suffix(".parquet")
    try:
        with (
            arrow.csv.open_csv(
                table,
                read_options=arrow.csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
                parse_options=arrow.csv.ParseOptions(newlines_in_values=True),
                convert_options=arrow.csv.ConvertOptions(
                    column_types=schema, include_columns=schema.names, quoted_strings_can_be_null=False
                ),
            ) as blocks,
            replacing(path) as draft,
            arrow.parquet.ParquetWriter(draft, schema, compression="zstd") as writer,
        ):
            for block in blocks:
                writer.write_batch(_plain(arrow, block))
    except (arrow.ArrowInvalid, arrow.ArrowKeyError) as error:
        raise OutputError(
            f"{table.name} is damaged ({str(error).splitlines()[0]}). Run the batch again: it writes the table anew."
        ) from error
    return path


def _plain(arrow: Any, block: Any) -> Any:
    """A block whose texts are as they were before they were protected for spreadsheets."""
    compute = arrow.compute
    return arrow.record_batch(
        [
            compute.replace_substring_regex(values, PROTECTED, r"\1") if arrow.types.is_string(values.type) else values
            for values in block.columns
        ],
        schema=block.schema,
    )


def _type(arrow: Any, kind: Kind) -> Any:
    types = {
        Kind.TEXT: arrow.string(),
        Kind.FLAG: arrow.bool_(),
        Kind.COUNT: arrow.int64(),
        Kind.NUMBER: arrow.float64(),
    }
    return types[kind]


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError as error:
        raise DependencyError(
            "Writing Parquet needs the Python package pyarrow, which is not installed: "
            "pip install 'ichsegmenter[parquet]'. Without it leave --parquet out; the CSV files hold the same."
        ) from error
    return pyarrow
