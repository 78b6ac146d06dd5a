"""What can be wrong with an evaluation; each message says what was found and what to do."""

from __future__ import annotations

from typing import ClassVar

from ICHSegmenterLib.errors import ICHSegmenterError


class EvaluationError(ICHSegmenterError):
    """Truth, folds and results do not fit each other."""

    kind: ClassVar[str] = "bad_input"
