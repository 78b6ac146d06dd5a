"""Draws the pictures of docs/tutorial.md: `python Testing/tutorial_pictures.py [--output docs/images/tutorial]`.

The steps of the tutorial, one after the other, on the sample phantom: real clicks, real results, in the stand-in for
Slicer. A test goes the same way.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(folder) for folder in (REPOSITORY, REPOSITORY / "Testing", REPOSITORY / "ICHSegmenter")]

import SlicerShell  # noqa: E402

FOLDER = REPOSITORY / "docs" / "images" / "tutorial"
RUN_S = 600.0
PANEL_PX, MARGIN_PX = 400, 6
"""Width of the panel, and what stays around a part of it."""
LOWEST_PX, HIGHEST_PX = 330, 480
"""Sides of a view."""
BLEED_VIEW_MM = 130.0
"""How much a view shows of the head when the bleed is looked at."""
COLORS = 256
REPORT_PX = 1000
OWN_THRESHOLD = 0.6


class Tutorial:
    """The panel, and a person at it.

    Args:
        shell: The running stand-in.
        widget: The panel, with no volume in the scene.
        method: The method that the tutorial runs.
    """

    def __init__(self, shell: Any, widget: Any, method: str) -> None:
        self.shell, self.widget, self.ui = shell, widget, widget.ui
        self.name = method

    def click(self, button: Any) -> None:
        self.shell.click(button)
        self.shell.process(0.3)

    def run(self, button: Any) -> None:
        self.shell.click(button)
        self.shell.waitUntil(lambda: self.widget.analysis is None, RUN_S, "the end of the run")
        self.shell.process(0.5)

    def choose_row(self, table: Any, row: int) -> None:
        from PySide6 import QtCore, QtTest

        middle = table.visualItemRect(table.item(row, 0)).center()
        QtTest.QTest.mouseClick(table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, middle)
        self.shell.process(0.5)

    # ---- steps, each with the widgets between which the panel is shown, and the views beside it

    def open_menu(self) -> Image.Image:
        """What Open offers; then the sample is taken."""
        from PySide6 import QtCore, QtTest

        self.click(self.ui.openButton)
        menu = self.widget.opener._menu
        image, place = self.panel(self.ui.inputLabel, self.ui.deviceComboBox, self.ui.openButton)
        corner = (place.left(), place.bottom() + 1)
        offer = _image(menu.grab().toImage())
        width = max(image.width, corner[0] + offer.width + MARGIN_PX)
        image = _padded(image, width, max(image.height, corner[1] + offer.height))
        image.paste(offer, corner)
        sample = next(action for action in menu.actions() if action.text.startswith("Sample"))
        middle = menu.actionGeometry(sample).center()
        QtTest.QTest.mouseClick(menu, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, middle)
        self.shell.process(0.5)
        return image

    def choose_method(self) -> Image.Image:
        """The sample in the views, a method chosen."""
        box = self.ui.methodComboBox
        box.setCurrentIndex(box.findData(self.name))
        self.shell.process(1.0)
        return self.picture(self.ui.inputLabel, self.ui.applyButton, "Red")

    def verdict(self) -> Image.Image:
        """The result of a run."""
        self.run(self.ui.applyButton)
        return self.picture(self.ui.applyButton, self.ui.identityCheckBox, "Red", "Green")

    def finding(self) -> Image.Image:
        """A click on the first finding outlines it."""
        self.choose_row(self.ui.findingsTable, 0)
        self.zoom()
        return self.picture(self.ui.verdictLabel, self.ui.clickButton, "Red")

    def map(self) -> Image.Image:
        """The map of the method over the CT."""
        self.ui.advancedButton.collapsed = False
        self.click(self.ui.mapsCheckBox)
        return self.picture(self.ui.operatingPointLabel, self.ui.mapsCheckBox, "Red")

    def threshold(self) -> Image.Image:
        """Another threshold of it, drawn before the result is cut anew; then all as it was."""
        self.click(self.ui.thresholdCheckBox)
        timer = self.widget.threshold._timer
        interval = timer.interval
        timer.setInterval(10**6)  # so that there is time for the picture
        self.ui.thresholdSlider.value = OWN_THRESHOLD
        self.shell.process(0.5)
        image = self.picture(self.ui.operatingPointLabel, self.ui.mapsCheckBox, "Red")
        timer.setInterval(interval)
        self.click(self.ui.thresholdCheckBox)
        self.click(self.ui.mapsCheckBox)
        self.shell.waitUntil(lambda: self.widget.analysis is None, RUN_S, "the result as it was")
        self.ui.advancedButton.collapsed = True
        self.shell.process(0.5)
        return image

    def measures(self) -> Image.Image:
        """Measures of the exam and of the first finding, its diameters and the midline drawn."""
        self.choose_row(self.ui.findingsTable, 0)
        self.ui.measuresButton.collapsed = False
        self.click(self.ui.linesButton)
        self.shell.process(1.0)
        image = self.picture(self.ui.measuresButton, self.ui.linesButton, "Red")
        self.click(self.ui.linesButton)
        self.ui.measuresButton.collapsed = True
        return image

    def add(self) -> Image.Image:
        """The bleed is rejected; a click where it was shows what would be added, and it is added."""
        from ICHSegmenterSlicer.scene.sample import BLEED, RAS_TO_LPS

        self.choose_row(self.ui.findingsTable, 0)
        self.click(self.ui.rejectButton)
        self.shell.process(1.0)
        self.click(self.ui.clickButton)
        self.shell.clickInView("Red", (RAS_TO_LPS @ (*BLEED.center, 1.0))[:3])
        self.shell.waitUntil(lambda: self.ui.addButton.enabled and self.ui.growFrame.visible, RUN_S, "the preview")
        types = self.ui.typeComboBox
        types.setCurrentIndex(types.findData("IPH"))
        types.activated.emit(types.currentIndex)
        self.shell.process(0.5)
        image = self.picture(self.ui.verdictLabel, self.ui.discardButton, "Red")
        self.click(self.ui.addButton)
        self.click(self.ui.clickButton)
        self.shell.process(1.0)
        return image

    def compared(self) -> Image.Image:
        """Two methods on the exam."""
        self.ui.compareSection.collapsed = False
        self.widget.comparison.choose(("compact-unet", "hu-threshold"))
        self.widget._onOptionsChanged()
        self.run(self.ui.compareButton)
        self.zoom()
        image = self.picture(self.ui.compareSection, self.ui.agreementLabel, "Red")
        self.ui.compareSection.collapsed = True
        return image

    def report(self) -> Image.Image:
        """The picture that the report brings."""
        import qt

        self.choose_row(self.ui.runTable, self.ui.runTable.rowCount - 1)
        dialog = qt.QFileDialog.getExistingDirectory
        with tempfile.TemporaryDirectory() as folder:
            qt.QFileDialog.getExistingDirectory = lambda *_arguments: folder
            try:
                self.click(self.ui.reportButton)
                self.shell.waitUntil(lambda: not self.widget.report.isWriting, RUN_S, "the report")
            finally:
                qt.QFileDialog.getExistingDirectory = dialog
            (path,) = Path(folder).glob("*/overview.png")
            image = Image.open(path).convert("RGB")
        return image.resize((REPORT_PX, round(image.height * REPORT_PX / image.width)), Image.Resampling.LANCZOS)

    # ---- pictures

    def zoom(self) -> None:
        """Magnify the axial view around the bleed."""
        import slicer

        from ICHSegmenterSlicer.scene.sample import BLEED, RAS_TO_LPS

        node = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
        x, y, z = node.GetFieldOfView()
        scale = BLEED_VIEW_MM / min(x, y)
        node.SetFieldOfView(scale * x, scale * y, z)
        node.JumpSliceByCentering(*(RAS_TO_LPS @ (*BLEED.center, 1.0))[:3])

    def picture(self, first: Any, last: Any, *views: str) -> Image.Image:
        """The panel from a widget to another one, with views as tall beside it."""
        panel, _ = self.panel(first, last)
        side = max(panel.height, LOWEST_PX * len(views)) // len(views)
        return _beside(panel, _stacked([self.view(name, min(side, HIGHEST_PX)) for name in views]))

    def panel(self, first: Any, last: Any, inside: Any = None) -> tuple[Image.Image, Any]:
        """The panel from a widget to another one, and the place of a third one in it."""
        from SlicerShell.screenshot import panelParts

        whole, places = panelParts(self.widget.parent, PANEL_PX, (first, last, inside or last))
        image = _image(whole)
        top, bottom = max(places[0].top() - MARGIN_PX, 0), min(places[1].bottom() + MARGIN_PX, image.height)
        return image.crop((0, top, image.width, bottom)), places[2].translated(0, -top)

    def view(self, name: str, side: int) -> Image.Image:
        from SlicerShell.screenshot import viewAlone

        return _image(viewAlone(name, (side, side)))


STEPS: dict[str, Callable[[Tutorial], Image.Image]] = {
    "open": Tutorial.open_menu,
    "method": Tutorial.choose_method,
    "verdict": Tutorial.verdict,
    "finding": Tutorial.finding,
    "map": Tutorial.map,
    "threshold": Tutorial.threshold,
    "measures": Tutorial.measures,
    "add": Tutorial.add,
    "compare": Tutorial.compared,
    "report": Tutorial.report,
}
"""Name of the picture, and the step that makes it; each goes on from the one before."""


def save(image: Image.Image, path: Path) -> None:
    """Write a PNG of few colors, which is a third as large as one of all."""
    palette = image.convert("RGB").quantize(COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    palette.save(path, optimize=True)


def _image(picture: Any) -> Image.Image:
    """A QImage as one of Pillow."""
    picture = picture.convertToFormat(picture.Format.Format_RGB888)
    width, height, line = picture.width(), picture.height(), picture.bytesPerLine()
    pixels = np.frombuffer(picture.constBits(), np.uint8).reshape(height, line)[:, : 3 * width]
    return Image.fromarray(np.ascontiguousarray(pixels.reshape(height, width, 3)))


def _padded(image: Image.Image, width: int, height: int) -> Image.Image:
    """More room at the right and below, in the color of the upper left corner."""
    whole = Image.new("RGB", (width, height), image.getpixel((0, 0)))
    whole.paste(image, (0, 0))
    return whole


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    whole = _padded(left, left.width + right.width, max(left.height, right.height))
    whole.paste(right, (left.width, 0))
    return whole


def _stacked(images: list[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (images[0].width, sum(one.height for one in images)))
    for n, one in enumerate(images):
        whole.paste(one, (0, n * images[0].height))
    return whole


def main() -> None:
    """Go through the tutorial and write its pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=FOLDER)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    os.environ["ICHSEGMENTER_WEIGHTS"] = tempfile.mkdtemp(prefix="weights-")
    shell = SlicerShell.boot()
    shell.loadModule(REPOSITORY / "ICHSegmenter" / "ICHSegmenter.py")
    tutorial = Tutorial(shell, shell.openModule("ICHSegmenter"), "compact-unet")
    for name, step in STEPS.items():
        save(step(tutorial), options.output / f"{name}.png")
        print(name, flush=True)
    shell.endProcess()


if __name__ == "__main__":
    main()
