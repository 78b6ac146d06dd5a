"""The modules that Slicer's Python has and no wheel brings: `qt`, `ctk`, the class names in `slicer`, Base/Python."""

import importlib
import os
import sys
import types
from pathlib import Path

import slicer
from PySide6 import QtWidgets

from SlicerShell import api, pythonqt
from SlicerShell.ui_loader import QUiLoader

OWN_BASE_PYTHON = Path(__file__).parent / "base_python"


def install():
    """Make `import qt`, `import ctk` and `slicer.ScriptedLoadableModule` work as in Slicer."""
    qt = _module("qt")
    for name, item in pythonqt.qtClasses():
        setattr(qt, name, item)
    qt.QUiLoader = QUiLoader
    for name in ("getOpenFileName", "getSaveFileName", "getOpenFileNames"):
        setattr(QtWidgets.QFileDialog, name, staticmethod(_pathOnly(getattr(QtWidgets.QFileDialog, name))))
    ctk = _module("ctk")
    ctk.__getattr__ = lambda name: _classOf("ctk", name)
    slicer.__dict__["__getattr__"] = lambda name: _classOf(("qMRML", "qSlicer"), name)
    for name in [n for n in vars(slicer.util) if vars(slicer).get(n) is vars(slicer.util)[n] and n[:1] != "_"]:
        delattr(slicer, name)  # the wheel copies slicer.util into slicer; Slicer does not
    slicer.modules, slicer.moduleNames = _module("slicer.modules"), _module("slicer.moduleNames")
    sys.modules["MRMLCorePython"] = sys.modules["slicer_core.MRMLCore"]
    _installBasePython()


def _installBasePython():
    """Slicer's own Base/Python if SLICER_BASE_PYTHON names it, else the small one of this folder."""
    folder = Path(os.environ.get("SLICER_BASE_PYTHON") or OWN_BASE_PYTHON)
    if not (folder / "slicer" / "ScriptedLoadableModule.py").is_file():
        raise FileNotFoundError(f"SLICER_BASE_PYTHON: {folder} has no slicer/ScriptedLoadableModule.py")
    slicer.__path__.append(str(folder / "slicer"))
    sys.path.append(str(folder))
    importlib.import_module("slicer.ScriptedLoadableModule")


def _module(name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    sys.modules[name] = module
    return module


def _classOf(prefix, name: str):
    if not name.startswith(prefix):
        raise AttributeError(f"Slicer's Python has no attribute {name} here")
    return api.classFor(name)


def _pathOnly(dialog):
    """PythonQt returns the path alone, not the chosen filter."""

    def call(*arguments):
        chosen = dialog(*arguments)[0]
        return tuple(chosen) if isinstance(chosen, list) else chosen

    return call
