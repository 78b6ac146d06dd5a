"""The box "Weights and computer": files are verified and removed, processors tested, a diagnosis copied."""

import os

import pytest

ANSWER_S = 120

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


@pytest.fixture(scope="module", autouse=True)
def worker_of_this_folder(running_shell):
    """The worker of an earlier module looks into another folder of weights."""
    import slicer

    if hasattr(slicer.modules, "ichsegmenter"):
        slicer.util.getModuleWidget("ICHSegmenter").logic.client.shutdown()
        running_shell.process(1.0)


@pytest.fixture
def files(weights):
    """An altered file of BLAST-CT and one that nobody knows; the folder is empty afterwards."""
    from ICHSegmenterLib.cards.table import get_card

    altered = weights / get_card("blast-ct").weights[0].name
    altered.write_bytes(bytes(2_000_000))
    unknown = weights / "ours.pt"
    unknown.write_bytes(bytes(500_000))
    yield altered, unknown
    for path in weights.iterdir():
        path.unlink()


@pytest.fixture
def opened(shell, panel, files):
    """The panel with the box opened by a click on its header."""
    from PySide6 import QtCore, QtTest

    header = QtCore.QPoint(20, 10)
    panel.ui.computerButton.collapsed = True
    QtTest.QTest.mouseClick(panel.ui.computerButton, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, header)
    assert not panel.ui.computerButton.collapsed
    yield panel
    panel.ui.computerButton.collapsed = True


def rows(table):
    return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]


def clickRow(shell, table, row):
    from PySide6 import QtCore, QtTest

    place = table.visualItemRect(table.item(row, 0)).center()
    QtTest.QTest.mouseClick(table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, place)
    shell.process()


def verify(shell, panel):
    shell.click(panel.ui.verifyButton)
    assert panel.ui.verifyButton.text == "Cancel"
    assert panel.ui.verifyProgressBar.visible
    shell.waitUntil(lambda: panel.ui.verifyButton.text == "Verify", ANSWER_S, "the end of the verification")


def test_nothing_is_asked_of_the_worker_before_the_box_is_opened(panel, files):
    assert panel.ui.computerButton.collapsed
    assert panel.ui.deviceTable.rowCount == 0


def test_the_box_lists_files_by_method_and_the_disk_they_use(opened):
    assert rows(opened.ui.weightsTable) == [["BLAST-CT", "2.0", "not verified"], ["ours.pt", "0.5", "not verified"]]
    assert opened.ui.diskLabel.text.startswith("2 files, 2 MB; ")
    assert "are free on the disk" in opened.ui.diskLabel.text


def test_verifying_marks_the_damaged_file_and_says_what_to_do(shell, opened, files):
    verify(shell, opened)
    assert [row[2] for row in rows(opened.ui.weightsTable)] == ["damaged", "unknown"]
    assert files[0].name in opened.ui.weightsTable.item(0, 2).toolTip()
    assert f"Damaged or altered: {files[0].name}. Remove these weights" in opened.ui.statusLabel.text
    assert not opened.ui.verifyProgressBar.visible


@pytest.mark.parametrize("agrees", [False, True])
def test_removing_asks_first_and_takes_the_method_its_weights(shell, opened, files, monkeypatch, agrees):
    import slicer

    questions = []
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, *_, **__: (questions.append(text), agrees)[1]
    )
    opened.methods.choose("blast-ct", "cpu")
    assert opened.methods.isReady
    assert not opened.ui.removeButton.enabled
    clickRow(shell, opened.ui.weightsTable, 0)
    shell.click(opened.ui.removeButton)
    if agrees:
        shell.waitUntil(lambda: opened.ui.weightsTable.rowCount == 1, ANSWER_S, "the removal")
    assert "1 files, 2.0 MB, of BLAST-CT" in questions[0]
    assert files[0].name in questions[0]
    assert files[0].exists() is not agrees
    assert files[1].exists()
    assert opened.methods.isReady is not agrees
    if agrees:
        assert opened.ui.needsFrame.visible


def test_a_file_that_came_again_is_not_taken_for_the_one_that_was_verified(shell, opened, files):
    verify(shell, opened)
    for path in files:
        path.unlink()
    opened.methods.update()
    assert opened.ui.weightsTable.rowCount == 0
    assert opened.ui.diskLabel.text.startswith("No weight files")
    files[0].write_bytes(bytes(2_000_000))
    opened.methods.update()
    assert rows(opened.ui.weightsTable) == [["BLAST-CT", "2.0", "not verified"]]


