"""Draws the panel in its states: `python Testing/panel_pictures.py [--output build/panel] [--only STATE ...]`.

Each state at 380 and 470 pixels, light and dark, in a scene that holds earlier runs. The clicks and the results are
real; the program is the stand-in for Slicer.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(folder) for folder in (REPOSITORY, REPOSITORY / "Testing", REPOSITORY / "ICHSegmenter")]

import SlicerShell  # noqa: E402

WIDTHS = (380, 470)
RUN_S = 600.0
LONGEST_ERROR = (
    "The analysis process was killed or crashed unexpectedly; the scene is as it was. Click again: a new one starts. "
    "If it happens again, memory is probably short (close other programs), or choose CPU as processor; the log below "
    "has more."
)


class Panel:
    """The panel with two exams; the first has runs already."""

    def __init__(self, shell: Any) -> None:
        from ICHSegmenterSlicer.scene.sample import addPhantom

        self.shell = shell
        shell.loadModule(REPOSITORY / "ICHSegmenter" / "ICHSegmenter.py")
        self.widget = shell.openModule("ICHSegmenter")
        self.ui = self.widget.ui
        self.bleeding = addPhantom("Head CT of the emergency room, series 3", pixels=128, slices=30).volumeNode
        self.healthy = addPhantom("Healthy head", pixels=128, slices=30, bleeds=False).volumeNode
        self.choose(self.healthy)
        self.method("hu-threshold")

    def choose(self, volumeNode: Any) -> None:
        self.ui.inputSelector.setCurrentNode(volumeNode)
        self.shell.process()

    def method(self, name: str) -> None:
        self.ui.methodComboBox.setCurrentIndex(self.ui.methodComboBox.findData(name))
        self.shell.process()

    def run(self, button: Any = None) -> None:
        self.shell.click(button or self.ui.applyButton)
        self.shell.waitUntil(lambda: self.widget.analysis is None, RUN_S, "the end of the run")
        self.shell.process(0.5)


def _unselected(panel: Panel) -> None:
    panel.choose(None)


def _computer(panel: Panel) -> None:
    """A damaged file of a method and one of nobody were verified, the processors tested."""
    from ICHSegmenterLib.cards.table import get_card
    from ICHSegmenterLib.weights.cache import weights_folder

    for name in (*(file.name for file in get_card("blast-ct").weights[:2]), "ward-7-segmentation-fold-0.pt"):
        (weights_folder() / name).write_bytes(bytes(4_200_000))
    ui = panel.ui
    ui.computerButton.collapsed = False
    panel.shell.waitUntil(lambda: ui.deviceTable.rowCount > 0, RUN_S, "the processors")
    for button, title in ((ui.verifyButton, "Verify"), (ui.testButton, "Test processors")):
        panel.shell.click(button)
        panel.shell.waitUntil(lambda one=button, text=title: one.enabled and one.text == text, RUN_S, title)
    ui.weightsTable.setCurrentCell(0, 0)
    panel.shell.click(ui.diagnosticButton)
    panel.shell.waitUntil(lambda: ui.diagnosticButton.enabled, RUN_S, "the diagnosis")


def _series(panel: Panel) -> None:
    """A folder of two series was dropped: one must be chosen."""
    from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
    from ICHSegmenterLib.synthesis.phantom import HeadModel, head_geometry, make_phantom

    folder = Path(tempfile.mkdtemp(prefix="series-"))
    for number, (slices, steps) in enumerate([(22, [6.0] * 12 + [3.0] + [8.0] * 8), (44, [3.25] * 43)], start=2):
        geometry = head_geometry((slices, 96, 96), pixel_mm=(2.4, 2.4), slice_step_mm=steps, tilt_deg=18.0)
        write_dicom_series(make_phantom(geometry, HeadModel()).volume, folder / str(number), series_number=number)
    panel.widget.opener.open([folder])
    panel.shell.waitUntil(panel.widget.opener.canOpen, RUN_S, "the list of series")


def _opened(panel: Panel) -> None:
    """The first of the two: tilted, with unequal steps."""
    panel.ui.seriesList.setCurrentRow(0)
    panel.ui.seriesList.itemActivated.emit(panel.ui.seriesList.item(0))
    panel.shell.waitUntil(panel.widget.opener.canOpen, RUN_S, "the reading")
    panel.shell.process(5.0)


def _needs(panel: Panel) -> None:
    from ICHSegmenterLib.weights.cache import weights_folder

    for path in weights_folder().iterdir():
        path.unlink()
    panel.ui.computerButton.collapsed = True
    panel.widget.status.end()
    panel.choose(panel.healthy)
    panel.ui.advancedButton.collapsed = False
    panel.method("blast-ct")


def _file_needed(panel: Panel) -> None:
    panel.method("rsna-sequence")


def _refused(panel: Panel) -> None:
    import numpy as np
    import slicer

    panel.ui.advancedButton.collapsed = True
    panel.method("hu-threshold")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Photograph of a head CT")
    slicer.util.updateVolumeFromArray(node, np.arange(20 * 64 * 64, dtype=np.uint8).reshape(20, 64, 64))
    node.SetSpacing(3.5, 3.5, 5.0)
    panel.choose(node)


def _failed(panel: Panel) -> None:
    from ICHSegmenterLib.errors import Failure

    panel.choose(panel.healthy)
    panel.widget.status.fail(Failure("crashed", LONGEST_ERROR))


def _negative(panel: Panel) -> None:
    panel.widget.status.end()
    panel.run()


def _several(panel: Panel) -> None:
    """A sequence of two time points, a photograph that fails, an exam that is not checked; one row was chosen."""
    import qt
    import slicer

    from ICHSegmenterSlicer.scene.sample import addPhantom

    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Follow-up of the stroke unit")
    sequence.SetIndexUnit("h")
    for hour, bleeds in ((0, False), (24, True)):
        node = addPhantom("Follow-up", pixels=96, slices=14, bleeds=bleeds).volumeNode
        sequence.SetDataNodeAtValue(node, str(hour))
        slicer.mrmlScene.RemoveNode(node)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Follow-up browser")
    browser.AddSynchronizedSequenceNode(sequence)
    browser.SetSelectedItemNumber(0)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    ui = panel.ui
    ui.queueSection.collapsed = False
    panel.shell.click(ui.checkAllButton)
    ui.queueTable.item(0, 0).setCheckState(qt.Qt.Unchecked)
    panel.shell.click(ui.queueButton)
    panel.shell.waitUntil(lambda: not panel.widget.queue.isRunning, RUN_S, "the end of the list")
    panel.widget.queue._choose(ui.queueTable.rowCount - 1)
    panel.shell.process(0.5)


def _positive(panel: Panel) -> None:
    panel.ui.queueSection.collapsed = True
    panel.choose(panel.bleeding)
    panel.run()
    panel.run()


def _finding(panel: Panel) -> None:
    """The first finding is accepted, and outlined."""
    panel.ui.findingsTable.setCurrentCell(0, 0)
    panel.shell.click(panel.ui.acceptButton)


def _preview(panel: Panel) -> None:
    """The bleed was rejected; a click shows it again, to be added."""
    from ICHSegmenterSlicer.scene.volumes import RAS_TO_LPS, geometryOf

    finding = panel.widget.shown._findings.current
    voxel = finding.mask.nonzero()
    middle = [int(axis[len(axis) // 2]) + low for axis, low in zip(voxel, finding.start, strict=True)]
    panel.shell.click(panel.ui.rejectButton)
    panel.shell.process(1.0)
    panel.shell.click(panel.ui.clickButton)
    panel.shell.clickInView("Red", geometryOf(panel.bleeding).ijk_to_lps(middle[::-1]) * RAS_TO_LPS)
    panel.shell.process(0.5)


def _threshold(panel: Panel) -> None:
    """The threshold is moved; the outline follows, the result has not yet."""
    panel.shell.click(panel.ui.discardButton)
    panel.shell.click(panel.ui.clickButton)
    panel.shell.click(panel.ui.undoButton)
    panel.shell.process(1.0)
    panel.ui.advancedButton.collapsed = False
    panel.shell.click(panel.ui.mapsCheckBox)
    panel.ui.thresholdCheckBox.setChecked(True)
    panel.widget.threshold._timer.setInterval(10**6)
    panel.ui.thresholdSlider.value = 0.8
    panel.shell.process(0.2)


def _in_head(panel: Panel) -> None:
    """The bleed within a translucent head."""
    panel.widget.shown.endCut()
    panel.ui.thresholdCheckBox.setChecked(False)
    panel.ui.advancedButton.collapsed = True
    panel.shell.click(panel.ui.mapsCheckBox)
    panel.shell.click(panel.ui.show3DButton)
    panel.shell.process(2.0)


def _measures(panel: Panel) -> None:
    """Measures of the marked finding, its lines drawn."""
    panel.shell.click(panel.ui.show3DButton)
    panel.ui.findingsTable.setCurrentCell(0, 0)
    panel.shell.click(panel.ui.linesButton)
    panel.shell.process(1.0)


def _prior(panel: Panel) -> None:
    """The same exam compared with an earlier one."""
    from ICHSegmenterSlicer.scene.sample import addPhantom

    earlier = addPhantom("Head CT of yesterday", pixels=128, slices=30).volumeNode
    panel.choose(earlier)
    panel.run()
    panel.choose(panel.bleeding)
    panel.shell.process(1.0)
    panel.shell.click(panel.ui.priorButton)
    panel.shell.waitUntil(lambda: panel.ui.priorButton.enabled, RUN_S, "the comparison")
    panel.shell.process(0.5)


def _network(panel: Panel) -> None:
    panel.method("compact-unet")
    panel.run()


def _with_map(panel: Panel) -> None:
    panel.ui.advancedButton.collapsed = False
    panel.shell.click(panel.ui.mapsCheckBox)
    panel.method("hu-threshold")
    panel.run()


def _edited(panel: Panel) -> None:
    import slicer

    panel.ui.advancedButton.collapsed = True
    node = panel.widget.shown.segmentationNode
    segmentId = node.GetSegmentation().GetNthSegmentID(0)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, panel.bleeding)
    mask[24:27, 50:60, 60:75] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentId, panel.bleeding)
    panel.shell.process(1.0)


def _compared(panel: Panel) -> None:
    panel.ui.compareSection.collapsed = False
    panel.widget.comparison.choose(("hu-threshold", "compact-unet"))
    panel.widget._onOptionsChanged()
    panel.run(panel.ui.compareButton)


def _changed(panel: Panel) -> None:
    import slicer

    panel.ui.compareSection.collapsed = True
    slicer.util.arrayFromVolume(panel.bleeding)[:] += 1
    slicer.util.arrayFromVolumeModified(panel.bleeding)
    panel.shell.process(0.5)


STATES: dict[str, Callable[[Panel], None]] = {
    "1-unselected": _unselected,
    "1b-series": _series,
    "1c-opened": _opened,
    "1d-computer": _computer,
    "2-needs": _needs,
    "3-file-needed": _file_needed,
    "4-refused": _refused,
    "5-failed": _failed,
    "6-negative": _negative,
    "6a-several": _several,
    "7-positive": _positive,
    "7a-finding": _finding,
    "7b-preview": _preview,
    "7c-threshold": _threshold,
    "7d-in-head": _in_head,
    "7e-measures": _measures,
    "7f-prior": _prior,
    "8-network": _network,
    "9-map": _with_map,
    "10-edited": _edited,
    "11-compared": _compared,
    "12-changed": _changed,
}
"""Each state is reached from the one before."""


def main() -> None:
    """Bring the panel from state to state and draw those that are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "panel")
    parser.add_argument("--only", nargs="*", choices=STATES, default=list(STATES))
    parser.add_argument("--views", action="store_true", help="slice and 3D views beside the panel")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    os.environ["ICHSEGMENTER_WEIGHTS"] = tempfile.mkdtemp(prefix="weights-")
    shell = SlicerShell.boot()
    panel = Panel(shell)
    order = list(STATES)
    last = max(order.index(name) for name in options.only)
    for name in order[: last + 1]:
        STATES[name](panel)
        if name in options.only:
            for theme in ("light", "dark"):
                shell.theme(theme)
                for width in WIDTHS:
                    path = options.output / f"{name}-{width}-{theme}.png"
                    if options.views:
                        shell.screenshot(path, panel.widget.parent, size=(1400, 900), panel_width=width)
                    else:
                        shell.panelPicture(path, panel.widget.parent, width)
            shell.theme("light")
    shell.endProcess()


if __name__ == "__main__":
    main()
