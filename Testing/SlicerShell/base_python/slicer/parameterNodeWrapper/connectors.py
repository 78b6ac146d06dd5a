"""Which widget may show which type, and how it is read and written: the pairs that Slicer knows."""

import enum
import pathlib

import ctk
import qt
import slicer

from .annotations import Choice, Decimals, Maximum, Minimum, SingleStep, WithinRange
from .storage import nodeTypes


class Connector:
    def __init__(self, widget, signal, read, write):
        self._widget, self._signal, self.read, self.write = widget, signal, read, write

    def connect(self, callback):
        self._callback = callback
        self._widget.connect(self._signal, self._changed)

    def _changed(self):
        self._callback()

    def disconnect(self):
        self._widget.disconnect(self._signal, self._changed)


def createGuiConnector(widget, member) -> Connector:
    """RuntimeError for a widget that Slicer cannot bind to the type."""
    kind, annotations, widgetType = member.type, member.annotations, type(widget)
    if kind is bool and widgetType in (qt.QCheckBox, ctk.ctkCheckBox):
        return _byProperty(widget, "stateChanged(int)", "checked")
    if kind is bool and widgetType in (qt.QPushButton, ctk.ctkCheckablePushButton):
        widget.checkable = True
        return _byProperty(widget, "toggled(bool)", "checked")
    if kind is int and widgetType in (qt.QSlider, qt.QSpinBox):
        _setLimits(widget, annotations, -(2**31), 2**31 - 1, bounded=widgetType is qt.QSlider)
        return _byProperty(widget, "valueChanged(int)", "value")
    if kind in (int, float) and widgetType in (
        qt.QDoubleSpinBox,
        ctk.ctkSliderWidget,
        slicer.qMRMLSliderWidget,
        ctk.ctkDoubleSlider,
        ctk.ctkDoubleSpinBox,
        slicer.qMRMLSpinBox,
    ):
        return _numberConnector(widget, kind, annotations)
    if widgetType in (qt.QComboBox, ctk.ctkComboBox):
        return _comboConnector(widget, kind, annotations)
    if kind is str and widgetType in (qt.QLineEdit, qt.QLabel):
        return _byProperty(widget, "textChanged(QString)" if widgetType is qt.QLineEdit else "", "text")
    if kind is str and widgetType is qt.QTextEdit:
        return _byProperty(widget, "textChanged()", "plainText")
    if isinstance(kind, type) and issubclass(kind, pathlib.PurePath):
        if widgetType is ctk.ctkPathLineEdit:
            return _byProperty(widget, "currentPathChanged(QString)", "currentPath", kind)
        if widgetType is ctk.ctkDirectoryButton:
            return _byProperty(widget, "directoryChanged(QString)", "directory", kind)
    if nodeTypes(kind) and widgetType is slicer.qMRMLNodeComboBox:
        widget.nodeTypes = [k().GetClassName() for k in nodeTypes(kind)]
        return Connector(widget, "currentNodeChanged(vtkMRMLNode*)", widget.currentNode, widget.setCurrentNode)
    raise RuntimeError(f"Unable to connect a parameter of type {kind} to a widget of type {widgetType.__name__}")


def _byProperty(widget, signal, name, kind=None):
    def write(value):
        value = str(value) if kind else value
        if getattr(widget, name) != value:
            setattr(widget, name, value)

    return Connector(widget, signal, lambda: kind(getattr(widget, name)) if kind else getattr(widget, name), write)


def _first(annotations, kind):
    return next((a for a in annotations if isinstance(a, kind)), None)


def _setLimits(widget, annotations, low, high, bounded):
    within, least, most = (_first(annotations, k) for k in (WithinRange, Minimum, Maximum))
    if bounded and not within and not (least and most):
        raise RuntimeError(f"A {type(widget).__name__} needs a parameter with WithinRange, or Minimum and Maximum")
    widget.minimum = within.minimum if within else least.minimum if least else low
    widget.maximum = within.maximum if within else most.maximum if most else high
    step = _first(annotations, SingleStep)
    if step:
        widget.singleStep = step.value


def _numberConnector(widget, kind, annotations):
    decimals = 0 if kind is int else getattr(_first(annotations, Decimals), "value", None)
    if decimals is not None and type(widget) is not ctk.ctkDoubleSlider:
        widget.decimals = decimals
    _setLimits(
        widget,
        annotations,
        float("-inf"),
        float("inf"),
        bounded=type(widget) in (ctk.ctkSliderWidget, slicer.qMRMLSliderWidget),
    )
    return Connector(
        widget, "valueChanged(double)", lambda: kind(widget.value), lambda value: setattr(widget, "value", kind(value))
    )


def _comboConnector(widget, kind, annotations):
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        values = list(kind)
        labels = [v.label() if hasattr(v, "label") else v.name for v in values]
    else:
        choice = _first(annotations, Choice)
        if choice is None:
            raise RuntimeError("A combo box needs a parameter with Choice")
        values, labels = list(choice.choices), [str(c) for c in choice.choices]
    widget.clear()
    widget.addItems(labels)
    return Connector(
        widget,
        "currentIndexChanged(int)",
        lambda: values[widget.currentIndex],
        lambda value: setattr(widget, "currentIndex", values.index(value)),
    )
