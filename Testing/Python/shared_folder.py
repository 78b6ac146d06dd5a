"""The folder of test data too large for the repository, and what is said when it is absent."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
VARIABLE = "ICHSEGMENTER_SHARED"
SOURCES = {
    "data/ge_head_ct": ("the real head CT", "github.com/neurolabusc/dcm_qa_ct"),
    "data/blast_ct_v1": ("the trained weights of BLAST-CT", "github.com/biomedia-mira/blast-ct, saved_models"),
    "golden": ("the whole golden arrays", "made with the authors' code"),
}
"""Folder: what it holds and where that comes from. Testing/Data/README.md says more."""


def shared_folder() -> Path:
    """The environment's ICHSEGMENTER_SHARED, else `shared` beside the repository; need not exist."""
    return Path(os.environ.get(VARIABLE) or REPOSITORY.parent / "shared")


def missing_reason(name: str) -> str:
    """Why a test is skipped that needs a file or folder of the shared one."""
    return f"needs {name or 'the shared folder'}, not found in {shared_folder()}"


def not_tested(reasons: Iterable[str]) -> str:
    """One line for the end of a run: how many tests were skipped, for lack of what, and where to get that.

    Args:
        reasons: One of each skipped test.

    Returns:
        Empty if nothing was skipped.
    """
    counts = Counter(_subject(reason) for reason in reasons)
    if not counts:
        return ""
    parts = [f"{count} x {subject}" for subject, count in sorted(counts.items())]
    line = f"Not tested ({counts.total()}): {'; '.join(parts)}."
    if any(subject.startswith(tuple(f"needs {folder}" for folder in SOURCES)) for subject in counts):
        line += f" Put them below {shared_folder()} or set {VARIABLE}: Testing/Data/README.md."
    return line


def _subject(reason: str) -> str:
    for folder, (content, source) in SOURCES.items():
        if reason.startswith(f"needs {folder}"):
            return f"needs {folder}, {content} ({source})"
    return reason
