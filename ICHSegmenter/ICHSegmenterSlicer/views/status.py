"""The state of a run: progress bar, sentence, log."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from ICHSegmenterLib.errors import Failure
from ICHSegmenterSlicer.running_job import Progress
from ICHSegmenterSlicer.words.failure_text import failureText

FULL = 1000


class StatusView:
    """The progress bar, the status line and the log.

    Args:
        ui: The panel's widgets by name.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._exam, self._isRunning = "", False
        ui.copyLogButton.connect("clicked()", self._onCopyLog)
        self.end()

    def follow(self, exam: str) -> None:
        """Take away what was said of another exam, unless a run is on; `exam` identifies the one that is chosen."""
        if exam != self._exam and not self._isRunning:
            self.show("")
        self._exam = exam

    def begin(self) -> None:
        """Show that a run begins."""
        self.show("")
        self._isRunning = True
        self._ui.progressBar.setVisible(True)

    def end(self) -> None:
        """Show that the run is over."""
        self._isRunning = False
        self._ui.progressBar.setVisible(False)
        self.show("")

    def progress(self, progress: Progress) -> None:
        """Show how far the run is."""
        bar = self._ui.progressBar
        if progress.fraction is None:
            bar.setRange(0, 0)  # busy
        else:
            bar.setRange(0, FULL)
            bar.setValue(int(progress.fraction * FULL))
        text = progress.text
        if progress.secondsLeft is not None:
            text += " · " + _("about {seconds:.0f} s left").format(seconds=max(1.0, progress.secondsLeft))
        self.show(text)

    def show(self, text: str) -> None:
        """Write a sentence below the button."""
        self._ui.statusLabel.setText(text)
        self._ui.statusLabel.setVisible(bool(text))

    def fail(self, failure: Failure) -> None:
        """Show why a run ended."""
        self.show(failureText(failure) if failure.kind == "cancelled" else f"⚠ {failureText(failure)}")
        self.log(f"{failure.kind}: {failureText(failure)}")
        if failure.details:
            self.log(failure.details)

    def refuse(self, failure: Failure) -> None:
        """Show why files are not opened; the log gets the kind alone, for the sentence may name a patient's file."""
        self.show(failureText(failure) if failure.kind == "cancelled" else f"⚠ {failureText(failure)}")
        self.log(f"{failure.kind}: the files were not opened")

    def log(self, line: str) -> None:
        """Add a line to the log."""
        self._ui.logText.appendPlainText(line)

    def _onCopyLog(self) -> None:
        qt.QApplication.clipboard().setText(self._ui.logText.toPlainText())
