"""A case under a method, or why it could not be scored: one broken exam must not stop a night's evaluation."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from ICHSegmenterLib.errors import CancelledError, DependencyError, Failure, ICHSegmenterError

Scored = TypeVar("Scored")

_log = logging.getLogger(__name__)


def attempt(score: Callable[[], Scored], method: str, case: str) -> Scored | Failure:
    """The result of `score`, or its failure.

    Raises:
        CancelledError: Stopped.
        DependencyError: A package is missing, for this case as for all others.
    """
    try:
        return score()
    except (CancelledError, DependencyError):
        raise
    except ICHSegmenterError as error:
        _log.info("%s, %s: %s", method, case, error)
        return Failure(error.kind, str(error), method=method, case=case)
    except Exception as error:
        _log.exception("%s, %s: unexpected failure", method, case)
        return Failure("failed", f"Unexpected {type(error).__name__}: {error}", method=method, case=case)
