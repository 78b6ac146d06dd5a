"""The whole text of what a narrow dock cuts off, in the tooltip."""

from __future__ import annotations

from typing import Any

import qt

OWN_TOOLTIP = "ICHSegmenter.toolTip"
"""Dynamic property: the tooltip of the form, without the text of the moment."""


def setWholeText(widget: qt.QWidget, text: Any) -> None:
    """Put the text of the moment above the widget's own tooltip."""
    own = widget.property(OWN_TOOLTIP)
    if own is None:
        own = widget.toolTip
        widget.setProperty(OWN_TOOLTIP, own)
    widget.setToolTip("\n".join(part for part in (text, own) if part))
