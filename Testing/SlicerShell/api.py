"""Classes of Slicer and CTK made from the API oracle: exactly the names that Slicer's Python can see.

`cxx(name)` gives a class with the properties, slots, invokables, signals and enums of the C++ class. Properties keep
their value; methods do nothing and are noted in `inert_calls`, so that a test cannot pass on behavior that nobody
wrote. A stand-in derives from it and writes the behavior: `class ctkSliderWidget(cxx("ctkSliderWidget"))`.
"""

import functools
import gzip
import json
import re

from PySide6 import QtCore, QtGui, QtWidgets

from SlicerShell import pythonqt
from SlicerShell.requirements import NAMES

# Added to the C++ classes by Slicer's PythonQt decorators (q*PythonQtDecorators.h), which the oracle does not read.
DECORATED = {
    "qSlicerCoreApplication": ("testingEnabled", "processEvents", "sendEvent"),
    "qSlicerAbstractCoreModule": ("logic",),
    "qSlicerAbstractModule": ("widgetRepresentation", "createNewWidgetRepresentation"),
    "qSlicerAbstractModuleWidget": ("module", "mrmlScene"),
    "qSlicerWidget": ("mrmlScene",),
}
DEFAULTS = {"bool": False, "int": 0, "double": 0.0, "QString": "", "QStringList": ()}

inert_calls: list[str] = []  # "class.method" of every stand-in call that did nothing
_generated: dict[str, type] = {}
_behavior: dict[str, type] = {}


@functools.cache
def oracle() -> dict:
    """Class to base, properties, slots, invokables, signals and enums."""
    return json.loads(gzip.decompress(NAMES.read_bytes()))


def classFor(name: str) -> type:
    """The stand-in with behavior where one is written, else the inert class. AttributeError if there is none."""
    if name not in oracle():
        raise AttributeError(f"Slicer's Python has no class {name}")
    return _behavior.get(name) or cxx(name)


def cxx(name: str) -> type:
    """The inert class of a C++ class."""
    if name not in _generated:
        base = _base(oracle()[name]["base"])
        namespace = {**_signals(name), **_methods(name), **_properties(name), **oracle()[name]["enums"]}
        namespace.update(__init_subclass__=classmethod(_register), __doc__=f"{name} without behavior.")
        namespace["_shellSignals"] = _signalTable(name)
        if not hasattr(base, "_shellProperties"):
            namespace.update(setProperty=_setProperty, property=_property)
        namespace["_shellProperties"] = frozenset(oracle()[name]["props"]) | getattr(
            base, "_shellProperties", frozenset()
        )
        _generated[name] = type(base)(name, (base,), namespace)
        pythonqt.cpp_classes.add(_generated[name])
    return _generated[name]


def _base(name: str) -> type:
    if name in oracle():
        return classFor(name)
    for module in (QtWidgets, QtGui, QtCore):
        if hasattr(module, name):
            return getattr(module, name)
    return QtCore.QObject


def _register(cls, **options):
    """A stand-in has the C++ name, and shows nothing that the C++ class does not show."""
    parent = cls.__mro__[1]
    if cls.__name__ != parent.__name__ or cls.__name__ not in oracle():
        return  # an ordinary Python subclass in a module or a test
    visible = visibleNames(cls.__name__)
    qt = next(c for c in cls.__mro__ if c.__module__.startswith("PySide6"))
    extra = [
        n
        for n in cls.__dict__
        if not n.startswith("_") and n not in visible and not hasattr(qt, n) and n != "staticMetaObject"
    ]
    if extra:
        raise TypeError(f"{cls.__name__}: Slicer's Python does not see {', '.join(extra)}")
    _behavior[cls.__name__] = cls
    pythonqt.cpp_classes.add(cls)


def visibleNames(name: str) -> set[str]:
    names: set[str] = set()
    while name in oracle():
        entry = oracle()[name]
        names.update(entry["props"], entry["enums"], DECORATED.get(name, ()))
        names.update(s.split("(")[0] for s in entry["slots"] + entry["invokable"] + entry["signals"])
        name = entry["base"]
    return names


