"""Check boxes whose frame is seen in every theme."""

from __future__ import annotations

import qt

FRAME_COLOR = "#a0a0a0"
"""Qt draws the frame by the color of the window, in the dark theme as dark as what is around it."""


def showFrame(widget: qt.QWidget) -> None:
    """Draw the frame of a check box, or of those of a table, as dark in all themes."""
    palette = qt.QPalette()
    palette.setColor(qt.QPalette.Window, qt.QColor(FRAME_COLOR))
    widget.setPalette(palette)
