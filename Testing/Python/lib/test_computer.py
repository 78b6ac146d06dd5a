"""This computer: its processors compute rightly, its disk is counted, and a report of it names nobody."""

from __future__ import annotations

import getpass
import re
from pathlib import Path

import pytest

from ICHSegmenterLib.cards.table import MODEL_CARDS, get_card
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import DeviceError
from ICHSegmenterLib.files import without_paths
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.cache import FOLDER_VARIABLE
from ICHSegmenterLib.weights.disk_use import disk_use
from worker_process import WorkerProcess


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of weights under the home of a person."""
    home = tmp_path / "Jane Doe"
    (home / "weights").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv(FOLDER_VARIABLE, str(home / "weights"))
    return home / "weights"


# ---- processors


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_cpu_computes_rightly_in_every_precision(monkeypatch, precision):
    pytest.importorskip("torch")
    from ICHSegmenterLib.computer import processor_check
    from ICHSegmenterLib.runtime.device import Device

    monkeypatch.setattr(processor_check, "choose_device", lambda name: Device(name, precision))
    checked = processor_check.check_processor("cpu")
    assert (checked.device, checked.precision) == ("cpu", precision)
    assert checked.milliseconds > 0


@pytest.mark.gpu
def test_the_graphics_card_computes_rightly():
    from ICHSegmenterLib.computer.processor_check import check_processor

    assert check_processor("cuda").device == "cuda"


@pytest.mark.parametrize("wrong", [1.05, float("nan")])
def test_a_processor_that_computes_wrong_numbers_is_refused(monkeypatch, wrong):
    torch = pytest.importorskip("torch")
    from ICHSegmenterLib.computer import processor_check

    real, calls = torch.nn.functional.conv2d, []

    def convolve(*tensors):
        calls.append(tensors)
        return real(*tensors) if len(calls) == 1 else real(*tensors) * wrong

    monkeypatch.setattr(torch.nn.functional, "conv2d", convolve)
    with pytest.raises(DeviceError, match="computes wrong numbers.*Choose 'cpu'"):
        processor_check.check_processor("cpu")


def test_the_worker_tests_a_processor_or_says_what_is_wrong_with_it():
    pytest.importorskip("torch")
    with WorkerProcess() as worker:
        done = worker.ask(type="test", device="cpu", id="a")
        absent = worker.ask(type="test", device="cuda:77", id="b")
    assert (done["type"], done["device"]) == ("done", "cpu")
    assert done["milliseconds"] > 0
    assert (absent["type"], absent["kind"]) == ("error", "bad_device")
    assert "cuda:77" in absent["message"]


def test_doctor_tests_a_device(capsys):
    pytest.importorskip("torch")
    assert main(["doctor", "--test", "cpu"]) == 0
    assert re.match(r"cpu works: \d+\.\d ms in (float32|bfloat16)\n", capsys.readouterr().out)


# ---- disk


def test_files_are_counted_by_the_methods_that_use_them(folder: Path):
    first, second = get_card("blast-ct").weights[:2]
    (folder / first.name).write_bytes(bytes(300))
    (folder / f"{second.name}.part").write_bytes(bytes(50))
    (folder / "of-nobody.pt").write_bytes(bytes(7))
    (folder / "notes.txt").write_bytes(bytes(1000))
    used = disk_use()
    assert [(one.methods, one.names, one.count, one.size) for one in used.stored] == [
        (("blast-ct",), tuple(sorted((first.name, second.name))), 2, 350),
        ((), ("of-nobody.pt",), 1, 7),
    ]
    assert (used.count, used.size) == (3, 357)
    assert used.free > 0


def test_a_file_of_two_methods_is_counted_once_and_names_both(folder: Path):
    shared = {
        file.name: tuple(card.name for card in MODEL_CARDS.values() if file in card.weights)
        for card in MODEL_CARDS.values()
        for file in card.weights
    }
    name, methods = next((name, methods) for name, methods in shared.items() if len(methods) > 1)
    (folder / name).write_bytes(bytes(9))
    (stored,) = disk_use().stored
    assert (stored.methods, stored.size) == (methods, 9)


def test_what_is_counted_can_be_removed_by_its_names(folder: Path):
    first, second = get_card("blast-ct").weights[:2]
    for name in (first.name, f"{first.name}.part", f"{second.name}.part", "of-nobody.pt"):
        (folder / name).write_bytes(bytes(10))
    for stored in disk_use().stored:
        store.remove(stored.names)
    assert disk_use().count == 0
    assert list(folder.iterdir()) == []


def test_an_absent_folder_uses_nothing(folder: Path):
    folder.rmdir()
    assert disk_use().count == 0


def test_the_worker_verifies_every_file(folder: Path):
    altered = get_card("blast-ct").weights[0].name
    (folder / altered).write_bytes(b"not this")
    (folder / "of-nobody.pt").write_bytes(b"what")
    with WorkerProcess(environment={FOLDER_VARIABLE: str(folder)}) as worker:
        worker.send(type="verify", id="a")
        progress = worker.until("progress")
        answer = worker.until("done")
    assert progress["phase"] == "verifying"
    here = {file["name"]: file["condition"] for file in answer["files"] if not file["is_bundled"]}
    assert here == {altered: "corrupt", "of-nobody.pt": "unknown"}


# ---- the text for others


def test_the_diagnosis_names_packages_and_methods_and_no_person(folder: Path):
    pytest.importorskip("torch")
    (folder / "dr-smith.pt").write_bytes(bytes(1_000_000))
    with WorkerProcess(environment={FOLDER_VARIABLE: str(folder), "HOME": str(folder.parent)}) as worker:
        text = worker.ask(type="diagnose", id="a")["text"]
    assert re.search(r"^  numpy +\d", text, re.MULTILINE)
    assert re.search(r"^  blast-ct +weights missing$", text, re.MULTILINE)
    assert re.search(r"^  cpu +works", text, re.MULTILINE)
    assert f"Weights in a folder that {FOLDER_VARIABLE} names: 1 files, 1.0 MB" in text
    for secret in ("Jane", "Doe", str(folder), "dr-smith", str(Path.home())):
        assert secret not in text
    if len(getpass.getuser()) > 4:
        assert getpass.getuser() not in text


def test_methods_of_ones_own_are_counted_and_not_named(folder: Path, monkeypatch):
    pytest.importorskip("torch")
    from dataclasses import replace

    from ICHSegmenterLib.computer import diagnosis

    own = replace(get_card("hu-threshold"), name="dr-smith")
    monkeypatch.setattr(diagnosis, "method_cards", lambda: {**MODEL_CARDS, own.name: own})
    lines = diagnosis.diagnosis_lines()
    assert "Methods of one's own: 1, ready: 1" in lines
    assert not any("smith" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot load /nfs/jane/lib/libtorch.so: no such file", "cannot load …/libtorch.so: no such file"),
        (r"cannot load C:\Users\jane\torch\lib\c10.dll; install", r"cannot load …/c10.dll; install"),
        (r"\\server\jane\share\a.pt is gone", "…/a.pt is gone"),
        ("(file '/data/jane/x.pt')", "(file '…/x.pt')"),
        ("1/2 of 3 mm, and/or 60 frames/s", "1/2 of 3 mm, and/or 60 frames/s"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_a_text_for_others_names_files_without_their_folders(text, expected):
    assert without_paths(text) == expected


def test_a_home_with_a_space_is_taken_out_whole(folder: Path):
    assert without_paths(f"{folder.parent}/cache/a b.pt is damaged") == "…/a b.pt is damaged"
