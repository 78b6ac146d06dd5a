"""The phases of a run in the user's language."""

from __future__ import annotations

from slicer.i18n import tr as _

from ICHSegmenterLib.cards.table import title_of
from ICHSegmenterLib.protocol import Phase, Stage


def stageText(done: int, total: int, stage: Stage) -> str:
    """The stage in a few words; with the title of the method if several take part."""
    texts = {
        Phase.LOADING: _("Loading the network"),
        Phase.FINDING_BRAIN: _("Finding the brain"),
        Phase.RESAMPLING: _("Resampling to 1 mm"),
        Phase.PREDICTING: _("Predicting") if stage.method else _("Predicting: {done} of {total}"),
        Phase.MEASURING: _("Measuring"),
        Phase.ACTIVATION: _("Drawing the activation map"),
        Phase.DOWNLOADING: _("Downloading"),
        Phase.SYNTHESIZING: _("Synthesizing"),
    }
    text = texts[stage.phase].format(done=done, total=total)
    return f"{title_of(stage.method)}: {text}" if stage.method else text
