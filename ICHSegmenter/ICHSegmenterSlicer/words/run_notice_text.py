"""What happened in a run, in the user's language."""

from __future__ import annotations

from slicer.i18n import tr as _

from ICHSegmenterLib.notices.run_notice import RunCode, RunNotice


def runNoticeText(notice: RunNotice) -> str:
    """One or two sentences for the reader of the result."""
    return notice.said(_texts()[notice.code], {})


def _texts() -> dict[RunCode, str]:
    return {
        RunCode.ONLY_CLASSIFIES: _(
            "This variant of SMART-Net only classifies slices: nothing is outlined, and 0 mL means nothing."
        ),
        RunCode.ATTENTION_MAP: _(
            "The segments of {title} are an attention map, not an outline: they show where the network looked."
        ),
        RunCode.NETWORK_ON_CPU: _("The graphics memory is too small for the network; continued on the CPU."),
        RunCode.SLICES_ON_CPU: _("The graphics memory ran out even for one slice; continued on the CPU."),
        RunCode.SMALLER_BATCHES: _("Memory ran out; continued with batches of {size}."),
        RunCode.FLOAT32: _("The network's numbers left the range of float16; continued in float32."),
        RunCode.GPU_NOT_USED: _("The graphics processor was not used: {problem}"),
        RunCode.SLOW_BFLOAT16: _(
            "This processor does not compute in bfloat16 and imitates it very slowly. Choose float32 or 'auto'."
        ),
    }
