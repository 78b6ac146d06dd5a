"""The phases of a run in the user's language."""

from __future__ import annotations

from slicer.i18n import tr as _

from ICHSegmenterLib.cards.table import method_cards, title_of
from ICHSegmenterLib.protocol import Phase, Stage


def stageText(done: int, total: int, stage: Stage, method: str = "") -> str:
    """The stage in a few words; with the title of the method if several take part.

    Args:
        done, total: How far it is.
        stage: The phase, and its method if several take part.
        method: Name of the only method.
    """
    card = method_cards().get(stage.method or method)
    isClassical = card is not None and not card.needs_weights
    texts = {
        Phase.READING: _("Reading the files"),
        Phase.LOADING: _("Getting ready") if isClassical else _("Loading the network"),
        Phase.FINDING_BRAIN: _("Finding the brain"),
        Phase.RESAMPLING: _("Resampling to 1 mm"),
        Phase.PREDICTING: _("Predicting") if stage.method else _("Predicting: {done} of {total}"),
        Phase.MEASURING: _("Measuring"),
        Phase.REGISTERING: _("Laying the exams over each other"),
        Phase.ACTIVATION: _("Drawing the activation map"),
        Phase.DOWNLOADING: _("Downloading"),
        Phase.VERIFYING: _("Reading weight files"),
        Phase.SYNTHESIZING: _("Synthesizing"),
    }
    text = texts[stage.phase].format(done=done, total=total)
    return f"{title_of(stage.method)}: {text}" if stage.method else text
