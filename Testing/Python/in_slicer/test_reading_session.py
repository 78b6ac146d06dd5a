"""A reader's session from the opening of an exam to its report, counted in clicks; the seconds are printed."""

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pydicom
import pytest

from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom

RUN_S = 120
MAX_CLICKS = 12
BLEED, FALSE_ALARM = Bleed.sphere(12.0, (30.0, 5.0, 38.0)), Bleed.sphere(3.0, (-32.0, -20.0, 45.0))
MISSED = Bleed.sphere(4.0, (-30.0, 35.0, 38.0), hu=44.0)
"""Too thin for the HU threshold."""

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


def write_exam(folder, bleeds):
    geometry = head_geometry((26, 112, 112), pixel_mm=(2.0, 2.0), tilt_deg=12.0)
    return write_dicom_series(make_phantom(geometry, HeadModel(bleeds), subsamples=(2, 1, 1)).volume, folder)


@dataclass
class Reader:
    """A person with a mouse and a keyboard; a drop is a click, keys are not."""

    shell: Any
    panel: Any
    clicks: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def drop(self, folder):
        self.clicks.append(f"drop {folder.name}")
        assert self.shell.drop(self.panel.ui.methodInfoLabel, [folder])
        self.wait_for_exam()

    def open(self, folder):
        """The button, the first entry of its menu, and a path typed into the dialog for folders."""
        from PySide6 import QtCore, QtTest

        self.click("openButton")
        menu = self.panel.opener._menu
        self.clicks.append(menu.actions()[0].text)
        self.keys.append("path of the exam, Return")
        place = menu.actionGeometry(menu.actions()[0]).center()
        with self.shell.fileDialog(folder):
            QtTest.QTest.mouseClick(menu, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, place)
        self.wait_for_exam()

    def report(self, folder):
        """The button, and a path typed into the dialog for folders."""
        self.keys.append("folder of the report, Return")
        with self.shell.fileDialog(folder):
            self.click("reportButton")
        self.shell.waitUntil(lambda: not self.panel.report.isWriting, RUN_S, "the report")

    def wait_for_exam(self):
        self.shell.waitUntil(self.panel.opener.canOpen, RUN_S, "the reading")
        self.shell.process()

    def click(self, name):
        button = getattr(self.panel.ui, name)
        assert button.enabled, f"{name}: {button.toolTip}; {self.panel.ui.statusLabel.text}"
        self.clicks.append(name)
        self.shell.click(button)

    def click_view(self, lps):
        from ICHSegmenterSlicer.scene.volumes import RAS_TO_LPS

        self.clicks.append("Red view")
        self.shell.clickInView("Red", np.array(lps) * RAS_TO_LPS)

    def click_row(self, row):
        from PySide6 import QtCore, QtTest

        self.clicks.append(f"finding {row + 1}")
        table = self.panel.ui.findingsTable
        middle = table.visualItemRect(table.item(row, 0)).center()
        QtTest.QTest.mouseClick(table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, middle)
        self.shell.process()

    def choose_type(self, key):
        """A click that opens the list, another on an entry."""
        self.clicks += ["types", key]
        self.shell.chooseEntry(self.panel.ui.typeComboBox, self.panel.ui.typeComboBox.findData(key))

    def press(self, key, name):
        self.keys.append(name)
        from PySide6 import QtCore, QtTest, QtWidgets

        table = self.panel.ui.findingsTable

        def has_focus():
            self.panel.parent.window().activateWindow()
            table.setFocus()
            return QtWidgets.QWidget.hasFocus(table)

        self.shell.waitUntil(has_focus, 10, "the keyboard at the findings")
        self.shell.process(0.1)
        QtTest.QTest.keyClick(table, key, QtCore.Qt.NoModifier)
        self.shell.process()

    def findings(self):
        table = self.panel.ui.findingsTable
        return [table.item(row, 0).text() for row in range(table.rowCount)]

    def analyze(self):
        self.click("applyButton")
        self.shell.waitUntil(lambda: self.panel.analysis is None, RUN_S, "the end of the run")
        self.shell.waitUntil(self.findings, 10, "the findings")


def test_an_exam_is_read_corrected_compared_and_reported_in_twelve_clicks(shell, panel, tmp_path, record_property):
    from PySide6 import QtCore

    pytest.importorskip("highdicom")
    files = write_exam(tmp_path / "today", (BLEED, FALSE_ALARM, MISSED))
    write_exam(tmp_path / "yesterday", (Bleed.sphere(5.0, BLEED.center),))
    (tmp_path / "reports").mkdir()
    yesterday = Reader(shell, panel)
    yesterday.drop(tmp_path / "yesterday")
    yesterday.analyze()

    reader, start = Reader(shell, panel), time.monotonic()
    reader.open(tmp_path / "today")
    reader.analyze()
    assert len(reader.findings()) == 2

    reader.click_row(1)
    reader.press(QtCore.Qt.Key_Delete, "Del")
    shell.waitUntil(lambda: len(reader.findings()) == 1, 5, "the rejection")

    reader.click("clickButton")
    reader.click_view(MISSED.center)
    shell.waitUntil(lambda: panel.ui.growFrame.visible and panel.ui.addButton.enabled, 5, "the preview")
    reader.press(QtCore.Qt.Key_Return, "Return")
    shell.waitUntil(lambda: len(reader.findings()) == 2, 5, "the addition")

    reader.click_row(0)
    reader.choose_type("IPH")
    shell.waitUntil(lambda: any(text.startswith("IPH left") for text in reader.findings()), 5, "the type")

    reader.click("priorButton")
    shell.waitUntil(lambda: "mL then" in panel.ui.priorLabel.text, RUN_S, "the comparison")
    assert "no growth" not in panel.ui.priorLabel.text
    then, now = (float(number) for number in re.findall(r"(\d+\.\d) mL (?:then|now)", panel.ui.priorLabel.text))
    assert then == pytest.approx(5, rel=0.2)
    assert now == pytest.approx(16, rel=0.2)

    reader.report(tmp_path / "reports")
    seconds = time.monotonic() - start

    (folder,) = (tmp_path / "reports").iterdir()
    plain = json.loads((folder / "result.json").read_text())
    assert {one["key"] for one in plain["measurements"]} == {"ICH", "IPH"}
    assert plain["blood_ml"] == pytest.approx(16, rel=0.2)
    segmentation = pydicom.dcmread(folder / "segmentation.dcm")
    assert {one.SegmentAlgorithmType for one in segmentation.SegmentSequence} == {"SEMIAUTOMATIC"}
    assert segmentation.StudyInstanceUID == pydicom.dcmread(files[0]).StudyInstanceUID
    assert pydicom.dcmread(folder / "report.dcm").Modality == "SR"
    print(f"{len(reader.clicks)} clicks: {', '.join(reader.clicks)}")
    print(f"{len(reader.keys)} times the keyboard: {'; '.join(reader.keys)}")
    print(f"{seconds:.1f} s with all waiting")
    record_property("clicks", len(reader.clicks))
    record_property("seconds", round(seconds, 1))
    assert len(reader.clicks) <= MAX_CLICKS
