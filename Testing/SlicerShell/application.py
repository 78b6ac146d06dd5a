"""slicer.app: the application object, its settings, extensions model and main window."""

import os
import platform
import sys
from pathlib import Path

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from SlicerShell import modules
from SlicerShell.api import classFor, cxx

VERSION = (5, 13, 0)
REVISION = "34000"
DOCUMENTATION_URL = "https://slicer.readthedocs.io/en/latest/"
WINDOW_PX = (1370, 900)


class qSlicerExtensionsManagerModel(cxx("qSlicerExtensionsManagerModel")):
    """Extensions that a test says are installed: `slicer.app.extensionsManagerModel()._installed.add("PyTorch")`."""

    def __init__(self):
        super().__init__()
        self._installed, self._requested = set(), []

    installedExtensions = property(lambda self: tuple(sorted(self._installed)))

    def isExtensionInstalled(self, name):
        return name in self._installed

    def isExtensionEnabled(self, name):
        return name in self._installed

    def installExtensionFromServer(self, name, restart=True, update=False):
        self._requested.append(name)
        return False  # no server here

    def updateExtensionsMetadataFromServer(self, force=False, waitForCompletion=False):
        return False


class qSlicerModuleSelectorToolBar(cxx("qSlicerModuleSelectorToolBar")):
    def __init__(self, parent=None):
        super().__init__(parent)
        self._current, self._panel = None, None

    selectedModule = property(lambda self: self._current.name if self._current else "")

    def selectModule(self, name):
        module = slicer.app.moduleManager().module(name)
        if module is None or module is self._current:
            return
        widget = module.widgetRepresentation()
        if self._current is not None and self._panel.widget() is not None:
            self._panel.takeWidget().hide()
            self._current.widgetRepresentation().exit()
        self._current = module
        if widget is not None:
            self._panel.setWidget(widget)
            widget.show()
            widget.enter()
        self.moduleSelected.emit(name)


class qSlicerMainWindow(cxx("qSlicerMainWindow")):
    """A dock with the module panel; the views are painted offscreen and only seen in screenshots."""

    def __init__(self):
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = classFor("qSlicerModuleSelectorToolBar")(self)
        self._selector.setObjectName("ModuleSelectorToolBar")
        self.addToolBar(self._selector)
        scroll = QtWidgets.QScrollArea()
        scroll.setWidgetResizable(True)
        self._selector._panel = scroll
        dock = QtWidgets.QDockWidget("Module panel")
        dock.setObjectName("PanelDockWidget")
        dock.setWidget(scroll)
        self.addDockWidget(QtCore.Qt.LeftDockWidgetArea, dock)
        self.setCentralWidget(QtWidgets.QFrame())
        self.statusBar()

    def moduleSelector(self):
        return self._selector


class qSlicerApplication(cxx("qSlicerApplication")):
    def _boot(self, core, home, temporary, window):
        self._core, self._home, self._temporary = core, home, temporary
        self._modules = classFor("qSlicerModuleManager")()
        self._io, self._extensions = classFor("qSlicerIOManager")(), classFor("qSlicerExtensionsManagerModel")()
        self._options = classFor("qSlicerCommandOptions")()
        self._testing, self._settings, self._layout, self._exitCode = True, QtCore.QSettings(), None, None
        self._environment = QtCore.QProcessEnvironment.systemEnvironment()
        if window:
            self._layout = classFor("qSlicerLayoutManager")()
            self._layout._setCore(core)
            self._window = classFor("qSlicerMainWindow")()
            self._window.resize(*WINDOW_PX)
            self._window.show()
        modules.addCoreModules(self._modules, core.logics)

    slicerHome = property(lambda self: str(self._home))
    temporaryPath = property(lambda self: str(self._temporary))
    slicerSharePath = property(lambda self: self._core.application.GetShareDirectory())
    majorVersion, minorVersion = property(lambda self: VERSION[0]), property(lambda self: VERSION[1])
    mainApplicationMajorVersion, mainApplicationMinorVersion = majorVersion, minorVersion
    revision = repositoryRevision = mainApplicationRevision = property(lambda self: REVISION)
    mainApplicationName = property(lambda self: "Slicer")
    os = property(lambda self: {"Darwin": "macosx", "Windows": "win"}.get(platform.system(), "linux"))
    arch = property(lambda self: "amd64")
    documentationBaseUrl = property(lambda self: DOCUMENTATION_URL)
    slicerUserSettingsFilePath = property(lambda self: self._settings.fileName())
    isInstalled = property(lambda self: True)
    startupWorkingPath = property(lambda self: os.getcwd())

    def mrmlScene(self):
        return slicer.mrmlScene

    def applicationLogic(self):
        return self._core.application

    def moduleLogic(self, name):
        return self._modules.module(name).logic()

    def moduleManager(self):
        return self._modules

    def layoutManager(self):
        return self._layout

    def ioManager(self):
        return self._io

    coreIOManager = ioManager

    def extensionsManagerModel(self):
        return self._extensions

    def commandOptions(self):
        return self._options

    def testingEnabled(self):
        return self._testing

    def userSettings(self):
        return self._settings

    settings = revisionUserSettings = userSettings

    def startupEnvironment(self):
        return self._environment

    def environment(self):
        return QtCore.QProcessEnvironment.systemEnvironment()

    def setEnvironmentVariable(self, name, value):
        os.environ[name] = value

    def moduleDocumentationUrl(self, name):
        return f"{DOCUMENTATION_URL}user_guide/modules/{name.lower()}.html"

    def processEvents(self, *arguments):
        QtWidgets.QApplication.processEvents(*arguments)

    def pauseRender(self):
        """The stand-in paints only when asked."""

    resumeRender = pauseRender

    def pythonConsole(self):
        return None

    def exit(self, code=0):
        self._exitCode = code
        QtWidgets.QApplication.exit(code)


