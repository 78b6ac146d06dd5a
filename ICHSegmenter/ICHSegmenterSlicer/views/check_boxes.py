"""Check boxes whose frame is seen in every theme, and buttons of which it is seen that they are down."""

from __future__ import annotations

import qt

FRAME_COLOR = "#a0a0a0"
"""Qt draws the frame by the color of the window, in the dark theme as dark as what is around it."""


def showFrame(widget: qt.QWidget) -> None:
    """Draw the frame of a check box, or of those of a table, as dark in all themes."""
    palette = qt.QPalette()
    palette.setColor(qt.QPalette.Window, qt.QColor(FRAME_COLOR))
    widget.setPalette(palette)


def showDown(button: qt.QPushButton) -> None:
    """Draw a button that stays down in the color of a selection; Qt's own, in the dark theme, is hardly darker."""
    palette = qt.QPalette()
    if button.checked:
        for group in (qt.QPalette.Active, qt.QPalette.Inactive):
            palette.setColor(group, qt.QPalette.Button, palette.color(qt.QPalette.Highlight))
            palette.setColor(group, qt.QPalette.ButtonText, palette.color(qt.QPalette.HighlightedText))
    button.setPalette(palette)
