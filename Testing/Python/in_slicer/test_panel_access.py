"""The panel without a mouse and without eyes: names, keys, tooltips, order; and what is there before any exam."""

import importlib.util
import os
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

REPOSITORY = Path(__file__).resolve().parents[3]

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


def controls(panel):
    """Every widget of the form that a user can act on or read a value from, by its name in the form."""
    from PySide6 import QtWidgets

    kinds = (
        QtWidgets.QAbstractButton,
        QtWidgets.QComboBox,
        QtWidgets.QAbstractItemView,
        QtWidgets.QProgressBar,
        QtWidgets.QPlainTextEdit,
    )
    own = ("qMRMLNodeComboBox", "ctkSliderWidget")
    return {
        widget.objectName: widget
        for widget in vars(panel.ui).values()
        if (isinstance(widget, kinds) or widget.className() in own) and not widget.objectName.startswith("qt_")
    }


def test_every_control_has_a_tooltip(panel):
    silent = [name for name, widget in controls(panel).items() if not widget.toolTip]
    assert silent == []


def test_every_control_has_a_name_for_a_screen_reader(panel):
    from PySide6 import QtWidgets

    nameless = [
        name
        for name, widget in controls(panel).items()
        if not widget.accessibleName and not (isinstance(widget, QtWidgets.QAbstractButton) and widget.text)
    ]
    assert nameless == []


def test_every_label_before_a_control_belongs_to_it(panel):
    buddies = {
        "inputLabel": "inputSelector",
        "methodLabel": "methodComboBox",
        "deviceLabel": "deviceComboBox",
        "outputLabel": "outputSelector",
        "detectorLabel": "detectorComboBox",
        "opacityLabel": "opacitySlider",
        "mapLabel": "mapComboBox",
    }
    assert {name: getattr(panel.ui, name).buddy().objectName for name in buddies} == buddies


@pytest.fixture
def walk(shell, panel):
    """Presses the tabulator until it comes round; returns where each control lies that had the focus, by its name."""
    from PySide6 import QtCore, QtTest, QtWidgets

    def walk_():
        window, places = panel.parent.window(), {}
        window.activateWindow()
        first = panel.ui.openButton
        shell.waitUntil(lambda: first.setFocus() or QtWidgets.QWidget.hasFocus(first), 10, "the keyboard at the panel")
        for _ in range(300):
            widget = QtWidgets.QApplication.focusWidget()
            places[widget] = QtWidgets.QWidget.mapTo(widget, panel.parent, QtCore.QPoint(0, 0))
            QtTest.QTest.keyClick(widget, QtCore.Qt.Key_Tab)
            if QtWidgets.QApplication.focusWidget() in places:
                return places
        raise AssertionError("the tabulator never comes round")

    return walk_


SAME_ROW = 8
"""Pixels between the upper edges of two controls of one row."""


def test_the_tabulator_goes_through_every_control_from_top_to_bottom(shell, panel, phantom, walk):
    """Through filled tables too, out of which it must come again."""
    from PySide6 import QtCore, QtWidgets

    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None and panel.ui.findingsTable.rowCount == 1, 120, "the finding")
    places = walk()
    inside = [place for widget, place in places.items() if panel.parent.isAncestorOf(widget)]
    upwards = [one.y() for one, next_ in pairwise(inside) if next_.y() < one.y() - SAME_ROW]
    assert len(upwards) <= 1  # from the last one round to the first
    reached = {*places, *(widget.parentWidget() for widget in places)}
    missed = [
        name
        for name, widget in controls(panel).items()
        if widget.visible
        and widget.enabled
        and QtWidgets.QWidget.focusPolicy(widget) & QtCore.Qt.TabFocus
        and widget not in reached
    ]
    assert missed == []


def test_a_key_starts_a_run_and_cancels_it(shell, panel, phantom):
    from PySide6 import QtCore, QtTest

    button, window = panel.ui.applyButton, panel.parent.window()
    assert button.shortcut.toString() == "Ctrl+Return"
    assert "(Ctrl+Return)" in button.toolTip
    window.activateWindow()
    button.setFocus()
    shell.process(0.2)
    for isRunning in (True, False):  # Qt draws the button pressed for a moment before it clicks
        QtTest.QTest.keyClick(window, QtCore.Qt.Key_Return, QtCore.Qt.ControlModifier)
        shell.waitUntil(lambda expected=isRunning: (panel.analysis is not None) == expected, 10)
    assert "Cancelled" in panel.ui.statusLabel.text


