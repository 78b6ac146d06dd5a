"""The Shell: what a test holds to drive the stand-in."""

import atexit
import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import slicer

from SlicerShell import api, pythonqt

_running = None

LAYOUT_S = 1.0
"""How long a click waits for a widget that has no height yet."""


class Shell:
    """The one running stand-in. `app` is slicer.app; `errors` the tracebacks that Slicer would only print."""

    def __init__(self, window):
        self._folder = Path(tempfile.mkdtemp(prefix="slicer-shell-"))
        self._closed = False
        atexit.register(self.close)
        home, temporary = self._folder / "home", self._folder / "temp"
        home.mkdir()
        temporary.mkdir()
        pythonqt.install()
        from SlicerShell import application, python_modules

        application.prepareSettings(self._folder)
        application.preparePaths(home)
        from SlicerShell import ctk_widgets, file_io, layout, mrml_widgets, segment_widgets  # noqa: F401
        from SlicerShell.scene import SceneCore

        self.app = slicer.app = api.classFor("qSlicerApplication")([])
        self.app.setStyle("Fusion")
        self.app.setPalette(application.lightPalette())
        python_modules.install()
        self.app._boot(SceneCore(home, temporary), home, temporary, window)
        self.errors, self.inertCalls = pythonqt.errors, api.inert_calls

    @staticmethod
    def start(window=True):
        global _running
        if _running is None:
            _running = Shell(window)
        return _running

    def loadModule(self, path):
        """Register a scripted module's .py file; `slicer.modules.<name>` then exists."""
        from SlicerShell import modules

        module = modules.load(self.app.moduleManager(), path)
        self.app.startupCompleted.emit()  # Slicer sends it once, after the last module
        return module

    def openModule(self, name):
        """Show the module's panel, as choosing it in the menu does. Returns its Python widget."""
        slicer.util.selectModule(name)
        self.process()
        return slicer.util.getModuleWidget(name)

    def process(self, seconds=0.0):
        """Let events run, for `seconds` at least."""
        end = time.monotonic() + seconds
        self.app.processEvents()
        while time.monotonic() < end:
            self.app.processEvents()
            time.sleep(0.005)

    def waitUntil(self, condition, seconds=30.0, what=""):
        """Run the event loop until condition() is true; TimeoutError after `seconds`."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"{what or 'the condition'} was not true within {seconds} s; errors: {self.errors}")
            self.app.processEvents()
            time.sleep(0.005)

    def click(self, widget):
        """A real mouse click in the middle of a button, or of the box of a check box, beside which a wide one is deaf.

        A disabled or hidden widget ignores it.
        """
        from PySide6 import QtCore, QtTest, QtWidgets

        end = time.monotonic() + LAYOUT_S
        while QtWidgets.QWidget.isVisible(widget) and not QtWidgets.QWidget.height(widget) and time.monotonic() < end:
            self.app.processEvents()  # just shown: its layout has not been done yet, and nobody can have seen it
        position = QtCore.QPoint()  # none: the middle
        if isinstance(widget, QtWidgets.QCheckBox):
            option = QtWidgets.QStyleOptionButton()
            widget.initStyleOption(option)
            box = QtWidgets.QStyle.SubElement.SE_CheckBoxIndicator
            position = widget.style().subElementRect(box, option, widget).center()
        QtTest.QTest.mouseClick(widget, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, position)
        self.app.processEvents()

    def chooseEntry(self, comboBox, index):
        """A click that opens the list of a combo box, and another on an entry."""
        from PySide6 import QtCore, QtTest, QtWidgets

        self.click(comboBox)
        entries = QtWidgets.QComboBox.view(comboBox)
        self.waitUntil(lambda: QtWidgets.QWidget.isVisible(entries), LAYOUT_S, "the list of the combo box")
        # The list ignores the end of a click that began before it was there, by a timer that may be 5 % late.
        self.process(1.2 * QtWidgets.QApplication.doubleClickInterval() / 1000)
        place = entries.visualRect(entries.model().index(index, QtWidgets.QComboBox.modelColumn(comboBox))).center()
        QtTest.QTest.mouseClick(entries.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, place)
        self.waitUntil(lambda: not QtWidgets.QWidget.isVisible(entries), LAYOUT_S, "the end of the list")

    @contextlib.contextmanager
    def fileDialog(self, *paths):
        """Type paths into the file dialog that opens meanwhile, and press Return; without paths, Escape.

        Raises:
            AssertionError: None opened, or it did not take the paths.
        """
        from PySide6 import QtCore, QtTest, QtWidgets

        answered, refused = [], []

        def answer():
            dialog = QtWidgets.QApplication.activeModalWidget()
            if not isinstance(dialog, QtWidgets.QFileDialog):
                return
            line = dialog.findChild(QtWidgets.QLineEdit, "fileNameEdit")
            dialog.activateWindow()
            line.setFocus()
            if not QtWidgets.QWidget.hasFocus(line):  # the dialog writes into it what is marked in its list
                return
            typing.stop()
            giving_up.start()  # Return may open a message why it does not take the path
            answered.append(dialog)
            line.selectAll()
            if paths:
                QtTest.QTest.keyClicks(line, " ".join(f'"{path}"' for path in paths) if paths[1:] else str(paths[0]))
            QtTest.QTest.keyClick(line, QtCore.Qt.Key_Return if paths else QtCore.Qt.Key_Escape)

        def give_up():
            dialog = QtWidgets.QApplication.activeModalWidget()
            if dialog is not None and answered[0] in (dialog, QtWidgets.QWidget.parentWidget(dialog)):
                refused.append(dialog)
                QtWidgets.QDialog.reject(dialog)

        typing, giving_up = QtCore.QTimer(), QtCore.QTimer()
        for timer, slot in ((typing, answer), (giving_up, give_up)):
            timer.setInterval(50)
            timer.timeout.connect(pythonqt.guarded(slot))
        typing.start()
        try:
            yield
        finally:
            typing.stop()
            giving_up.stop()
        assert answered, "no file dialog opened"
        assert not refused, f"the file dialog did not take {', '.join(map(str, paths))}"

    def drop(self, widget, paths, text=""):
        """Drag files over a widget and let go; returns whether it takes them."""
        from PySide6 import QtCore, QtGui, QtWidgets

        data = QtCore.QMimeData()
        data.setUrls([QtCore.QUrl.fromLocalFile(str(path)) for path in paths])
        data.setText(text)
        point, copy, left = QtCore.QPoint(2, 2), QtCore.Qt.CopyAction, QtCore.Qt.LeftButton
        enter = QtGui.QDragEnterEvent(point, copy, data, left, QtCore.Qt.NoModifier)
        QtWidgets.QApplication.sendEvent(widget, enter)
        if enter.isAccepted():
            event = QtGui.QDropEvent(QtCore.QPointF(point), copy, data, left, QtCore.Qt.NoModifier)
            QtWidgets.QApplication.sendEvent(widget, event)
        self.process()
        return enter.isAccepted()

    def clickInView(self, name, ras):
        """A mouse click in the slice view "Red", "Yellow" or "Green", at a point (RAS, mm) to which it jumps first."""
        view = slicer.app.layoutManager().sliceWidget(name).sliceView()
        view.mrmlSliceNode().JumpSliceByOffsetting(*(float(coordinate) for coordinate in ras))
        view._painter().click([float(coordinate) for coordinate in ras])
        self.process()

    def screenshot(self, path, panel=None, **options):
        """Write a PNG: the panel at the left, Red, 3D, Green and Yellow views at the right."""
        from SlicerShell.screenshot import compose

        return compose(path, panel, **options)

    def panelPicture(self, path, panel, width):
        """Write a PNG of the panel alone, as wide as the dock would be and as tall as it needs to be."""
        from SlicerShell.screenshot import panelAlone

        return panelAlone(path, panel, width)

    def theme(self, name):
        """Take the "light" or the "dark" style."""
        from PySide6 import QtWidgets

        from SlicerShell import application

        palettes = {"light": application.lightPalette, "dark": application.darkPalette}
        self.app.setPalette(palettes[name]())
        for label in self.app.allWidgets():  # rich text takes the color of links when it is set
            if isinstance(label, QtWidgets.QLabel) and label.text:
                text = label.text
                label.setText("")
                label.setText(text)
        self.process()

    def reset(self):
        """Close scene and menus, forget settings and errors: the state between two tests."""
        from PySide6 import QtWidgets

        # A click of QtTest goes to its widget past an open menu, which takes the keys of the window meanwhile.
        while QtWidgets.QApplication.activePopupWidget() is not None:
            QtWidgets.QApplication.activePopupWidget().close()
        slicer.mrmlScene.Clear(False)
        self.app.userSettings().clear()
        self.process()
        self.errors.clear()
        self.inertCalls.clear()

    def endProcess(self):
        """End a script, with the errors if there were any; Qt and VTK would be torn down in an order of their own."""
        if self.errors:
            sys.exit("\n".join(self.errors))
        sys.stdout.flush()
        os._exit(0)

    def close(self):
        """Unload the modules and end, once."""
        from SlicerShell import application

        if not self._closed:
            self._closed = True
            application.shutDown(self.app)
            shutil.rmtree(self._folder, ignore_errors=True)
