"""PySide6 made to behave as PythonQt, the Qt binding of Slicer's Python.

Properties are attributes (`button.text = "Go"`), signals are connected by signature
(`button.connect("clicked(bool)", slot)`), a slot gets as many arguments as it takes, no new attribute can be
created on a C++ object, and an exception in a slot is printed and goes on the list `errors`.
"""

import ctypes
import functools
import sys
import traceback
import types

import shiboken6
from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

QT_MODULES = (QtCore, QtGui, QtWidgets, QtNetwork, QtUiTools)
PRIMITIVES = {"bool": bool, "int": int, "double": float, "QString": str, "float": float}

errors: list[str] = []  # tracebacks of slots, VTK observers and event handlers
cpp_classes: set[type] = set()  # classes that PythonQt wraps: their instances take no new attributes
invisible: dict[type, frozenset[str]] = {}  # stand-in class -> names of its C++ class that Python cannot see

_generic_set = ctypes.pythonapi.PyObject_GenericSetAttr
_generic_set.argtypes = (ctypes.py_object, ctypes.py_object, ctypes.py_object)
_connections: dict[tuple, list] = {}


def recordException(kind, value, trace):
    """Print an exception that Qt or VTK would swallow and remember it (sys.excepthook)."""
    if not issubclass(kind, (KeyboardInterrupt, SystemExit)):
        errors.append("".join(traceback.format_exception(kind, value, trace)))
    sys.__excepthook__(kind, value, trace)


def qtClasses():
    """Every Qt class of the wrapped modules, by name."""
    for module in QT_MODULES:
        for name in dir(module):
            item = getattr(module, name)
            if isinstance(item, type) and name.startswith("Q"):
                yield name, item


def install():
    """Patch the PySide6 classes, once a process."""
    objects = [c for _, c in qtClasses() if issubclass(c, QtCore.QObject)]
    for cls in objects:
        _addProperties(cls)
        cpp_classes.add(cls)
    originals = {cls: cls.__getattribute__ for cls in objects if "__getattribute__" in cls.__dict__}
    originals[QtCore.QObject] = QtCore.QObject.__getattribute__
    for cls, original in originals.items():
        cls.__getattribute__ = _attributeReader(original)
    for cls in objects:
        cls.__setattr__ = _setAttribute
        cls.__init__ = _withoutKeywords(cls.__init__)
    _patchValueClasses()
    sys.excepthook = recordException


def normalized(signature: str) -> str:
    return bytes(_qba_bytes(QtCore.QMetaObject.normalizedSignature(signature))).decode()


def _qba_bytes(array) -> bytes:
    return array if isinstance(array, bytes) else array.data()


class Property:
    """A Qt property: a value on an instance, the original method on the class (QTimer.singleShot is both)."""

    def __init__(self, name, getter, setter, kind):
        self.name, self.getter, self.setter, self.kind = name, getter, setter, kind

    def __get__(self, instance, owner=None):
        if instance is None:
            if self.getter is None:
                raise AttributeError(self.name)
            return self.getter
        if isinstance(self.getter, staticmethod) or self.getter is None or not _isMethod(self.getter):
            value = QtCore.QObject.property(instance, self.name)
        else:
            value = self.getter(instance)
        return tuple(value) if isinstance(value, list) else value

    def __set__(self, instance, value):
        if self.setter is None:
            raise AttributeError(f"Property '{self.name}' of type '{self.kind}' is not writable")
        if self.kind == "int" and isinstance(value, float):
            value = int(value)
        if isinstance(value, tuple) and self.kind == "QStringList":
            value = list(value)
        self.setter(instance, value)


def _isMethod(item) -> bool:
    return type(item).__name__ in ("method_descriptor", "function")


def _addProperties(cls):
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        info = meta.property(index)
        name = info.name()
        getter = cls.__dict__.get(name)
        if getter is None:
            getter = next((b.__dict__[name] for b in cls.__mro__ if name in b.__dict__), None)
        if isinstance(getter, Property):
            getter = getter.getter
        for alias in (f"is{name[0].upper()}{name[1:]}",):
            if getter is None and callable(getattr(cls, alias, None)):
                getter = getattr(cls, alias)
        setter = None
        if info.isWritable():
            setter = getattr(cls, f"set{name[0].upper()}{name[1:]}", None)
            if setter is None:
                setter = functools.partial(_setProperty, name)
        setattr(cls, name, Property(name, getter, setter, info.typeName()))


def _setProperty(name, instance, value):
    QtCore.QObject.setProperty(instance, name, value)


def _withoutKeywords(original):
    """PythonQt constructors take no keyword arguments."""

    def construct(self, *arguments, **keywords):
        if keywords:
            raise TypeError(f"{className(self)}() takes no keyword arguments, got {', '.join(keywords)}")
        original(self, *arguments)

    return construct


def _attributeReader(original):
    def read(self, name):
        if name == "connect":
            return functools.partial(connect, self)
        if name == "disconnect":
            return functools.partial(disconnect, self)
        try:
            return original(self, name)
        except AttributeError as missing:
            return _dynamicAttribute(self, name, missing)

    return read


