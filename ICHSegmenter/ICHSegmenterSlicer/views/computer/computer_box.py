"""The box "Weights and computer": the files on the disk, the processors, and a text for a report of a problem."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.errors import Failure
from ICHSegmenterLib.files import without_paths
from ICHSegmenterLib.protocol import MessageType
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.views.computer.processor_table import ProcessorTable
from ICHSegmenterSlicer.views.computer.weights_table import WeightsTable
from ICHSegmenterSlicer.words.failure_text import failureText


class ComputerView:
    """Fills the box when it is opened; nothing is asked of the worker before.

    Args:
        ui: The panel's widgets by name.
        client: The worker; it verifies, removes, tests and diagnoses.
        changed: Called when weight files were removed.
        fail: Shows a failure in the panel.
    """

    def __init__(
        self, ui: Any, client: WorkerClient, changed: Callable[[], None], fail: Callable[[Failure], None]
    ) -> None:
        self._ui = ui
        self._client = client
        self._weights = WeightsTable(ui, client, changed, fail)
        self._processors = ProcessorTable(ui, client, self._say)
        ui.diagnosticButton.connect("clicked()", self._onDiagnostic)
        ui.computerButton.connect("contentsCollapsed(bool)", self._onFolded)
        self._say("")

    def update(self) -> None:
        """List the weight files anew, if the box is open: some came or went."""
        if not self._ui.computerButton.collapsed:
            self._weights.update()

    def _onFolded(self, isFolded: bool) -> None:
        if not isFolded:
            self._ui.weightsTable.setCurrentCell(-1, -1)  # no removal that was prepared long ago
            self._weights.update()
            self._processors.describe()

    def _say(self, text: str) -> None:
        self._ui.computerLabel.setText(text)
        self._ui.computerLabel.setVisible(bool(text) and not self._ui.computerButton.collapsed)

    def _onDiagnostic(self) -> None:
        self._ui.diagnosticButton.setEnabled(False)
        self._client.submit(
            {"type": MessageType.DIAGNOSE},
            done=lambda message: self._copy(message["text"]),
            failed=lambda failure: self._copy(f"{failure.kind}: {without_paths(failureText(failure))}"),
        )

    def _copy(self, text: str) -> None:
        """Put the worker's lines below those of Slicer; what keeps the worker from answering is a diagnosis, too."""
        lines = [slicerLine(), text]
        qt.QApplication.clipboard().setText("\n".join(lines))
        self._ui.diagnosticButton.setEnabled(True)
        self._say(
            _("Copied: versions, processors, methods; no person, exam or folder. Paste it where you ask for help.")
        )


def slicerLine() -> str:
    """Version of Slicer, and of what it runs on."""
    app = slicer.app
    version = f"Slicer {app.applicationVersion} (revision {app.revision})"
    return f"{version}, {app.os}-{app.arch}, Python {platform.python_version()}"
