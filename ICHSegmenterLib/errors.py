"""Errors of the world outside the program. Each says what is wrong, what was found and what to do.

The text is the same in panel, batch and command line; `kind` is the machine-readable name that travels
through the worker protocol and into `result.json`. Wrong arguments stay ValueError and TypeError.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

from ICHSegmenterLib.notices.cause_notice import Cause, CauseNotice
from ICHSegmenterLib.notices.notice import Notice


class ICHSegmenterError(Exception):
    """Base of all typed errors; the message is one or two sentences a radiologist can act on.

    Attributes:
        kind: One of `ERROR_KINDS`.
        is_wrong_use: The request itself names what does not exist, so that no run on any exam could succeed.
    """

    kind: ClassVar[str] = "failed"
    is_wrong_use: ClassVar[bool] = False

    def __init__(self, message: str | Notice = "", cause: Cause | None = None) -> None:
        """Say what is wrong: a notice, which other languages have too, or a sentence.

        Args:
            message: A sentence is in English; what the panel may show has a cause, or is in the user's language.
            cause: What the sentence is a detail of.
        """
        super().__init__(message if cause is None else CauseNotice(cause, {"sentence": message}))

    @property
    def notice(self) -> Notice | None:
        """The message as a code with parameters, None if it is a sentence."""
        message = self.args[0] if self.args else None
        return message if isinstance(message, Notice) else None


class VolumeError(ICHSegmenterError):
    """The input cannot be read, or is not a head CT in Hounsfield units on one grid."""

    kind = "bad_input"


class ModelNotFoundError(ICHSegmenterError):
    """The method or network name is not in the table."""

    kind = "unknown_method"
    is_wrong_use = True


class WeightsError(ICHSegmenterError):
    """Weights cannot be used."""

    kind = "weights_unusable"


class CardError(WeightsError):
    """A model card has an unknown key, a missing one, or a value that is wrong or impossible."""


class WeightsMissingError(WeightsError):
    """The method needs a weight file that is not on this computer."""

    kind = "weights_missing"


class WeightsCorruptError(WeightsError):
    """The file is truncated, altered, unsafe, or belongs to another network."""

    kind = "weights_corrupt"


class DownloadError(WeightsError):
    """A weight file could not be downloaded."""

    kind = "download_failed"


class LicenseNotAcceptedError(WeightsError):
    """The weights' training data have terms of use, which must be accepted before a download."""

    kind = "license_not_accepted"


class DependencyError(ICHSegmenterError):
    """A Python package is missing or broken."""

    kind = "no_torch"


class DeviceError(ICHSegmenterError):
    """The chosen processor does not exist or does not work."""

    kind = "bad_device"


class DeviceRequestError(DeviceError):
    """No processor is called so, or none of its kind computes in this precision."""

    is_wrong_use = True


class OutOfGpuMemoryError(ICHSegmenterError):
    """The graphics card has too little memory, even for one slice, and the CPU was not allowed."""

    kind = "oom_gpu"


class OutOfMemoryError(ICHSegmenterError):
    """The computer has too little memory."""

    kind = "oom_ram"


class DeviceLostError(ICHSegmenterError):
    """The graphics card stopped in the middle of its work."""

    kind = "crashed"


class TimeLimitError(ICHSegmenterError):
    """The analysis of an exam took longer than it may."""

    kind = "time_limit"

    @classmethod
    def after(cls, seconds: float | None) -> TimeLimitError:
        """The error of a limit."""
        return cls(
            f"The analysis took more than {seconds or 0:g} s and was stopped. Give more --exam-timeout, or a faster "
            "--method or --device."
        )


class OutputError(ICHSegmenterError):
    """Results cannot be written."""

    kind = "cannot_write"


class ResultError(ICHSegmenterError):
    """A stored result cannot be read: damaged, or written by a newer version."""

    kind = "bad_input"


class ReceiverError(ICHSegmenterError):
    """The receiver cannot listen, take more, or send what it should."""


class ReceiverConfigError(ReceiverError):
    """The configuration of the receiver has an unknown key, or a value that is wrong or impossible."""

    kind = "bad_input"
    is_wrong_use = True


class CancelledError(ICHSegmenterError):
    """The user stopped the run; nothing was changed."""

    kind = "cancelled"


class NotKeptError(ICHSegmenterError):
    """What was to be judged again has not been kept."""

    kind = "not_kept"


class RegistrationError(ICHSegmenterError):
    """Two exams cannot be laid over each other: one shows no skull, or the skulls do not fit."""

    kind = "bad_input"


class GrowingError(ICHSegmenterError):
    """Nothing can be grown from a voxel: it is outside of the skull, or hardly denser than what is around it.

    Attributes:
        densities: HU of the voxel and of the tissue around it; empty if it is outside of the skull.
    """

    kind = "bad_input"

    def __init__(self, message: str | Notice, densities: tuple[float, ...] = ()) -> None:
        super().__init__(message)
        self.densities = densities


class WorkerError(ICHSegmenterError):
    """The worker process ended or answered nonsense."""

    kind = "crashed"


class ClusterError(ICHSegmenterError):
    """A cluster cannot be reached, or its workers do not stay."""

    kind = "crashed"


class RecipeError(ICHSegmenterError):
    """A recipe has an unknown key, a value of the wrong kind, or asks for something impossible."""

    kind = "bad_input"
    is_wrong_use = True


class TrainingExistsError(RecipeError):
    """The output folder holds a training already, which is not replaced."""

    is_wrong_use = False


class TrainingDataError(ICHSegmenterError):
    """The data set is not what its layout promises."""

    kind = "bad_input"


class EvaluationError(ICHSegmenterError):
    """Truth, folds and results do not fit each other."""

    kind = "bad_input"


ERROR_KINDS: tuple[str, ...] = (
    "failed",
    "bad_input",
    "not_kept",
    "unknown_method",
    "weights_unusable",
    "weights_missing",
    "weights_corrupt",
    "download_failed",
    "license_not_accepted",
    "no_torch",
    "bad_device",
    "oom_gpu",
    "oom_ram",
    "time_limit",
    "cannot_write",
    "cancelled",
    "crashed",
)
"""Every value that `kind` may take; the panel has one icon and one next step for each."""


@dataclass(frozen=True)
class Failure:
    """Why something gave no result, as it travels through the pipe and into tables.

    Attributes:
        kind: One of `ERROR_KINDS`.
        message: What is wrong and what to do.
        details: Last lines of the traceback or of the log, for a report; empty for a cancelled run.
        method: Name of the method, where several run.
        case: Name of the exam, where several are analyzed.
        is_fatal: The process cannot go on (a broken CUDA context stays broken) and must be started anew.
        notice: The message as a code with parameters, None if there is only the sentence.
    """

    kind: str
    message: str
    details: str = ""
    method: str = ""
    case: str = ""
    is_fatal: bool = False
    notice: Notice | None = None

    @classmethod
    def of(cls, error: ICHSegmenterError, *, method: str = "", case: str = "") -> Failure:
        """The failure of an error that was raised."""
        return cls(error.kind, str(error), method=method, case=case, notice=error.notice)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown word: a question that names the closest known one, or nothing."""
    closest = get_close_matches(word, list(known), n=1)
    return f" Did you mean {closest[0]!r}?" if closest else ""
