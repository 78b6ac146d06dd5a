"""Why a file, a folder, weights or a request cannot be used: a cause that says enough, and the detail in English.

Each way in which files are damaged has a sentence of its own, which only who mends the file needs (which element, how
many bytes). Its cause says what is wrong and what to do; the panel has words for each cause and shows the sentence
below them as a detail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from ICHSegmenterLib.notices.notice import Notice


class Cause(str, Enum):
    """What is to blame; the value travels and stays."""

    OUT_OF_REACH = "out_of_reach"
    DISK = "disk"
    DAMAGED_FILE = "damaged_file"
    READER_ENDED = "reader_ended"
    UNKNOWN_FORMAT = "unknown_format"
    UNKNOWN_COMPRESSION = "unknown_compression"
    NOT_ONE_VOLUME = "not_one_volume"
    NOT_HOUNSFIELD = "not_hounsfield"
    NO_POSITION = "no_position"
    NO_CT = "no_ct"
    SINGLE_SLICE = "single_slice"
    SEVERAL_SERIES = "several_series"
    WRONG_SERIES = "wrong_series"
    SEVERAL_SCANS = "several_scans"
    MIXED_SLICES = "mixed_slices"
    OTHER_GRID = "other_grid"
    DATA_MISMATCH = "data_mismatch"
    STORED_RESULT = "stored_result"
    OTHER_DICOM_FILES = "other_dicom_files"
    NO_DICOM_OBJECT = "no_dicom_object"
    NO_IDENTITY = "no_identity"
    WEIGHTS_MISSING = "weights_missing"
    WEIGHTS_DAMAGED = "weights_damaged"
    WEIGHTS_WITH_CODE = "weights_with_code"
    NO_WEIGHTS = "no_weights"
    OTHER_NETWORK = "other_network"
    NOT_IMPORTED = "not_imported"
    UNWANTED_WEIGHTS = "unwanted_weights"
    CARD = "card"
    LICENSE = "license"
    UNKNOWN_METHOD = "unknown_method"
    NO_SUCH_DEVICE = "no_such_device"


@dataclass(frozen=True)
class CauseNotice(Notice):
    """A cause with its detail.

    Attributes:
        parameters: `sentence`: what is wrong, what was found and what to do, in English.
    """

    code: Cause

    codes: ClassVar[type[Enum]] = Cause
    sentences: ClassVar[Mapping[Cause, str]] = dict.fromkeys(Cause, "{sentence}")
