"""The stand-in for desktop Slicer behaves as Slicer's Python does where the module's tests rely on it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
DEMO = Path(__file__).parent / "demo_module" / "ShellDemo.py"


@pytest.fixture
def demo(shell):
    import slicer

    if not hasattr(slicer.modules, "shelldemo"):
        shell.loadModule(DEMO)
    return shell.openModule("ShellDemo")


@pytest.fixture
def ct(shell):
    """A small volume of 0 HU with a box of 100 HU: 4 x 5 x 6 = 120 voxels."""
    import slicer

    array = np.zeros((20, 30, 40), np.int16)
    array[8:12, 10:15, 20:26] = 100
    return slicer.util.addVolumeFromArray(array, name="CT")


def test_a_disabled_button_ignores_the_click(shell, demo):
    import slicer

    assert not demo.ui.applyButton.enabled
    shell.click(demo.ui.applyButton)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_a_click_reaches_the_box_of_a_wide_check_box(shell):
    import qt

    box = qt.QCheckBox("short")
    box.setFixedSize(900, 24)
    box.show()
    shell.click(box)
    assert box.checked


def test_a_mouse_click_makes_an_exact_segment(shell, ct, demo):
    import slicer

    demo.ui.volumeSelector.setCurrentNode(ct)
    assert demo.parameters.volume is ct
    shell.click(demo.ui.applyButton)
    node = slicer.util.getNode("Demo")
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, "bright", ct) > 0
    assert mask.sum() == 120
    assert (slicer.util.arrayFromVolume(ct)[mask] == 100).all()
    assert demo.ui.segmentsTable.displayedSegmentIDs() == ("bright",)
    assert demo.ui.resultLabel.text == "1 segment(s)"


def test_parameters_and_widgets_follow_each_other(shell, ct, demo):
    demo.ui.thresholdSlider.value = 123
    demo.ui.modeSelector.currentIndex = 1
    demo.ui.nameEdit.text = "dark"
    assert (demo.parameters.threshold, demo.parameters.mode.name, demo.parameters.name) == (123.0, "BELOW", "dark")
    demo.parameters.threshold = 7
    demo.parameters.smooth = True
    assert demo.ui.thresholdSlider.value == 7
    assert demo.ui.smoothBox.checked
    with pytest.raises(ValueError, match="5000"):
        demo.parameters.threshold = 5000


def test_a_misspelled_attribute_raises(shell, demo):
    with pytest.raises(AttributeError, match="creating new attributes on C\\+\\+ objects is not allowed"):
        demo.ui.applyButton.txt = "Go"
    with pytest.raises(AttributeError, match="creating new attributes"):
        demo.ui.volumeSelector.noneEnable = True


def test_a_name_that_slicers_python_does_not_see_raises(shell, demo):
    import ctk
    import slicer

    with pytest.raises(AttributeError):
        demo.ui.thresholdSlider.setRange(0, 1)
    with pytest.raises(AttributeError):
        ctk.ctkNoSuchWidget  # noqa: B018
    with pytest.raises(AttributeError):
        slicer.getNode  # noqa: B018 (the wheel has it, Slicer does not)
    with pytest.raises(ValueError, match="no signal"):
        demo.ui.applyButton.connect("clickd()", print)
    with pytest.raises(TypeError):
        demo.ui.applyButton.text()


def test_the_scene_survives_an_mrb_file(shell, ct, demo, tmp_path):
    import slicer

    demo.ui.volumeSelector.setCurrentNode(ct)
    demo.ui.thresholdSlider.value = 55
    shell.click(demo.ui.applyButton)
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(False)
    assert not demo.ui.applyButton.enabled
    slicer.util.loadScene(path)
    shell.process()
    assert demo.parameters.threshold == 55
    assert demo.ui.volumeSelector.currentNode().GetName() == "CT"
    loaded = slicer.util.getNode("Demo")
    assert (slicer.util.arrayFromSegmentBinaryLabelmap(loaded, "bright") > 0).sum() == 120


def test_a_process_talks_over_its_pipes(shell):
    import qt
    import slicer

    received, ends = [], []
    process = qt.QProcess()
    process.connect(
        "readyReadStandardOutput()", lambda: received.append(process.readAllStandardOutput().data().decode())
    )
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ends.append((code, status)))
    script = "import sys; print(sys.stdin.readline().strip().upper(), flush=True); sys.exit(3)"
    process.start(f"{slicer.app.slicerHome}/bin/PythonSlicer", ["-u", "-c", script])
    assert process.waitForStarted()
    process.write(b"hello\n")
    shell.waitUntil(lambda: ends, 20, "the process ended")
    assert "".join(received) == "HELLO\n"
    assert ends == [(3, qt.QProcess.NormalExit)]


def test_an_exception_in_a_slot_is_recorded(shell):
    import qt

    def fail():
        raise RuntimeError("on purpose")

    button = qt.QPushButton("x")
    button.connect("clicked()", fail)
    shell.click(button)
    assert "on purpose" in shell.errors[-1]
    shell.errors.clear()


def test_a_slot_gets_as_many_arguments_as_it_takes(shell):
    import qt

    seen = []
    box = qt.QSpinBox()
    box.connect("valueChanged(int)", lambda: seen.append("none"))
    box.connect("valueChanged(int)", lambda value: seen.append(value))
    box.valueChanged.connect(lambda value: seen.append(-value))
    box.value = 4
    assert seen == ["none", 4, -4]


def test_the_views_show_the_segment_in_its_color(shell, ct, demo, tmp_path):
    import slicer

    demo.ui.volumeSelector.setCurrentNode(ct)
    shell.click(demo.ui.applyButton)
    slicer.util.setSliceViewerLayers(background=ct, fit=True)
    for name in slicer.app.layoutManager().sliceViewNames():
        slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode().JumpSliceByOffsetting(22, 12, 10)
    picture = shell.screenshot(tmp_path / "views.png", panel=demo.parent, size=(1200, 600), panel_width=400)
    assert (tmp_path / "views.png").stat().st_size > 0
    red_view = [picture.pixelColor(x, y) for x in range(405, 800, 4) for y in range(25, 295, 4)]
    assert any(c.red() > 120 and c.red() > 1.5 * c.green() for c in red_view)


def test_a_script_gets_its_arguments_and_sets_the_exit_code(shell, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys, slicer\nprint(sys.argv[1:], slicer.app.layoutManager())\nslicer.util.exit(4)\n")
    command = [sys.executable, "-m", "SlicerShell", "--no-splash", "--no-main-window", "--python-script", str(script)]
    command += ["--", "--input", "a b"]
    done = subprocess.run(command, cwd=REPOSITORY / "Testing", capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "['--input', 'a b'] None", done.stderr
    assert done.returncode == 4


def test_a_single_shot_timer_calls_any_function(shell):
    import qt

    seen = []
    qt.QTimer.singleShot(0, lambda: qt.QTimer.singleShot(20, lambda: seen.append("later")))
    shell.waitUntil(lambda: seen, 5, "the timer")


def test_the_segment_editor_opens_with_the_chosen_nodes(shell, ct):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Bleed")
    editor_node = slicer.vtkMRMLSegmentEditorNode()
    editor_node.SetSingletonTag("SegmentEditor")
    editor_node = slicer.mrmlScene.AddNode(editor_node)
    editor_node.SetAndObserveSegmentationNode(node)
    editor_node.SetAndObserveSourceVolumeNode(ct)
    editor = shell.openModule("SegmentEditor").editor
    assert editor.segmentationNode() is node
    assert editor.sourceVolumeNode() is ct


def test_a_call_without_behavior_is_noticed(shell):
    import slicer

    slicer.qMRMLPlotView().fitToContent()
    assert shell.inertCalls == ["qMRMLPlotView.fitToContent"]
    shell.inertCalls.clear()


def test_the_node_selector_follows_the_scene(shell, ct):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(slicer.mrmlScene)
    assert selector.currentNode() is None  # never chosen because it exists
    changes = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", changes.append)
    selector.connect("currentNodeChanged(bool)", changes.append)
    selector.setCurrentNode(ct)
    assert changes == [ct, True]
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Other")
    slicer.mrmlScene.RemoveNode(ct)
    assert selector.currentNode() is other  # the last node takes the place of a removed one


def test_a_constructor_takes_no_keywords(shell):
    import qt

    with pytest.raises(TypeError, match="keyword"):
        qt.QPushButton(text="Go")


def test_a_module_reloads_into_its_panel(shell, demo):
    import slicer

    demo.onReload()
    shell.process()
    reloaded = slicer.util.getModuleWidget("ShellDemo")
    assert reloaded is not demo
    assert demo.parameters is None  # its cleanup ran
    assert reloaded.ui.applyButton.visible


def test_a_menu_that_a_test_leaves_open_takes_no_keys_of_the_next(shell):
    import qt
    import slicer
    from PySide6 import QtCore, QtTest, QtWidgets

    window, pressed = slicer.util.mainWindow(), []
    shortcut = qt.QShortcut(qt.QKeySequence("F9"), window)
    shortcut.connect("activated()", lambda: pressed.append("F9"))

    def press():
        window.activateWindow()
        shell.process(0.1)
        QtTest.QTest.keyClick(window, QtCore.Qt.Key_F9)
        shell.process()
        return len(pressed)

    menu = qt.QMenu(window)
    menu.addAction("Entry")
    menu.popup(qt.QPoint(10, 10))
    shell.process()
    assert QtWidgets.QApplication.activePopupWidget() is not None
    assert press() == 0
    shell.reset()
    assert QtWidgets.QApplication.activePopupWidget() is None
    assert press() == 1
    shortcut.setEnabled(False)