def test_the_folder_is_opened_and_made_if_it_is_absent(shell, opened, weights, monkeypatch):
    import qt

    urls = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: urls.append(url.toLocalFile()))
    for path in weights.iterdir():
        path.unlink()
    weights.rmdir()
    shell.click(opened.ui.folderButton)
    assert [os.path.normpath(url) for url in urls] == [str(weights)]
    assert weights.is_dir()


def test_import_is_offered_also_for_a_method_that_has_its_weights(shell, opened, monkeypatch, tmp_path):
    imported, files = [], [tmp_path / "fold 0.pt", tmp_path / "fold 1.pt"]
    for file in files:
        file.touch()
    monkeypatch.setattr(opened.methods, "importFiles", imported.append)
    assert opened.methods.isReady
    assert not opened.ui.importButton.visible
    with shell.fileDialog(*files):
        shell.click(opened.ui.importMoreButton)
    assert imported == [list(map(str, files))]
    with shell.fileDialog():
        shell.click(opened.ui.importMoreButton)
    assert len(imported) == 1  # the dialog was left by Escape


# ---- processors


@pytest.fixture
def described(shell, opened):
    """The opened box, with its processors."""
    pytest.importorskip("torch")
    shell.waitUntil(lambda: opened.ui.deviceTable.rowCount > 0, ANSWER_S, "the processors")
    return opened


def test_the_processors_are_found_and_tested(shell, described):
    table = described.ui.deviceTable
    assert ["CPU", "found"] in rows(table)
    shell.click(described.ui.testButton)
    assert not described.ui.testButton.enabled
    shell.waitUntil(lambda: described.ui.testButton.enabled, ANSWER_S, "the test")
    [state] = [state for title, state in rows(table) if title == "CPU"]
    assert state.partition(" ms in ")[2] in ("float32", "bfloat16")
    assert float(state.partition(" ms in ")[0]) > 0


def test_a_processor_that_does_not_work_says_why_and_the_next_one_is_tested(shell, described):
    table = described.ui.deviceTable
    absent = {"name": "cuda:77", "title": "Broken card", "problem": ""}
    described.methods._computer._processors._show([absent, {"name": "cpu", "title": "CPU", "problem": ""}])
    shell.click(described.ui.testButton)
    shell.waitUntil(lambda: described.ui.testButton.enabled, ANSWER_S, "the test")
    assert rows(table)[0] == ["Broken card", "does not work"]
    assert "'cuda:77' cannot be used" in table.item(0, 1).toolTip()
    assert "'cuda:77' cannot be used" in described.ui.computerLabel.text
    assert " ms in " in rows(table)[1][1]
    described.methods._computer._processors._show(())


# ---- diagnosis


def test_the_diagnosis_is_copied_and_names_neither_an_exam_nor_a_folder(shell, opened, phantom, files, weights):
    import qt

    phantom.volumeNode.SetName("Doe^Jane")
    qt.QApplication.clipboard().setText("")
    shell.click(opened.ui.diagnosticButton)
    shell.waitUntil(lambda: opened.ui.diagnosticButton.enabled, ANSWER_S, "the diagnosis")
    text = qt.QApplication.clipboard().text()
    assert text.startswith("Slicer 5.")
    assert "\nICHSegmenter 0." in text
    assert "blast-ct" in text
    for secret in ("Doe", files[1].name, str(weights), str(weights.parent)):
        assert secret not in text
    assert "Copied" in opened.ui.computerLabel.text


def test_a_worker_that_fails_is_part_of_the_diagnosis(shell, opened, monkeypatch):
    import qt

    from ICHSegmenterLib.errors import Failure

    def submit(message, *, failed, **_others):
        failed(Failure("crashed", "PythonSlicer at /nfs/jane/Slicer/bin/PythonSlicer did not start."))
        return "id"

    monkeypatch.setattr(opened.methods._client, "submit", submit)
    shell.click(opened.ui.diagnosticButton)
    text = qt.QApplication.clipboard().text()
    assert text.splitlines()[1] == "crashed: PythonSlicer at …/PythonSlicer did not start."
    assert opened.ui.diagnosticButton.enabled
