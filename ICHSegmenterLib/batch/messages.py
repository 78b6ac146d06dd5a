"""Messages about an exam without the names of its files, which often are those of patients."""

from __future__ import annotations

import re

from ICHSegmenterLib.batch.exam import Exam

_TECHNICAL = re.compile(r"(?:im|img|image|i|ct|slice|file|case)?[-_. ]?\d[\d._-]*(?:\.(?:dcm|ima))?", re.IGNORECASE)
"""Names that devices and programs give to slices."""


def without_file_names(text: str, exam: Exam) -> str:
    """A message in which files are called by the exam's name, or by their place in the order of the series' names."""
    text = text.replace(str(exam.path), exam.name)
    if exam.path.name and text.startswith(f"{exam.path.name}:"):
        text = exam.name + text[len(exam.path.name) :]
    called = {name: f"file {number}" for number, name in enumerate(_names(exam), start=1)}
    if not exam.series_uid:
        called[exam.path.name] = exam.name
    for name in sorted(called, key=len, reverse=True):
        if name and not _TECHNICAL.fullmatch(name):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", called[name], text)
    return text


def _names(exam: Exam) -> list[str]:
    try:
        return [path.name for path in exam.input_files()]
    except OSError:  # the folder has gone
        return list(exam.files)