def _normalizedSignals(name: str) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for signature in oracle()[name]["signals"]:
        head, inside = signature.rstrip(")").split("(", 1)
        types = [
            re.sub(r"\s+\w+$", "", part.split("=")[0].strip()) if " " in part.split("=")[0].strip() else part
            for part in inside.split(",")
            if part.strip()
        ]
        wanted = pythonqt.normalized(f"{head}({','.join(types)})").replace("* ", "*")
        table.setdefault(head, []).append(wanted)
    return table


def _signalTable(name: str) -> dict[str, dict[str, tuple[str, int]]]:
    """Signal name -> {normalized signature: (attribute, number of arguments)}."""
    table = {}
    for head, signatures in _normalizedSignals(name).items():
        table[head] = {}
        for index, signature in enumerate(signatures):
            inside = signature.rstrip(")").split("(", 1)[1]
            attribute = head if index == 0 else f"_{head}{index}"
            table[head][signature] = (attribute, len(inside.split(",")) if inside else 0)
    return table


def _signals(name: str) -> dict[str, QtCore.Signal]:
    made = {}
    for variants in _signalTable(name).values():
        for signature, (attribute, _) in variants.items():
            inside = signature.rstrip(")").split("(", 1)[1]
            types = [pythonqt.PRIMITIVES.get(t, object) for t in inside.split(",")] if inside else []
            made[attribute] = QtCore.Signal(*types)
    return made


def _methods(name: str) -> dict:
    entry = oracle()[name]
    names = {s.split("(")[0] for s in entry["slots"] + entry["invokable"]} | set(DECORATED.get(name, ()))
    return {n: _method(name, n, entry["props"]) for n in names if n.isidentifier() and n not in ("self",)}


def _method(cls: str, name: str, properties):
    target = name[3:4].lower() + name[4:]
    if name.startswith("set") and target in properties:
        return lambda self, value: setattr(self, target, value)

    if name.startswith("setMRML") or name == "setMRMLScene":
        return lambda self, node: _keepNode(self, "mrml" + name[7:], node)
    if name.startswith("mrml"):
        return lambda self: self.__dict__.get(f"_shell_{name}")

    def inert(self, *arguments):
        inert_calls.append(f"{cls}.{name}")

    return inert


def _keepNode(self, name: str, node):
    """setMRMLScene(), setMRMLPlotViewNode() ...: remembered for mrmlScene(), mrmlPlotViewNode()."""
    self.__dict__[f"_shell_{name}"] = node
    if name == "mrmlScene" and hasattr(self, "mrmlSceneChanged"):
        self.mrmlSceneChanged.emit(node)


def _properties(name: str) -> dict:
    base = _base(oracle()[name]["base"])
    return {
        n: StoredProperty(n, p["type"], p["writable"])
        for n, p in oracle()[name]["props"].items()
        if isinstance(getattr(base, n, None), (StoredProperty, type(None)))
    }


class StoredProperty(property):
    """A property that only remembers its value."""

    def __init__(self, name: str, kind: str, writable: bool):
        attribute = f"_shell_{name}"
        self.kind, self.writable = kind, writable

        def get(instance):
            return instance.__dict__.get(attribute, DEFAULTS.get(kind))

        def put(instance, value):
            instance.__dict__[attribute] = tuple(value) if isinstance(value, list) else value

        super().__init__(get, put if writable else None)


def _setProperty(self, name, value):
    if name in type(self)._shellProperties:
        setattr(self, name, value)
        return True
    return QtCore.QObject.setProperty(self, name, value)


def _property(self, name):
    return getattr(self, name) if name in type(self)._shellProperties else QtCore.QObject.property(self, name)


def adoptDynamicProperties(instance):
    """Give a stand-in the values that the .ui loader could only store as dynamic properties."""
    for raw in QtCore.QObject.dynamicPropertyNames(instance):
        name = raw.data().decode()
        if name in type(instance)._shellProperties:
            value = QtCore.QObject.property(instance, name)
            setattr(instance, name, value)
            QtCore.QObject.setProperty(instance, name, None)