def preparePaths(home: Path):
    """Slicer's bin folder with PythonSlicer: as in Slicer a launcher, whose child is the real Python."""
    launcher = home / "bin" / "PythonSlicer"
    launcher.parent.mkdir(parents=True, exist_ok=True)
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n', encoding="utf-8")
    launcher.chmod(0o755)
    os.environ["PATH"] = f"{launcher.parent}{os.pathsep}{os.environ.get('PATH', '')}"


def prepareSettings(folder: Path):
    """QSettings() writes below `folder`, never into the user's own settings."""
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
    QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, str(folder))
    QtCore.QCoreApplication.setOrganizationName("NA-MIC")
    QtCore.QCoreApplication.setApplicationName("Slicer")
    QtCore.QCoreApplication.setApplicationVersion(".".join(map(str, VERSION)))
    QtCore.QCoreApplication.setAttribute(QtCore.Qt.AA_DontUseNativeDialogs)  # keys of a test reach Qt's own


def lightPalette() -> QtGui.QPalette:
    """The colors of Slicer's light style, alike on every machine."""
    palette = QtGui.QPalette(QtGui.QColor("#f0f0f0"))
    palette.setColor(QtGui.QPalette.Base, QtGui.QColor("#ffffff"))
    palette.setColor(QtGui.QPalette.AlternateBase, QtGui.QColor("#f6f6f6"))
    palette.setColor(QtGui.QPalette.Highlight, QtGui.QColor("#3d7ab8"))
    palette.setColor(QtGui.QPalette.HighlightedText, QtGui.QColor("#ffffff"))
    palette.setColor(QtGui.QPalette.Link, QtGui.QColor("#0000ff"))
    return palette


def darkPalette() -> QtGui.QPalette:
    """The colors of Slicer's dark style."""
    palette = QtGui.QPalette(QtGui.QColor("#353535"))
    for role, color in (
        (QtGui.QPalette.Window, "#353535"),
        (QtGui.QPalette.WindowText, "#ffffff"),
        (QtGui.QPalette.Base, "#2a2a2a"),
        (QtGui.QPalette.AlternateBase, "#424242"),
        (QtGui.QPalette.ToolTipBase, "#353535"),
        (QtGui.QPalette.ToolTipText, "#ffffff"),
        (QtGui.QPalette.Text, "#ffffff"),
        (QtGui.QPalette.Button, "#353535"),
        (QtGui.QPalette.ButtonText, "#ffffff"),
        (QtGui.QPalette.Highlight, "#2a82da"),
        (QtGui.QPalette.HighlightedText, "#ffffff"),
        (QtGui.QPalette.Link, "#3ca4ff"),
    ):
        palette.setColor(role, QtGui.QColor(color))
    for role in (QtGui.QPalette.WindowText, QtGui.QPalette.Text, QtGui.QPalette.ButtonText):
        palette.setColor(QtGui.QPalette.Disabled, role, QtGui.QColor("#7f7f7f"))
    return palette


def shutDown(app):
    """Say that the program ends, unload the modules, so that their widgets clean up, and empty the scene."""
    QtCore.QTimer.singleShot(0, app.quit)
    app.exec()  # Qt alone can send aboutToQuit, at the end of this loop; Slicer too does so before it unloads
    modules.unload(app.moduleManager())
    app.processEvents()
    slicer.mrmlScene.Clear(False)  # the view nodes stay: removing them crashes their managers
    app.processEvents()
