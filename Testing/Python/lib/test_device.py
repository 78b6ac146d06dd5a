"""Processor and precision, with a fake torch in place of graphics cards."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import DeviceError
from ICHSegmenterLib.request import PRECISIONS, check_device_request
from ICHSegmenterLib.runtime import device
from ICHSegmenterLib.runtime.device import choose_device, torch_dtype


def machine(*capabilities: tuple[int, int], mps: bool = False, bfloat16_cpu: bool = False) -> SimpleNamespace:
    """A torch that sees CUDA cards of these compute capabilities."""
    return SimpleNamespace(
        cuda=SimpleNamespace(
            is_available=lambda: bool(capabilities),
            device_count=lambda: len(capabilities),
            get_device_capability=lambda name: capabilities[int(name.partition(":")[2] or 0)],
        ),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
        cpu=SimpleNamespace(get_capabilities=lambda: {"avx512_bf16": bfloat16_cpu}),
    )


@pytest.fixture
def computer(monkeypatch):
    """Call it with a machine: `choose_device` then runs there, and every processor works."""

    def enter(torch: SimpleNamespace) -> None:
        monkeypatch.setattr(device, "import_torch", lambda: torch)
        monkeypatch.setattr(device, "_problem_of", lambda torch, name: "")

    return enter


@pytest.mark.parametrize(
    ("capability", "precision"),
    [
        ((6, 1), "float32"),  # Pascal
        ((7, 0), "float16"),  # Volta
        ((7, 5), "float16"),  # Turing
        ((8, 0), "bfloat16"),  # Ampere
        ((8, 6), "bfloat16"),
        ((9, 0), "bfloat16"),  # Hopper
        ((12, 0), "bfloat16"),  # Blackwell
    ],
)
def test_auto_takes_what_the_card_computes_in(computer, capability, precision):
    computer(machine(capability))
    assert choose_device().precision == precision
    assert choose_device("cuda").precision == precision


def test_each_card_of_a_computer_has_its_own_precision(computer):
    computer(machine((8, 0), (7, 5), (6, 1)))
    assert [choose_device(f"cuda:{n}").precision for n in range(3)] == ["bfloat16", "float16", "float32"]


def test_the_cpu_and_mps_never_get_float16_by_themselves(computer):
    computer(machine(mps=True, bfloat16_cpu=True))
    assert choose_device("cpu").precision == "bfloat16"
    assert choose_device("auto").precision == "float32"


@pytest.mark.parametrize("requested", ["cpu", "auto"])
def test_bfloat16_that_the_cpu_only_imitates_is_called_slow(computer, requested):
    computer(machine())
    (notice,) = choose_device(requested, "bfloat16").notices
    assert "imitates it very slowly. Choose float32" in notice.text
    assert choose_device(requested).notices == choose_device(requested, "float32").notices == ()
    computer(machine(bfloat16_cpu=True))
    assert choose_device(requested, "bfloat16").notices == ()


def test_float16_can_be_asked_for_on_any_graphics_card(computer):
    computer(machine((9, 0), mps=True))
    assert choose_device("cuda:0", "float16").precision == "float16"
    assert choose_device("mps", "float16").precision == "float16"


@pytest.mark.parametrize("requested", ["cpu", "auto"])
def test_float16_on_the_cpu_is_refused_with_what_to_do(computer, requested):
    computer(machine())
    with pytest.raises(DeviceError, match=r"'float16' is for graphics cards.*Choose the precision 'auto'"):
        choose_device(requested, "float16")


def test_float16_on_the_cpu_is_refused_before_anything_is_loaded():
    with pytest.raises(DeviceError, match="'float16' is for graphics cards"):
        check_device_request("cpu", "float16")
    check_device_request("auto", "float16")
    check_device_request("cuda:1", "float16")


def test_the_command_line_knows_float16_and_says_why_the_cpu_does_not(capsys, tmp_path):
    assert (
        main(["batch", str(tmp_path), "--output", str(tmp_path / "o"), "--device", "cpu", "--precision", "float16"])
        == 2
    )
    assert "'float16' is for graphics cards" in capsys.readouterr().err


def test_every_precision_but_auto_has_a_dtype():
    torch = pytest.importorskip("torch")
    dtypes = [torch_dtype(precision) for precision in PRECISIONS if precision != "auto"]
    assert dtypes == [torch.float32, torch.bfloat16, torch.float16]
