"""The buttons that start and cancel a run: their text, their keys, and why they cannot be clicked."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from ICHSegmenterSlicer.views.compare_box import ComparisonView
from ICHSegmenterSlicer.views.input_box import InputView
from ICHSegmenterSlicer.views.method import MethodView
from ICHSegmenterSlicer.views.open_box import OpenView
from ICHSegmenterSlicer.views.options import OptionsView
from ICHSegmenterSlicer.views.queue.queue_box import QueueView

MIN_COMPARED = 2
INPUTS = (
    "inputSelector",
    "methodComboBox",
    "deviceComboBox",
    "outputSelector",
    "replaceCheckBox",
    "compareComboBox",
)
"""Widgets that stay as they are during a run."""
SHORTCUTS = {
    "applyButton": "Ctrl+Return",
    "compareButton": "Ctrl+Shift+Return",
    "editButton": "Ctrl+Shift+E",
    "show3DButton": "Ctrl+Shift+D",
}
"""Keys of buttons, while the panel is shown."""


class RunButtons:
    """Detect & Segment, Compare, and the start of the list of several exams.

    Args:
        ui: The panel's widgets by name.
        input, opener, methods, options, comparison: What a run depends on.
        queue: Several exams; while they are analyzed no other run begins.
    """

    def __init__(
        self,
        ui: Any,
        input: InputView,
        opener: OpenView,
        methods: MethodView,
        options: OptionsView,
        comparison: ComparisonView,
        queue: QueueView,
    ) -> None:
        self._ui = ui
        self._input = input
        self._opener = opener
        self._methods = methods
        self._options = options
        self._comparison = comparison
        self._queue = queue
        for name in ("editButton", "show3DButton"):
            getattr(ui, name).setShortcut(qt.QKeySequence(SHORTCUTS[name]))

    def update(self, *, busy: bool) -> None:
        """Show what can be clicked; `busy` while a run is on."""
        for button, title, tip, reason in (
            (self._ui.applyButton, _("Detect && Segment"), _("Look for hemorrhage and outline it"), self._whyNot()),
            (self._ui.compareButton, _("Compare"), _("Run the checked methods"), self._whyNotCompare()),
        ):
            keys = SHORTCUTS[button.objectName]
            tip = _("Stop; the scene stays as it was") if busy else tip
            button.setText(_("Cancel") if busy else title)
            button.setShortcut(qt.QKeySequence(keys))  # a new text takes it away
            button.setEnabled(busy or not reason)
            button.setToolTip(reason if reason and not busy else f"{tip} ({keys})")
        for name in INPUTS:
            getattr(self._ui, name).setEnabled(not busy)
        self._options.update(self._methods.card, busy=busy)
        self._opener.update(busy=busy or self._queue.isRunning)
        self._queue.update(whyNot=_("A run is on") if busy else self._opener.whyNot() or self._whyNotMethod())

    def _whyNot(self) -> str:
        """The reason why there can be no run, empty if there is none."""
        return self._whyNotExam() or self._whyNotMethod()

    def _whyNotCompare(self) -> str:
        few = len(self._comparison.methods) < MIN_COMPARED
        return self._whyNotExam() or (_("Check two methods or more") if few else "")

    def _whyNotExam(self) -> str:
        queued = _("Several exams are being analyzed: see their list") if self._queue.isRunning else ""
        return self._opener.whyNot() or self._input.problem or queued

    def _whyNotMethod(self) -> str:
        if not self._methods.isReady:
            return _("The method is not ready: see what it needs above")
        return self._options.whyNot(self._methods.card)
