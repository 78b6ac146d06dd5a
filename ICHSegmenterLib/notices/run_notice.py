"""What happened in a run that the reader of the result should know: fallbacks, and what an output is not.

The panel translates by code; `RunNotice.text` is the one place with English words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from ICHSegmenterLib.notices.notice import Notice


class RunCode(str, Enum):
    """Codes of notices; the value travels and stays."""

    ONLY_CLASSIFIES = "only_classifies"
    ATTENTION_MAP = "attention_map"
    NETWORK_ON_CPU = "network_on_cpu"
    SLICES_ON_CPU = "slices_on_cpu"
    SMALLER_BATCHES = "smaller_batches"
    FLOAT32 = "float32"
    GPU_NOT_USED = "gpu_not_used"
    SLOW_BFLOAT16 = "slow_bfloat16"


SENTENCES: Mapping[RunCode, str] = {
    RunCode.ONLY_CLASSIFIES: (
        "This variant of SMART-Net only classifies slices: nothing is outlined, and 0 mL means nothing."
    ),
    RunCode.ATTENTION_MAP: (
        "The segments of {title} are an attention map, not an outline: they show where the network looked."
    ),
    RunCode.NETWORK_ON_CPU: "The graphics memory is too small for the network; continued on the CPU.",
    RunCode.SLICES_ON_CPU: "The graphics memory ran out even for one slice; continued on the CPU.",
    RunCode.SMALLER_BATCHES: "Memory ran out; continued with batches of {size}.",
    RunCode.FLOAT32: "The network's numbers left the range of float16; continued in float32.",
    RunCode.GPU_NOT_USED: "The graphics processor was not used: {problem}",
    RunCode.SLOW_BFLOAT16: (
        "This processor does not compute in bfloat16 and imitates it very slowly. Choose float32 or 'auto'."
    ),
}
"""English sentence of each code, with the names of its parameters; `problem` is what the driver said, in its words."""


@dataclass(frozen=True)
class RunNotice(Notice):
    """One notice of a run."""

    code: RunCode

    codes: ClassVar[type[Enum]] = RunCode
    sentences: ClassVar[Mapping[RunCode, str]] = SENTENCES
