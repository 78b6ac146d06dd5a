"""The input box of the panel: the volume's spacing, slices and tilt, and why it cannot be analyzed."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from ICHSegmenterSlicer.scene import exam
from ICHSegmenterSlicer.scene.volume_check import VolumeCheck, checkVolume
from ICHSegmenterSlicer.views.whole_text import setWholeText

UNCHECKED = ()
"""The key of no volume at all; that of an empty selector is None."""


class InputView:
    """The line below the volume selector.

    Args:
        ui: The panel's widgets by name.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
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
        problem = f"<br><b>{check.problem}</b>" if check.problem else ""
        description = f"<small>{check.description}</small>" if check.description else ""
        self._ui.inputInfoLabel.setText(f"{description}{problem}".removeprefix("<br>"))
        self._ui.inputInfoLabel.setVisible(bool(description or problem))
        return volumeNode is not None and not check.problem

    def forget(self) -> None:
        """Check the next volume whatever it is: the scene was closed, and identifiers start anew."""
        self._key = UNCHECKED
        self.problem = _("Select a head CT")
        self._ui.inputInfoLabel.setText("")
