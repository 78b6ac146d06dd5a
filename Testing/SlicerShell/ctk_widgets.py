"""Behavior of the CTK widgets that panels use."""

import os

from PySide6 import QtCore, QtGui, QtWidgets

from SlicerShell.api import cxx

HEADER_PX = 22
SLIDER_STEPS = 1000


class ctkCollapsibleButton(cxx("ctkCollapsibleButton")):
    """A titled section that folds: the button is its header, its layout is the content."""

    def __init__(self, *args):
        text = args[0] if args and isinstance(args[0], str) else ""
        super().__init__(next((a for a in args if isinstance(a, QtWidgets.QWidget)), None))
        self._collapsed = False
        self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, HEADER_PX, 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Preferred)
        self.toggled.connect(lambda on: self._fold(not on))

    @property
    def collapsed(self):
        return self._collapsed

    @collapsed.setter
    def collapsed(self, value):
        self.setChecked(not value)

    def _fold(self, collapsed):
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                child.setVisible(not collapsed)
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    def childEvent(self, event):
        if self._collapsed and event.added() and isinstance(event.child(), QtWidgets.QWidget):
            event.child().setVisible(False)

    def hitButton(self, position):
        return position.y() < HEADER_PX

    def sizeHint(self):
        return self._size("totalSizeHint")

    def minimumSizeHint(self):
        return self._size("totalMinimumSize")

    def _size(self, which):
        width = self.fontMetrics().horizontalAdvance(self.text) + 40
        inner = getattr(self.layout(), which)() if self.layout() and not self._collapsed else QtCore.QSize(0, HEADER_PX)
        return QtCore.QSize(max(width, inner.width()), max(HEADER_PX, inner.height()))

    def paintEvent(self, event):
        painter = QtGui.QPainter(self)
        header = QtCore.QRect(0, 0, self.width, HEADER_PX)
        painter.fillRect(header, self.palette.color(QtGui.QPalette.Button).darker(106))
        painter.setPen(self.palette.color(QtGui.QPalette.Mid))
        painter.drawRect(header.adjusted(0, 0, -1, -1))
        option = QtWidgets.QStyleOption()
        option.initFrom(self)
        option.rect = QtCore.QRect(6, (HEADER_PX - 10) // 2, 10, 10)
        arrow = QtWidgets.QStyle.PE_IndicatorArrowRight if self._collapsed else QtWidgets.QStyle.PE_IndicatorArrowDown
        self.style().drawPrimitive(arrow, option, painter, self)
        painter.setPen(self.palette.color(QtGui.QPalette.ButtonText))
        painter.drawText(header.adjusted(22, 0, 0, 0), QtCore.Qt.AlignVCenter, self.text)
        painter.end()


class ctkCollapsibleGroupBox(cxx("ctkCollapsibleGroupBox")):
    def __init__(self, *args):
        super().__init__(*args)
        self.setCheckable(True)
        self.toggled.connect(lambda on: [c.setVisible(on) for c in self.children() if isinstance(c, QtWidgets.QWidget)])

    @property
    def collapsed(self):
        return not self.isChecked()

    @collapsed.setter
    def collapsed(self, value):
        self.setChecked(not value)


class ctkComboBox(cxx("ctkComboBox")):
    """Shortens the name that the closed box shows where it is cut, if it is told how."""

    _elideMode = QtCore.Qt.ElideNone

    @property
    def elideMode(self):
        return self._elideMode

    @elideMode.setter
    def elideMode(self, mode):
        self._elideMode = QtCore.Qt.TextElideMode(mode)
        self.update()

    def paintEvent(self, event):
        painter, option = QtWidgets.QStylePainter(self), QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        part = QtWidgets.QStyle.SC_ComboBoxEditField
        area = self.style().subControlRect(QtWidgets.QStyle.CC_ComboBox, option, part, self)
        icon = 0 if option.currentIcon.isNull() else option.iconSize.width() + 4  # which CTK forgets
        option.currentText = option.fontMetrics.elidedText(option.currentText, self._elideMode, area.width() - icon)
        painter.drawComplexControl(QtWidgets.QStyle.CC_ComboBox, option)
        painter.drawControl(QtWidgets.QStyle.CE_ComboBoxLabel, option)


class ctkCheckableComboBox(cxx("ctkCheckableComboBox")):
    """Items with check boxes; the closed box names the checked ones. A click on an item checks it, the list stays."""

    def __init__(self, *args):
        super().__init__(*args)
        self.setView(QtWidgets.QListView())
        self.setItemDelegate(QtWidgets.QStyledItemDelegate(self))
        self.view().viewport().installEventFilter(self)
        self.model().rowsInserted.connect(lambda parent, first, last: self._makeCheckable(first, last))

    def checkableModel(self):
        return self.model()

    def checkState(self, index):
        return QtCore.Qt.CheckState(index.data(QtCore.Qt.CheckStateRole) or 0)

    def setCheckState(self, index, state):
        if self.checkState(index) != state:
            self.model().setData(index, QtCore.Qt.CheckState(state).value, QtCore.Qt.CheckStateRole)
            self.update()
            self.checkedIndexesChanged.emit()

    def checkedIndexes(self):
        indexes = [self.model().index(row, 0) for row in range(self.count)]
        return [index for index in indexes if self.checkState(index) == QtCore.Qt.Checked]

    def allChecked(self):
        return len(self.checkedIndexes()) == self.count

    def noneChecked(self):
        return not self.checkedIndexes()

    def _makeCheckable(self, first, last):
        for row in range(first, last + 1):
            index = self.model().index(row, 0)
            if index.data(QtCore.Qt.CheckStateRole) is None:
                self.model().setData(index, QtCore.Qt.Unchecked.value, QtCore.Qt.CheckStateRole)

    def eventFilter(self, watched, event):
        if event.type() == QtCore.QEvent.MouseButtonRelease and watched is self.view().viewport():
            index = self.view().indexAt(event.position().toPoint())
            if index.isValid():
                checked = self.checkState(index) == QtCore.Qt.Checked
                self.setCheckState(index, QtCore.Qt.Unchecked if checked else QtCore.Qt.Checked)
                return True
        return False

    def paintEvent(self, event):
        painter, option = QtWidgets.QStylePainter(self), QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = ", ".join(index.data() for index in self.checkedIndexes())
        option.currentIcon = QtGui.QIcon()
        painter.drawComplexControl(QtWidgets.QStyle.CC_ComboBox, option)
        painter.drawControl(QtWidgets.QStyle.CE_ComboBoxLabel, option)


class _Bounded:
    """value, minimum, maximum, singleStep, decimals, prefix and suffix over a QDoubleSpinBox `_box`."""

    def _forward(name):
        capital = name[0].upper() + name[1:]
        return property(
            lambda self: getattr(self._box, name), lambda self, value: getattr(self._box, f"set{capital}")(value)
        )

    minimum, maximum, singleStep = _forward("minimum"), _forward("maximum"), _forward("singleStep")
    prefix, suffix = _forward("prefix"), _forward("suffix")

    @property
    def decimals(self):
        return self._box.decimals

    @decimals.setter
    def decimals(self, value):
        self._box.setDecimals(int(value))

    def setDecimals(self, value):
        self.decimals = value

    @property
    def value(self):
        return self._box.value

    @value.setter
    def value(self, value):
        self._box.setValue(float(value))

    def setValue(self, value):
        self.value = value


class ctkDoubleSpinBox(cxx("ctkDoubleSpinBox")):
    def __init__(self, parent=None):
        super().__init__(parent)
        self._box = QtWidgets.QDoubleSpinBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.valueChanged.connect(lambda value: self.valueChanged.emit(value))
        self._box.editingFinished.connect(lambda: self.editingFinished.emit())

    minimum, maximum, singleStep, value = _Bounded.minimum, _Bounded.maximum, _Bounded.singleStep, _Bounded.value
    prefix, suffix, decimals = _Bounded.prefix, _Bounded.suffix, _Bounded.decimals
    setValue, setDecimals = _Bounded.setValue, _Bounded.setDecimals


class ctkSliderWidget(cxx("ctkSliderWidget")):
    """A slider and a spin box that show one number; both move it."""

    def __init__(self, *args):
        super().__init__(next((a for a in args if isinstance(a, QtWidgets.QWidget)), None))
        self._slider, self._box = QtWidgets.QSlider(QtCore.Qt.Horizontal), QtWidgets.QDoubleSpinBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        self._slider.setRange(0, SLIDER_STEPS)
        self._slider.valueChanged.connect(lambda step: self._fromSlider(step))
        self._box.valueChanged.connect(lambda value: self._changed(value))

    minimum, maximum, singleStep, value = _Bounded.minimum, _Bounded.maximum, _Bounded.singleStep, _Bounded.value
    prefix, suffix, decimals = _Bounded.prefix, _Bounded.suffix, _Bounded.decimals
    setValue, setDecimals = _Bounded.setValue, _Bounded.setDecimals

    def _fromSlider(self, step):
        self._box.setValue(self.minimum + step / SLIDER_STEPS * (self.maximum - self.minimum))

    def _changed(self, value):
        span = (self.maximum - self.minimum) or 1.0
        blocked = self._slider.blockSignals(True)
        self._slider.setValue(round((value - self.minimum) / span * SLIDER_STEPS))
        self._slider.blockSignals(blocked)
        self.valueChanged.emit(value)
        self.valueIsChanging.emit(value)


class _Range:
    """Two values within bounds, kept in `_values` and `_bounds`."""

    def _start(self):
        self._values, self._bounds = (0.0, 99.0), (0.0, 99.0)

    minimumValue = property(lambda self: self._values[0], lambda self, v: self.setValues(v, max(v, self._values[1])))
    maximumValue = property(lambda self: self._values[1], lambda self, v: self.setValues(min(v, self._values[0]), v))
    minimum = property(lambda self: self._bounds[0], lambda self, v: self.setRange(v, max(v, self._bounds[1])))
    maximum = property(lambda self: self._bounds[1], lambda self, v: self.setRange(min(v, self._bounds[0]), v))

    def setValues(self, low, high):
        least, most = self._bounds
        values = tuple(float(min(max(v, least), most)) for v in (low, high))
        if values != self._values:
            self._values = values
            self.valuesChanged.emit(*values)

    def setRange(self, low, high):
        self._bounds = (float(low), float(high))
        self.setValues(*self._values)
        self.rangeChanged.emit(*self._bounds)


class ctkRangeWidget(cxx("ctkRangeWidget")):
    def __init__(self, parent=None):
        super().__init__(parent)
        self._start()

    _start, setValues, setRange = _Range._start, _Range.setValues, _Range.setRange
    minimumValue, maximumValue = _Range.minimumValue, _Range.maximumValue
    minimum, maximum = _Range.minimum, _Range.maximum


class ctkDoubleRangeSlider(cxx("ctkDoubleRangeSlider")):
    def __init__(self, *args):
        super().__init__(next((a for a in args if isinstance(a, QtWidgets.QWidget)), None))
        self._start()

    _start, setValues, setRange = _Range._start, _Range.setValues, _Range.setRange
    minimumValue, maximumValue = _Range.minimumValue, _Range.maximumValue
    minimum, maximum = _Range.minimum, _Range.maximum


class ctkDoubleSlider(cxx("ctkDoubleSlider")):
    def __init__(self, *args):
        super().__init__(next((a for a in args if isinstance(a, QtWidgets.QWidget)), None))
        self._box = QtWidgets.QDoubleSpinBox()  # keeps the number; nothing of it is shown
        self._box.setDecimals(6)
        self._box.valueChanged.connect(lambda value: self.valueChanged.emit(value))

    minimum, maximum, singleStep, value = _Bounded.minimum, _Bounded.maximum, _Bounded.singleStep, _Bounded.value
    setValue = _Bounded.setValue


class ctkPathLineEdit(cxx("ctkPathLineEdit")):
    def __init__(self, *args):
        super().__init__(next((a for a in args if isinstance(a, QtWidgets.QWidget)), None))
        self._edit = QtWidgets.QComboBox()
        self._edit.setEditable(True)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit, 1)
        browse = QtWidgets.QToolButton()
        browse.setText("...")
        layout.addWidget(browse)
        self._valid = False
        self._edit.editTextChanged.connect(lambda path: self._changed(path))

    @property
    def currentPath(self):
        return self._edit.currentText

    @currentPath.setter
    def currentPath(self, path):
        if path != self._edit.currentText:
            self._edit.setEditText(path)

    def setCurrentPath(self, path):
        self.currentPath = path

    def comboBox(self):
        return self._edit

    def addCurrentPathToHistory(self):
        if self._edit.findText(self.currentPath) < 0:
            self._edit.addItem(self.currentPath)

    def _changed(self, path):
        valid = os.path.exists(path)
        if valid != self._valid:
            self._valid = valid
            self.validInputChanged.emit(valid)
        self.currentPathChanged.emit(path)


class ctkDirectoryButton(cxx("ctkDirectoryButton")):
    def __init__(self, *args):
        super().__init__(next((a for a in args if isinstance(a, QtWidgets.QWidget)), None))
        self._directory = "."
        self._button = QtWidgets.QPushButton(".")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)

    @property
    def directory(self):
        return self._directory if self._directory == "." else os.path.abspath(self._directory)

    @directory.setter
    def directory(self, path):
        if path != self._directory:
            self._directory = path
            self._button.setText(path)
            self.directoryChanged.emit(self.directory)
            self.directorySelected.emit(self.directory)


class ctkColorPickerButton(cxx("ctkColorPickerButton")):
    def __init__(self, *args):
        super().__init__(*args)
        self._color = QtGui.QColor("black")

    @property
    def color(self):
        return self._color

    @color.setter
    def color(self, color):
        if color != self._color:
            self._color = QtGui.QColor.fromRgba(color.rgba())
            self.setText(self._color.name())
            self.colorChanged.emit(self._color)

    def setColor(self, color):
        self.color = color
