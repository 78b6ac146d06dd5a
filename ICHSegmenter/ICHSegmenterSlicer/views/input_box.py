"""The input box of the panel: the volume's spacing, slices and tilt, and why it cannot be analyzed."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.preprocessing.checks.findings import InputFinding, Severity
from ICHSegmenterLib.volume.reader.reader_warning import ReaderWarning
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.scene.exam_check import ExamCheck
from ICHSegmenterSlicer.scene.results import exam
from ICHSegmenterSlicer.scene.volume_check import VolumeCheck, checkVolume
from ICHSegmenterSlicer.scene.volumes import sourceOf
from ICHSegmenterSlicer.views.whole_text import setWholeText
from ICHSegmenterSlicer.words.finding_text import findingText, readerWarningText

UNCHECKED = ()
"""The key of no volume at all; that of an empty selector is None."""


class InputView:
    """The line below the volume selector.

    Args:
        ui: The panel's widgets by name.
        client: The worker; it looks at all voxels.
        checked: Called when it has.
    """

    def __init__(self, ui: Any, client: WorkerClient, checked: Callable[[], None]) -> None:
        self._ui = ui
        self._changed = checked
        self._check = ExamCheck(client, self._onChecked)
        self._description = ""
        self._ofReader: tuple[ReaderWarning, ...] = ()
        self._key: tuple[Any, ...] | None = UNCHECKED
        self.problem = _("Select a head CT")
        """The reason why the volume cannot be analyzed, empty if it can."""

    def update(self, volumeNode: slicer.vtkMRMLScalarVolumeNode | None) -> bool:
        """Check a volume anew if it, its voxels or its transform changed.

        Returns:
            True if it was checked and can be analyzed.
        """
        key = None if volumeNode is None else exam.versionOf(volumeNode)
        if key == self._key:
            return False
        self._key = key
        setWholeText(self._ui.inputSelector, volumeNode.GetName() if volumeNode is not None else "")
        check = checkVolume(volumeNode) if volumeNode is not None else VolumeCheck("", "")
        self.problem = check.problem if volumeNode is not None else _("Select a head CT")
        self._description = f"<small>{check.description}</small>" if check.description else ""
        self._ofReader = sourceOf(volumeNode).reader_warnings if volumeNode is not None else ()
        self._show(f"<b>{html.escape(check.problem)}</b>" if check.problem else "")
        if volumeNode is not None and not check.problem:
            self._check.begin(volumeNode)
        else:
            self._check.stop()
        return volumeNode is not None and not check.problem

    def forget(self) -> None:
        """Check the next volume whatever it is: the scene was closed, and identifiers start anew."""
        self._check.stop()
        self._key = UNCHECKED
        self.problem = _("Select a head CT")
        self._ui.inputInfoLabel.setText("")

    def _show(self, *lines: str) -> None:
        """Write the description of the volume and what is to be known about it."""
        ofReader = (f"⚠ {html.escape(readerWarningText(warning))}" for warning in self._ofReader)
        text = "<br>".join(dict.fromkeys(line for line in (self._description, *ofReader, *lines) if line))
        self._ui.inputInfoLabel.setText(text)
        self._ui.inputInfoLabel.setVisible(bool(text))

    def _onChecked(self, findings: Sequence[InputFinding]) -> None:
        """The worker has looked at every voxel: warnings stand here before the click."""
        blocking = [finding for finding in findings if finding.severity is Severity.BLOCKS]
        warnings = [finding for finding in findings if finding.severity is Severity.WARNING]
        self.problem = findingText(blocking[0]) if blocking else ""
        self._show(
            *(f"<b>{html.escape(findingText(finding))}</b>" for finding in blocking),
            *(f"⚠ {html.escape(findingText(finding))}" for finding in warnings),
        )
        self._changed()
