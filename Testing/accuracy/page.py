"""The page: tables and pictures from rows, put between two marks, so that the words around them stay."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ICHSegmenterLib.files import replacing
from Testing.accuracy.known_exam import KnownExam
from Testing.accuracy.pictures import draw_all
from Testing.accuracy.recipe import ExamPlan, Recipe
from Testing.accuracy.rows import Row, RowFolder
from Testing.accuracy.tables import all_tables

MARKS = ("<!-- tables: made by Testing/accuracy/measure.py -->", "<!-- end of tables -->")
TABLES_FILE, PICTURES = "tables.md", "pictures"


def write_page(
    recipe: Recipe,
    methods: Mapping[str, Sequence[Row]],
    rows: RowFolder,
    obtain: Callable[[ExamPlan], KnownExam],
    output: Path,
    *,
    page: Path | None,
    absent: Sequence[str] = (),
) -> None:
    """Write tables and pictures into a folder, and into a page if there is one.

    Args:
        recipe: The exams.
        methods: Method to its rows.
        rows: With the outlines.
        obtain: A plan to its exam.
        output: Of `tables.md` and the pictures.
        page: With `MARKS`; its pictures are put into `images` beside it.
        absent: What was left out, and why.
    """
    pictures = draw_all(methods, recipe, rows, obtain, output / PICTURES)
    tables = all_tables(methods, recipe, absent)
    (output / TABLES_FILE).write_text(_block(tables, pictures, PICTURES), encoding="utf-8")
    if page is None:
        return
    text = page.read_text(encoding="utf-8")
    if any(mark not in text for mark in MARKS):
        raise ValueError(f"{page} has no place for tables: it needs the lines {' and '.join(MARKS)}")
    start, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
    images = page.parent / "images"
    images.mkdir(exist_ok=True)
    for old in images.glob("accuracy-*.png"):
        old.unlink()
    for path in pictures.values():
        shutil.copyfile(path, images / path.name)
    with replacing(page) as draft:
        block = _block(tables, pictures, images.name)
        draft.write_text(f"{text[:start]}\n\n{block}\n{text[end:]}", encoding="utf-8")


def _block(tables: Mapping[str, str], pictures: Mapping[str, Path], folder: str) -> str:
    sections = [f"### {heading}\n\n{table}\n" for heading, table in tables.items()]
    sections += [f"![{caption}]({folder}/{path.name})\n\n{caption}.\n" for caption, path in pictures.items()]
    return "\n".join(sections)
