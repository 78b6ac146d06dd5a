"""The .ui loader: stand-ins for the Slicer and CTK classes, `<connections>` made by name, unknown classes refused."""

import xml.etree.ElementTree as ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from SlicerShell import api, pythonqt


class QUiLoader(QtUiTools.QUiLoader):
    """Loads a .ui file as Slicer does; a connection to a missing object, signal or slot raises."""

    def createWidget(self, kind, parent=None, name=""):
        if kind in api.oracle():
            widget = api.classFor(kind)(parent)
            widget.setObjectName(name)
            return widget
        if not hasattr(QtWidgets, kind) and kind != "Line":
            raise ValueError(f"The .ui file uses {kind}, which Slicer does not have")
        return super().createWidget(kind, parent, name)

    def load(self, device, parent=None):
        if not device.isOpen():
            device.open(QtCore.QFile.ReadOnly)
        tree = ElementTree.fromstring(device.readAll().data())
        connections = [
            {tag: c.find(tag).text for tag in ("sender", "signal", "receiver", "slot")}
            for c in tree.findall("connections/connection")
        ]
        for element in tree.findall("connections"):
            tree.remove(element)
        enums = [found for element in tree.iter("widget") for found in _enums(element)]
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(tree))
        before = len(pythonqt.errors)
        widget = super().load(buffer, parent)
        if len(pythonqt.errors) > before or widget is None:
            raise RuntimeError(f"The .ui file could not be loaded: {pythonqt.errors[-1:] or self.errorString()}")
        widgets = {QtCore.QObject.property(w, "objectName"): w for w in [widget, *widget.findChildren(QtCore.QObject)]}
        for item in widgets.values():
            if hasattr(type(item), "_shellProperties"):
                api.adoptDynamicProperties(item)
        for name, key, value in enums:
            setattr(widgets[name], key, getattr(QtCore.Qt, value))
        for connection in connections:
            self._connect(widgets, **connection)
        return widget

    def _connect(self, widgets, sender, signal, receiver, slot):
        for name in (sender, receiver):
            if name not in widgets:
                raise ValueError(f"The .ui file connects {name}, which it does not contain")
        target = widgets[receiver]
        method = slot.split("(")[0]
        known = callable(getattr(target, method, None))
        if not known:
            raise ValueError(f"The .ui file connects to {pythonqt.className(target)}.{slot}, which does not exist")
        pythonqt.connect(widgets[sender], signal, getattr(target, method))


def _enums(element):
    """Takes (object, property, value) of those that Qt's loader cannot set out: enumerators for stand-ins."""
    kind = element.get("class")
    while kind in api.oracle():
        for setting in element.findall("property"):
            value = setting.findtext("enum", "")
            if setting.get("name") in api.oracle()[kind]["props"] and value.startswith("Qt::"):
                element.remove(setting)
                yield element.get("name"), setting.get("name"), value.removeprefix("Qt::")
        kind = api.oracle()[kind]["base"]