def _dynamicAttribute(self, name, missing):
    """The attributes that PythonQt finds on no class: `name`, className(), dynamic properties, named children."""
    if name.startswith("__") or not shiboken6.isValid(self):
        raise missing
    if name == "name":
        return QtCore.QObject.property(self, "objectName")
    if name == "className":
        return functools.partial(className, self)
    if name == "delete":
        return functools.partial(QtCore.QObject.deleteLater, self)
    if name == "exec_":
        return self.exec
    if name in {
        bytes(n).decode() if isinstance(n, bytes) else n.data().decode()
        for n in QtCore.QObject.dynamicPropertyNames(self)
    }:
        return QtCore.QObject.property(self, name)
    child = next((c for c in QtCore.QObject.children(self) if QtCore.QObject.property(c, "objectName") == name), None)
    if child is not None:
        return child
    raise AttributeError(f"{className(self)} has no attribute named '{name}'")


def className(self) -> str:
    """The C++ class: Python subclasses of a wrapped class report the class they derive from."""
    return next(c.__name__ for c in type(self).__mro__ if c in cpp_classes)


def _setAttribute(self, name, value):
    if name.startswith(("__", "_shell")) or isinstance(value, QtCore.SignalInstance):
        return _store(self, name, value)
    found = next((c.__dict__[name] for c in type(self).__mro__ if name in c.__dict__), None)
    if isinstance(found, (Property, property)):
        return found.__set__(self, value)
    if name == "name":
        return QtCore.QObject.setObjectName(self, value)
    if type(self) not in cpp_classes or sys._getframe(1).f_globals.get("__name__", "").startswith(__package__):
        return _store(self, name, value)  # a Python subclass, or a stand-in's own state
    if found is not None:
        raise AttributeError(f"'{name}' of {className(self)} is a method or signal and cannot be overwritten")
    raise AttributeError(
        f"'{name}' does not exist on {className(self)} and creating new attributes on C++ objects is not allowed"
    )


def _store(self, name, value):
    _generic_set(self, name, value)


def connect(sender, *args):
    """Connect "signal(types)" to a callable, or to a receiver and "slot(types)"."""
    if isinstance(args[0], QtCore.QObject):  # PySide6 itself, in QTimer.singleShot: (sender, "2timeout()", callable)
        sender, args = args[0], (args[1].lstrip("2"), *args[2:])
    signature, target = args[0], args[1]
    if len(args) == 3:
        target = getattr(args[1], args[2].split("(")[0])
    if not callable(target):
        raise ValueError(f"{target!r} is not callable: cannot be connected to {signature}")
    signal, count = findSignal(sender, signature)
    slot = guarded(target, count)
    signal.connect(slot)
    _connections.setdefault(_key(sender, signature), []).append((target, slot, signal))
    return True


def disconnect(sender, signature, target=None, slotSignature=None):
    if slotSignature:
        target = getattr(target, slotSignature.split("(")[0])
    known = _connections.get(_key(sender, signature), [])
    matches = [entry for entry in known if target is None or entry[0] == target]
    for entry in matches:
        known.remove(entry)
        entry[2].disconnect(entry[1])
    return bool(matches)


def _key(sender, signature):
    return shiboken6.getCppPointer(sender)[0], normalized(signature)


def findSignal(sender, signature: str):
    """The bound PySide6 signal of a C++ signature, and how many arguments it sends.

    Raises:
        ValueError: the class has no such signal.
    """
    wanted = normalized(signature)
    name, inside = wanted.rstrip(")").split("(", 1)
    declared = next((c._shellSignals for c in type(sender).__mro__ if name in getattr(c, "_shellSignals", {})), None)
    if declared is not None:
        variants = declared[name]
        if wanted not in variants and inside:
            raise ValueError(f"{className(sender)} has no signal {signature}; it has {', '.join(variants)}")
        attribute, count = variants.get(wanted) or next(iter(variants.values()))
        return getattr(sender, attribute), 0 if not inside else count
    if QtCore.QObject.metaObject(sender).indexOfSignal(wanted) < 0:
        raise ValueError(f"{className(sender)} has no signal {signature}")
    signal = getattr(sender, name)
    return (signal[inside], len(inside.split(","))) if inside else (signal, 0)


def guarded(target, count: int | None = None):
    """`target` with as many arguments as it takes; exceptions are recorded, as Slicer prints them and goes on."""
    accepted = _acceptedArguments(target)

    def slot(*arguments):
        arguments = arguments if count is None else arguments[:count]
        arguments = arguments if accepted is None else arguments[:accepted]
        try:
            target(*arguments)
        except Exception:
            recordException(*sys.exc_info())

    return slot


def _acceptedArguments(target) -> int | None:
    if isinstance(target, types.MethodType):
        inner = _acceptedArguments(target.__func__)
        return None if inner is None else max(inner - 1, 0)
    if isinstance(target, types.FunctionType):
        return None if target.__code__.co_flags & 0x04 else target.__code__.co_argcount
    if isinstance(target, (types.BuiltinMethodType, QtCore.SignalInstance)):
        return None
    return None


def _patchValueClasses():
    def noBuffer(self):
        raise TypeError("cannot convert 'QByteArray' object to bytes: PythonQt has no buffer here, use .data()")

    QtCore.QByteArray.__bytes__ = noBuffer
    colorName = QtGui.QColor.name
    QtGui.QColor.name = lambda self, form=0: colorName(self, QtGui.QColor.NameFormat(form))
