"""One picture of the application: the module panel at the left, Red, 3D, Green and Yellow views at the right."""

import contextlib

import numpy as np
import slicer
from PySide6 import QtCore, QtGui

VIEWS = ("Red", "3D", "Green", "Yellow")  # left to right, top to bottom: Slicer's four-up layout
TITLES = {"Red": "R", "Green": "G", "Yellow": "Y", "3D": "1"}
COLORS = {"Red": "#f34a33", "Green": "#6eb04b", "Yellow": "#edd54c", "3D": "#7474c6"}
BAR_PX, GAP_PX = 20, 3
MAX_WIDTH_PX = 16777215
DARK = QtGui.QColor("#26282c")


def compose(path, panel=None, size=(1600, 900), panel_width=470, panel_height=None):
    """Write the PNG and return its QImage. `panel` is a widget, or None for the views alone."""
    picture = QtGui.QImage(*size, QtGui.QImage.Format_RGB32)
    picture.fill(DARK)
    painter = QtGui.QPainter(picture)
    painter.setRenderHint(QtGui.QPainter.TextAntialiasing)
    left = 0
    if panel is not None:
        painter.drawPixmap(0, 0, _grab(panel, panel_width, size[1])[0])
        left = panel_width
    cell = QtCore.QSize((size[0] - left - GAP_PX) // 2, (size[1] - GAP_PX) // 2)
    for index, name in enumerate(VIEWS):
        x = left + GAP_PX + (index % 2) * (cell.width() + GAP_PX)
        y = (index // 2) * (cell.height() + GAP_PX)
        _drawView(painter, name, QtCore.QRect(QtCore.QPoint(x, y), cell))
    painter.end()
    if not picture.save(str(path)):
        raise OSError(f"{path} could not be written")
    return picture


def panelAlone(path, panel, width):
    """Write a picture of a panel, as wide as its dock would be and as tall as its content; returns its QImage."""
    image, _ = panelParts(panel, width)
    if not image.save(str(path)):
        raise OSError(f"{path} could not be written")
    return image


def panelParts(panel, width, widgets=()):
    """A panel as panelAlone draws it: QImage, and the place of each of some widgets in it, a QRect each."""
    with docked(panel, width):
        height = panel.sizeHint.height()
        if panel.layout().hasHeightForWidth():
            height = max(height, panel.layout().totalHeightForWidth(panel.width))
        pixmap, places = _grab(panel, width, height, widgets)
    return pixmap.toImage(), places


def viewAlone(name, size):
    """A QImage of the view "Red", "Yellow", "Green" or "3D" with its bar; `size` is (width, height) in pixels."""
    image = QtGui.QImage(*size, QtGui.QImage.Format_RGB32)
    painter = QtGui.QPainter(image)
    painter.setRenderHint(QtGui.QPainter.TextAntialiasing)
    _drawView(painter, name, QtCore.QRect(0, 0, *size))
    painter.end()
    return image


@contextlib.contextmanager
def docked(panel, width):
    """Make the module dock as wide as a user would drag it; what is shown meanwhile is laid out for that."""
    scroll = slicer.util.mainWindow().moduleSelector()._panel
    bar, before = scroll.verticalScrollBar(), scroll.width
    policy = scroll.verticalScrollBarPolicy
    scroll.setVerticalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
    scroll.setFixedWidth(width + 2 * scroll.frameWidth)
    for _ in range(10):  # word-wrapped labels ask for their height when they know their width
        panel.updateGeometry()
        slicer.app.processEvents()
        slicer.app.sendPostedEvents()
    try:
        yield bar
    finally:
        scroll.setVerticalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy(policy))
        scroll.setFixedWidth(before)
        slicer.app.processEvents()
        scroll.setMinimumWidth(0)
        scroll.setMaximumWidth(MAX_WIDTH_PX)
        slicer.app.processEvents()


def _grab(panel, width, height, widgets=()):
    """The panel at a size of its own, what a user sees with a tall window; and where some widgets are then."""
    with docked(panel, width):
        before = panel.size
        panel.resize(width, height)
        slicer.app.sendPostedEvents()
        pixmap = QtGui.QPixmap(width, height)
        pixmap.fill(panel.palette.color(QtGui.QPalette.Window))
        panel.render(pixmap)
        places = [QtCore.QRect(widget.mapTo(panel, QtCore.QPoint(0, 0)), widget.size) for widget in widgets]
        panel.resize(before)
    return pixmap, places


def _drawView(painter, name, area):
    body = area.adjusted(0, BAR_PX, 0, 0)
    manager = slicer.app.layoutManager()
    view = manager.threeDWidget(0).threeDView() if name == "3D" else manager.sliceWidget(name).sliceView()
    renderer = view._painter()
    renderer.resize((body.width(), body.height()))
    pixels = renderer.image()
    image = QtGui.QImage(pixels.data, pixels.shape[1], pixels.shape[0], pixels.shape[1] * 3, QtGui.QImage.Format_RGB888)
    painter.drawImage(body.topLeft(), image.copy())
    _drawBar(painter, name, QtCore.QRect(area.topLeft(), QtCore.QSize(area.width(), BAR_PX)))
    if name != "3D":
        _drawOrientation(painter, manager.sliceWidget(name).mrmlSliceNode(), body)


def _drawBar(painter, name, bar):
    color = QtGui.QColor(COLORS[name])
    painter.fillRect(bar, color)
    painter.setPen(QtGui.QColor("black"))
    painter.drawText(bar.adjusted(8, 0, 0, 0), QtCore.Qt.AlignVCenter, TITLES[name])
    if name == "3D":
        return
    node = slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode()
    logic = slicer.app.layoutManager().sliceWidget(name).sliceLogic()
    text = f"{node.GetOrientation()}   {logic.GetSliceOffset():.1f} mm"
    painter.drawText(bar.adjusted(0, 0, -8, 0), QtCore.Qt.AlignVCenter | QtCore.Qt.AlignRight, text)


def _drawOrientation(painter, node, area):
    """The patient's side at each edge, from the slice's axes."""
    matrix = node.GetSliceToRAS()
    axes = [np.array([matrix.GetElement(r, c) for r in range(3)]) for c in range(2)]
    font = painter.font()
    font.setPointSize(11)
    font.setBold(True)
    painter.setFont(font)
    align = QtCore.Qt
    edges = (
        (axes[0], align.AlignRight | align.AlignVCenter),
        (-axes[0], align.AlignLeft | align.AlignVCenter),
        (axes[1], align.AlignTop | align.AlignHCenter),
        (-axes[1], align.AlignBottom | align.AlignHCenter),
    )
    painter.setPen(QtGui.QColor("#e8e8e8"))
    for direction, place in edges:
        painter.drawText(area.adjusted(8, 5, -8, -5), place, _letter(direction))
    font.setPointSize(9)
    font.setBold(False)
    painter.setFont(font)


def _letter(direction):
    axis = int(np.abs(direction).argmax())
    return "RAS"[axis] if direction[axis] > 0 else "LPI"[axis]
