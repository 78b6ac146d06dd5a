"""What all our DICOM objects share: highdicom, coded concepts, and who made them."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ICHSegmenterLib.cards.predictors import ARTIFICIAL_INTELLIGENCE
from ICHSegmenterLib.cards.table import method_cards
from ICHSegmenterLib.errors import DependencyError
from ICHSegmenterLib.labels import Code
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.results import AnalysisResult, Provenance

MANUFACTURER = "ICHSegmenter"
MAX_TEXT = 64
"""Characters of a DICOM "long string"."""


def check_highdicom() -> None:
    """Return if highdicom is installed; nothing is imported.

    Raises:
        DependencyError: It is not.
    """
    if importlib.util.find_spec("highdicom") is None:
        raise DependencyError(ErrorNotice(ErrorCode.NO_HIGHDICOM))


def import_highdicom() -> Any:
    """The package, which is optional and slow to load.

    Raises:
        DependencyError: It is not installed.
    """
    try:
        import highdicom
    except ImportError as error:
        raise DependencyError(ErrorNotice(ErrorCode.NO_HIGHDICOM)) from error
    return highdicom


@contextmanager
def as_the_study_says() -> Iterator[None]:
    """Names of patients are copied as the study has them; highdicom warns of those that it would write otherwise."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The string .* person name")
        yield


def coded(code: Code) -> Any:
    """The code as pydicom writes it."""
    from pydicom.sr.coding import Code as DicomCode  # 40 ms, for those who write DICOM objects

    return DicomCode(code.value, code.scheme, code.meaning)


def algorithm_name(made_by: Provenance) -> str:
    """Program and method."""
    return f"{MANUFACTURER} {made_by.method}"[:MAX_TEXT]


def algorithm_family(made_by: Provenance) -> Code:
    """Of the method's card; of a vote, and of a method that is not known here, artificial intelligence."""
    card = method_cards().get(made_by.method)
    return ARTIFICIAL_INTELLIGENCE if card is None else card.algorithm_family


def edited_keys(result: AnalysisResult) -> Sequence[str]:
    """Keys of the segments that a person changed."""
    return () if result.edits is None else result.edits.segments
