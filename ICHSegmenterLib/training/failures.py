"""What can be wrong with a recipe or with training data; each message says what was found and what to do."""

from __future__ import annotations

from typing import ClassVar

from ICHSegmenterLib.errors import ICHSegmenterError


class RecipeError(ICHSegmenterError):
    """A recipe has an unknown key, a value of the wrong kind, or asks for something impossible."""

    kind: ClassVar[str] = "bad_input"


class TrainingDataError(ICHSegmenterError):
    """The data set is not what its layout promises."""

    kind: ClassVar[str] = "bad_input"
