"""A parameter node as an object with typed members, bound to widgets by the property SlicerParameterName.

Members: str, int, float, bool, pathlib.Path, enum.Enum and MRML nodes (also `Node | None`), with Annotated defaults,
validators, decimals and steps. Stored in the node as Slicer stores them.
"""

import types
import typing

import qt
import slicer
import vtk

from .annotations import (
    Choice,
    Decimals,
    Default,
    Exclude,
    IsInstance,
    Maximum,
    Minimum,
    NotNone,
    SingleStep,
    Validator,
    WithinRange,
)
from .connectors import createGuiConnector
from .storage import storageFor

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "IsInstance",
    "Maximum",
    "Minimum",
    "NotNone",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "findChildWidgetForParameter",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]

SlicerParameterNamePropertyName = "SlicerParameterName"


class _Member:
    """One typed member of a wrapper class: a Python property over the parameter node."""

    def __init__(self, name, hint, classDefault):
        self.name, self.hint = name, hint
        self.type, *self.annotations = typing.get_args(typing.Annotated[hint, None])
        self.annotations.pop()
        self.storage = storageFor(self.type)
        given = next((a for a in self.annotations if isinstance(a, Default)), None)
        self.default = Default(classDefault) if classDefault is not None else given or Default(self.storage.empty())

    def read(self, wrapper):
        node = wrapper.parameterNode
        if not self.storage.isIn(node, self.name):
            self.storage.write(node, self.name, self.default.value)
        return self.storage.read(node, self.name)

    def write(self, wrapper, value):
        self.storage.check(value)
        for validator in self.annotations:
            if isinstance(validator, type) and issubclass(validator, Validator):
                validator = validator()
            if isinstance(validator, Validator):
                validator.validate(value)
        with slicer.util.NodeModify(wrapper.parameterNode):
            self.storage.write(wrapper.parameterNode, self.name, value)

    def property(self):
        return property(self.read, self.write)


class _Wrapper:
    """What every decorated class can do."""

    def __init__(self, parameterNode, prefix=None):
        self.parameterNode = parameterNode
        self._guis, self._updating = {}, False
        for member in self.allParameters.values():
            if not member.storage.isIn(parameterNode, member.name):
                member.write(self, member.default.value)

    def getValue(self, name):
        return self._member(name).read(self)

    def setValue(self, name, value):
        self._member(name).write(self, value)

    def default(self, name):
        return self._member(name).default

    @classmethod
    def dataType(cls, name):
        return cls._member(name).hint

    @classmethod
    def _member(cls, name):
        if name not in cls.allParameters:
            raise ValueError(f"There is no parameter '{name}'; there are {', '.join(cls.allParameters)}")
        return cls.allParameters[name]

    def connectGui(self, gui):
        if getattr(gui, "isWidgetType", lambda: False)():
            widgets = gui.findChildren(qt.QWidget)
        else:
            widgets = vars(gui).values()
        named = {w.property(SlicerParameterNamePropertyName): w for w in widgets}
        return self.connectParametersToGui({name: w for name, w in named.items() if name})

    def connectParametersToGui(self, mapping):
        connectors = {name: createGuiConnector(w, self._member(name)) for name, w in mapping.items()}
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.connect(self._guiCallback(name, connector))
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._updateGui())
        tag = max(self._guis, default=-1) + 1
        self._guis[tag] = (connectors, observer)
        return tag

    def disconnectGui(self, tag):
        connectors, observer = self._guis.pop(tag, ({}, None))
        for connector in connectors.values():
            connector.disconnect()
        if observer is not None:
            self.RemoveObserver(observer)

    def _guiCallback(self, name, connector):
        def changed():
            if not self._updating:
                self.setValue(name, connector.read())

        return changed

    def _updateGui(self):
        if self._updating:
            return
        self._updating = True
        try:
            for connectors, _ in self._guis.values():
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._updating = False

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified):
        return self.parameterNode.EndModify(wasModified)

    def Modified(self):
        self.parameterNode.Modified()

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        self.parameterNode.RemoveObserver(tag)


def parameterNodeWrapper(classtype=None):
    """Class decorator: turns the type hints of the class into members of the parameter node."""
    if classtype is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(classtype, include_extras=True)
    reserved = [name for name in hints if hasattr(_Wrapper, name) or name in ("parameterNode", "allParameters")]
    if reserved:
        raise ValueError(f"Cannot use reserved name '{reserved[0]}' in a parameterNodeWrapper")
    members = {name: _Member(name, _plainUnion(hint), getattr(classtype, name, None)) for name, hint in hints.items()}
    for name, member in members.items():
        setattr(classtype, name, member.property())
    own = {n: v for n, v in vars(_Wrapper).items() if not n.startswith("__") or n == "__init__"}
    for name, value in own.items():
        setattr(classtype, name, value)
    classtype.allParameters, classtype._is_parameter_node_wrapper = members, True
    return classtype


def _plainUnion(hint):
    return typing.Union[tuple(typing.get_args(hint))] if isinstance(hint, types.UnionType) else hint  # noqa: UP007


def isParameterNodeWrapper(classOrObject):
    return getattr(classOrObject, "_is_parameter_node_wrapper", False)


def findChildWidgetForParameter(widget, parameter):
    widgets = widget.findChildren(qt.QWidget)
    return next((w for w in widgets if w.property(SlicerParameterNamePropertyName) == parameter), None)
