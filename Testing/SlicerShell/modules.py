"""Modules: the C++ ones (only their logic) and scripted ones, with their widgets, and the module manager."""

import importlib.util
import sys
from pathlib import Path

import slicer
from PySide6 import QtWidgets

from SlicerShell import pythonqt
from SlicerShell.api import classFor, cxx, oracle

SEGMENT_EDITOR = Path(__file__).parent / "core_modules" / "SegmentEditor.py"


class qSlicerAbstractCoreModule(cxx("qSlicerAbstractCoreModule")):
    def logic(self):
        return self.__dict__.get("_shell_logic")


class qSlicerAbstractModule(cxx("qSlicerAbstractModule")):
    def widgetRepresentation(self):
        return None

    def createNewWidgetRepresentation(self):
        return None


class qSlicerScriptedLoadableModule(cxx("qSlicerScriptedLoadableModule")):
    """A module of one Python file: the class of its name is the module, `...Widget` its panel."""

    def widgetRepresentation(self):
        if self.__dict__.get("_shell_widget") is None:
            self._shell_widget = self.createNewWidgetRepresentation()
        return self._shell_widget

    def createNewWidgetRepresentation(self):
        return classFor("qSlicerScriptedLoadableModuleWidget")(self)


class qSlicerAbstractModuleWidget(cxx("qSlicerAbstractModuleWidget")):
    def module(self):
        return self.__dict__.get("_shell_module")

    def enter(self):
        self._shell_isEntered = True

    def exit(self):
        self._shell_isEntered = False


class qSlicerScriptedLoadableModuleWidget(cxx("qSlicerScriptedLoadableModuleWidget")):
    """The panel of a scripted module: its parent widget in C++, its Python object in self()."""

    def __init__(self, module):
        super().__init__()
        self._shell_module, self._shell_moduleName, self._python = module, module.name, None
        self.setObjectName(f"{module.name}ModuleWidget")
        self.setLayout(QtWidgets.QVBoxLayout())
        self.setMRMLScene(slicer.mrmlScene)
        self.reload()

    def self(self):
        return self._python

    def reload(self):
        name = self._shell_moduleName
        self._python = getattr(sys.modules[name], f"{name}Widget")(self)
        setattr(slicer.modules, f"{name}Widget", self._python)
        self._python.setup()

    def enter(self):
        super().enter()
        self._call("enter")

    def exit(self):
        super().exit()
        self._call("exit")

    def setEditedNode(self, node, role="", context=""):
        return bool(self._call("setEditedNode", node, role, context))

    def _call(self, method, *arguments):
        return getattr(self._python, method)(*arguments) if hasattr(self._python, method) else None


class qSlicerModuleFactoryManager(cxx("qSlicerModuleFactoryManager")):
    def loadedModuleNames(self):
        return tuple(slicer.app.moduleManager().modulesNames())

    registeredModuleNames = instantiatedModuleNames = loadedModuleNames

    def isLoaded(self, name):
        return name in self.loadedModuleNames()

    def loadedModule(self, name):
        return slicer.app.moduleManager().module(name)


class qSlicerModuleManager(cxx("qSlicerModuleManager")):
    def __init__(self):
        super().__init__()
        self._modules, self._factory = {}, classFor("qSlicerModuleFactoryManager")()

    def factoryManager(self):
        return self._factory

    def modulesNames(self):
        return tuple(self._modules)

    def module(self, name):
        return self._modules.get(name)

    def _add(self, name, module):
        self._modules[name] = module
        setattr(slicer.modules, name.lower(), module)
        setattr(slicer.moduleNames, name, name)
        self.moduleLoaded.emit(name)


def addCoreModules(manager, logics):
    """One module object for each logic: `slicer.modules.volumes.logic()`."""
    for name, logic in logics.items():
        if name == SEGMENT_EDITOR.stem:
            continue
        known = f"qSlicer{name}Module"
        module = classFor(known if known in oracle() else "qSlicerLoadableModule")()
        module._shell_name, module._shell_title, module._shell_logic = name, name, logic
        manager._add(name, module)
    load(manager, SEGMENT_EDITOR, logics[SEGMENT_EDITOR.stem])


def load(manager, path, logic=None):
    """Register the scripted module of a .py file, as Slicer does at start. Returns the module."""
    path = Path(path).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"No scripted module at {path}")
    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    source = importlib.util.module_from_spec(spec)
    sys.modules[name] = source
    spec.loader.exec_module(source)
    module = classFor("qSlicerScriptedLoadableModule")()
    module._shell_name, module._shell_path = name, str(path)
    module._shell_logic = logic or slicer.vtkSlicerScriptedLoadableModuleLogic()
    instance = getattr(source, name)(module)
    setattr(slicer.modules, f"{name}Instance", instance)
    manager._add(name, module)
    if hasattr(instance, "setup"):
        instance.setup()
    return module


def unload(manager):
    """Tell every scripted module that it goes: its widget's cleanup() runs."""
    for name, module in list(manager._modules.items()):
        if pythonqt.className(module) == "qSlicerScriptedLoadableModule":
            manager.moduleAboutToBeUnloaded.emit(name)