def test_closing_the_scene_leaves_no_label_of_the_old_one(shell, panel, phantom):
    import slicer

    from ICHSegmenterLib.errors import Failure

    panel.status.fail(Failure("failed", "the disk burns"))
    assert panel.ui.inputInfoLabel.text
    slicer.mrmlScene.Clear()
    shell.process()
    assert (panel.ui.inputInfoLabel.text, panel.ui.statusLabel.text) == ("", "")
    assert not panel.ui.noResultLabel.visible
    assert panel.ui.applyButton.toolTip == "Select a head CT"


def test_a_transform_is_described_as_soon_as_it_moves_the_volume(shell, panel, phantom):
    import slicer
    import vtk

    import scene_volumes

    shear = np.eye(4)
    shear[1, 2] = np.tan(np.radians(20.0))
    assert "gantry tilt" not in panel.ui.inputInfoLabel.text
    transformNode = scene_volumes.underTransform(phantom.volumeNode, np.eye(4))
    changed = vtk.vtkMatrix4x4()
    slicer.util.updateVTKMatrixFromArray(changed, shear)
    transformNode.SetMatrixTransformToParent(changed)
    shell.process()
    assert "gantry tilt 20.0°" in panel.ui.inputInfoLabel.text


def test_the_module_has_its_icon_in_a_source_checkout(panel):
    import slicer

    assert not slicer.modules.ichsegmenter.icon.isNull()


# ---- the sample


@pytest.fixture
def sample_data(panel, monkeypatch):
    """Slicer's own SampleData beside SLICER_BASE_PYTHON, if it is there, else that of the stand-in."""
    import slicer

    base = os.environ.get("SLICER_BASE_PYTHON")
    source = Path(base or ".").resolve().parents[1] / "Modules/Scripted/SampleData/SampleData.py"
    if not base or not source.is_file():
        source = REPOSITORY / "Testing/SlicerShell/core_modules/SampleData.py"
    spec = importlib.util.spec_from_file_location("SampleData", source)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "SampleData", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(slicer.modules, "sampledata", module, raising=False)
    monkeypatch.setattr(slicer.modules, "sampleDataSources", {}, raising=False)
    return module


def test_the_sample_is_loaded_from_python_by_its_name(panel, sample_data):
    import slicer

    from ICHSegmenterSlicer.scene import sample

    sample.register()
    node = sample_data.downloadSample("PhantomHeadCT")
    assert node.GetName() == "PhantomHeadCT"
    assert slicer.util.arrayFromVolume(node).shape == (26, 256, 256)


def test_a_click_on_the_sample_shows_it_in_a_brain_window(panel, sample_data):
    import slicer

    from ICHSegmenterSlicer.scene import sample
    from ICHSegmenterSlicer.views.slice_views import displayedVolume

    sample.register()
    sources = slicer.modules.sampleDataSources["Intracranial Hemorrhage"]
    [node] = sources[0].customDownloader(sources[0])
    assert (node.GetDisplayNode().GetWindow(), node.GetDisplayNode().GetLevel()) == (80, 40)
    assert displayedVolume() is node


def test_the_sample_file_is_what_the_formula_gives(panel):
    """`python Testing/sample_file.py` writes it anew."""
    import slicer

    from ICHSegmenterSlicer.scene import sample
    from ICHSegmenterSlicer.scene.volumes import geometryOf

    loaded, computed = sample.loadSample(), sample.addPhantom(pixels=256).volumeNode
    voxels = [slicer.util.arrayFromVolume(node).astype(int) for node in (loaded, computed)]
    assert np.abs(voxels[0] - voxels[1]).max() <= 1  # another machine may round another way
    assert_allclose(geometryOf(loaded).affine, geometryOf(computed).affine, atol=1e-6)
