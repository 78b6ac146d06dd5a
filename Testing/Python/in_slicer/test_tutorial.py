"""The tutorial: its steps lead where it says, its pictures are those of the script, its buttons are in the panel."""

import re
from pathlib import Path

import numpy as np
import pytest
import tutorial_pictures

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
OF_SLICER = {"Intracranial Hemorrhage Segmenter"}
"""In bold, but of Slicer's own list of modules."""
LEAST_COLORS = 20
LARGEST_KB = 150
BLEED_ML = 20.0

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


def names_in_bold():
    """Texts of buttons, boxes and menus that the page names, each part of "Advanced > Show map" by itself."""
    return {part for name in re.findall(r"\*\*([^*]+)\*\*", PAGE) for part in name.split(" > ")} - OF_SLICER


def texts_of(panel):
    """What stands on the panel and in its menu, in any state; a part of it is enough where numbers follow."""
    import qt

    panel.opener._fillMenu()
    texts = {action.text for action in panel.opener._menu.actions()}
    for widget in panel.parent.findChildren(qt.QWidget):
        if isinstance(widget, qt.QLabel | qt.QAbstractButton) or widget.className() == "ctkCollapsibleButton":
            texts.add(widget.text)
        if isinstance(widget, qt.QTableWidget):
            headings = [widget.horizontalHeaderItem(column) for column in range(widget.columnCount)]
            texts |= {heading.text() for heading in headings if heading is not None}
    return {text.replace("&&", "&") for text in texts}


def test_every_picture_of_the_tutorial_is_one_that_the_script_draws():
    named = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE)
    assert named == [f"images/tutorial/{name}.png" for name in tutorial_pictures.STEPS]
    files = {path.name for path in tutorial_pictures.FOLDER.iterdir()}
    assert files == {f"{name}.png" for name in tutorial_pictures.STEPS}
    assert tutorial_pictures.FOLDER == ROOT / "docs" / "images" / "tutorial"


def test_pictures_of_the_tutorial_are_small():
    sizes = {path.name: path.stat().st_size / 1000 for path in tutorial_pictures.FOLDER.glob("*.png")}
    assert {name: size for name, size in sizes.items() if size > LARGEST_KB} == {}


def test_every_button_that_the_tutorial_names_is_in_the_panel(panel, phantom, shell):
    shell.click(panel.ui.applyButton)  # during a run it says Cancel
    texts = texts_of(panel)
    assert "Cancel" in texts
    shell.waitUntil(lambda: panel.analysis is None, 60, "the end of the run")
    texts |= texts_of(panel)
    assert len(names_in_bold()) > 20
    absent = {
        name for name in names_in_bold() if name not in texts and not any(text.startswith(f"{name}:") for text in texts)
    }
    assert absent == set()


def test_the_tutorial_leads_from_the_sample_to_a_report(panel, shell, tmp_path):
    tutorial = tutorial_pictures.Tutorial(shell, panel, "hu-threshold")
    findings = {}
    steps = dict(tutorial_pictures.STEPS)
    del steps["compare"]  # it would wait for a network
    for name, step in steps.items():
        image = step(tutorial)
        assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > LEAST_COLORS, name
        tutorial_pictures.save(image, tmp_path / f"{name}.png")
        findings[name] = panel.ui.findingsTable.rowCount
    assert findings["method"] == 0 < findings["verdict"] == findings["add"]
    edited = re.match(r"<b>Edited by hand: (\d+\.\d) mL", panel.ui.verdictLabel.text)
    assert float(edited[1]) == pytest.approx(BLEED_ML, rel=0.1)  # rejected, and added by a click
