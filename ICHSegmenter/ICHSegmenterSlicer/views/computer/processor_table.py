"""The processors of this computer, and whether they compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slicer.i18n import tr as _

from ICHSegmenterLib.errors import Failure
from ICHSegmenterLib.protocol import Message, MessageType, read_notice
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.views.results.result_box import HEADER_HEIGHT, ROW_HEIGHT, cell, prepareTable
from ICHSegmenterSlicer.words.failure_text import failureText

PROCESSOR, STATE = range(2)


class ProcessorTable:
    """One row a processor; a test computes on each of them, one after the other.

    Args:
        ui: The panel's widgets by name.
        client: The worker; it has torch.
        say: Shows a sentence below the table.
    """

    def __init__(self, ui: Any, client: WorkerClient, say: Callable[[str], None]) -> None:
        self._ui = ui
        self._client = client
        self._say = say
        self._devices: Sequence[Message] = ()
        self._waiting: list[int] = []
        prepareTable(ui.deviceTable, (_("Processor"), _("State")), PROCESSOR)
        ui.testButton.connect("clicked()", self._onTest)
        self._show(())

    def describe(self) -> None:
        """Ask which processors there are, unless they are known."""
        if not self._devices:
            self._client.submit({"type": MessageType.DESCRIBE}, done=self._onDescribed, failed=self._onFailed)

    def _onDescribed(self, message: Message) -> None:
        problem = Failure("no_torch", message["torch_problem"], notice=read_notice(message["torch_notice"]))
        self._say(failureText(problem))
        self._show(message["devices"])

    def _onFailed(self, failure: Failure) -> None:
        self._say(failureText(failure))

    def _show(self, devices: Sequence[Message]) -> None:
        self._devices = devices
        table = self._ui.deviceTable
        table.setRowCount(len(devices))
        for row, device in enumerate(devices):
            name = cell(device["title"])
            name.setToolTip(f"{device['title']} ({device['name']})")
            table.setItem(row, PROCESSOR, name)
            self._setState(row, _("does not work") if device["problem"] else _("found"), device["problem"])
        table.setFixedHeight(HEADER_HEIGHT + max(1, len(devices)) * ROW_HEIGHT + 4)
        self._ui.testButton.setEnabled(bool(devices))

    def _setState(self, row: int, text: str, tip: str = "") -> None:
        item = cell(text)
        item.setToolTip("\n".join(part for part in (text, tip) if part))
        self._ui.deviceTable.setItem(row, STATE, item)

    def _onTest(self) -> None:
        self._say("")
        self._ui.testButton.setEnabled(False)
        self._waiting = list(range(len(self._devices)))
        for row in self._waiting:
            self._setState(row, _("waiting"))
        self._testNext()

    def _testNext(self) -> None:
        if not self._waiting:
            self._ui.testButton.setEnabled(True)
            return
        row = self._waiting.pop(0)
        self._setState(row, _("computing…"))

        def done(message: Message) -> None:
            text = _("{milliseconds:.1f} ms in {precision}").format(**message)
            self._setState(row, text, _("A small convolution; its numbers are those of the CPU."))
            self._testNext()

        def failed(failure: Failure) -> None:
            self._setState(row, _("does not work"), failureText(failure))
            self._say(f"⚠ {failureText(failure)}")
            self._testNext()

        message = {"type": MessageType.TEST, "device": self._devices[row]["name"]}
        self._client.submit(message, done=done, failed=failed)
