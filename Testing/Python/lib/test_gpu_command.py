"""`make gpu`, rehearsed on the CPU: the same code with small networks."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
for package in ("timm", "monai", "lightning", "torchvision"):
    pytest.importorskip(package, reason="needs the train extra")

from ICHSegmenterLib.cards.table import MODEL_CARDS
from ICHSegmenterLib.learning.recipe_file import load_recipe, recipe_names
from ICHSegmenterLib.models import MODEL_NAMES, create_model
from Testing.Gpu import __main__ as command
from Testing.Gpu import memory, networks, speed, training
from Testing.Gpu.cases import CASES
from Testing.Gpu.rows import attempt
from Testing.Gpu.tolerances import relative_difference, size_of, tolerance
from Testing.Gpu.trial_setup import Setup


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup("cpu", is_small=True, folder=tmp_path)


def case(name: str):
    return next(one for one in CASES if one.name == name)


@pytest.mark.shipped
def test_a_rehearsal_runs_every_section_and_writes_the_table(tmp_path, capsys):
    table = tmp_path / "table.md"
    assert command.main(["--device", "cpu", "--output", str(table)]) == 0
    text = table.read_text(encoding="utf-8")
    assert "no figure below is one of a graphics card" in text
    for section in (networks, memory, speed, training):
        assert f"### {section.TITLE}" in text
    for name in ("hgi-sam's map", "batches halved", "two methods warm", "compact-unet"):
        assert f"| {name} |" in text
    assert "failed" not in text and "not run" not in text and "an output is empty" not in text
    assert "0 failed, 0 not run" in capsys.readouterr().out


def test_without_a_cuda_device_it_says_so_and_measures_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main(["--output", str(tmp_path / "table.md")]) == 2
    assert "no CUDA device" in capsys.readouterr().err
    assert not (tmp_path / "table.md").exists()


def test_a_card_that_the_computer_does_not_have_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert command.main(["--device", "cuda:3", "--output", str(tmp_path / "table.md")]) == 2
    assert "no CUDA device cuda:3: this computer has 1" in capsys.readouterr().err


def test_every_network_is_compared_and_every_kind_of_network_is_timed():
    assert {one.network for one in CASES} == set(MODEL_NAMES)
    wanted = {card.network for card in MODEL_CARDS.values() if card.needs_weights}
    assert {MODEL_CARDS[method].network for method in speed.METHODS} == wanted


def test_every_recipe_has_a_batch_of_its_own_size_with_and_without_blood():
    for name in recipe_names():
        recipe = load_recipe(name, ["data.batch_size=2"])
        batch = training.noise_batch(recipe)
        if recipe.task == "series":
            assert batch[0]["label"].unique().tolist() == [0.0, 1.0]
            continue
        assert len(batch["image"]) == len(batch["mask"]) == 2
        for truth in (batch["mask"], batch["label"]):
            assert [bool(one.any()) for one in truth] == [True, False]


def test_float32_that_is_rounded_as_tf32_does_is_too_far_from_the_cpu(setup):
    """TF32 keeps 11 of the 24 bits of each factor."""
    network = case("unet (release)").build(is_small=True)
    rounded = copy.deepcopy(network).half().float()
    x = case("unet (release)").input(is_small=True)
    limit = tolerance("float32", *size_of(network))
    assert relative_difference(rounded(x), network(x)) > 10 * limit


def test_another_order_of_sums_in_float32_is_near_enough(setup):
    """Channels-last memory, and the sum in float64 in place of float32."""
    network = case("unet (release)").build(is_small=True)
    x, limit = case("unet (release)").input(is_small=True), tolerance("float32", *size_of(network))
    exact = copy.deepcopy(network).double()(x.double())
    assert 0 < relative_difference(network(x), exact) < limit


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_network_with_a_wrong_layer_is_too_far_in_every_precision(setup, precision):
    network = case("unet (release)").build(is_small=True)
    x, layers = case("unet (release)").input(is_small=True), size_of(network)
    wrong = copy.deepcopy(network)
    with torch.no_grad():
        wrong.head.weight.mul_(1.2)
    assert relative_difference(wrong(x), network(x)) > tolerance(precision, *layers)


def test_tolerances_shrink_with_the_bits_of_the_number_format_and_grow_with_depth():
    assert tolerance("float32", 20, 100) < tolerance("float16", 20, 100) < tolerance("bfloat16", 20, 100)
    assert tolerance("bfloat16", 80, 100) == pytest.approx(2 * tolerance("bfloat16", 20, 100))


def test_numbers_that_overflow_are_infinitely_far():
    assert relative_difference(torch.tensor([1.0, float("nan")]), torch.ones(2)) == float("inf")


def test_an_empty_map_is_only_equal_to_an_empty_map():
    assert relative_difference(torch.zeros(2), torch.zeros(2)) == 0.0
    assert relative_difference(torch.ones(2), torch.zeros(2)) == float("inf")


def test_an_absent_package_is_reported_and_is_no_failure():
    def trial():
        raise ModuleNotFoundError("No module named 'einops'", name="einops")

    row = attempt("swin_unetr", trial)
    assert (row.outcome, row.reason) == ("not run", "the Python package einops is not installed")


def test_a_network_whose_package_is_absent_is_reported_by_the_factorys_error(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "monai.networks.nets", None)
    row = attempt("swin_unetr", lambda: (create_model("swin_unetr"), ""))
    assert row.outcome == "not run" and "monai" in row.reason


def test_a_trial_that_fails_leaves_the_others_running(monkeypatch, setup):
    broken = SimpleNamespace(
        name="broken", rehearsed=("float32",), build=lambda is_small: 1 / 0, input=lambda is_small: None
    )
    monkeypatch.setattr(networks, "CASES", (broken, case("unet (final)")))
    outcomes = [(row.name, row.outcome, row.reason) for row in networks.rows(setup)]
    assert outcomes == [("broken", "failed", "ZeroDivisionError: division by zero"), ("unet (final)", "passed", "")]


def test_what_would_begin_too_late_is_not_run(setup):
    setup.deadline = 0.0
    assert {row.outcome for row in networks.rows(setup)} == {"not run"}


def test_the_limit_of_graphics_memory_is_lifted_afterwards_even_after_a_failure(monkeypatch, tmp_path):
    fractions = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=8 * 10**9))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, device: fractions.append(share))
    with (
        pytest.raises(RuntimeError, match="out of memory"),
        memory.limited(Setup("cuda", is_small=False, folder=tmp_path), 2 * 10**9, largest_batch=1),
    ):
        raise RuntimeError("CUDA out of memory")
    assert fractions == [0.25, 1.0]


def test_memory_that_does_not_run_out_is_a_failure_of_the_trial(monkeypatch, setup):
    """Else a fallback that is never taken would pass."""
    monkeypatch.setattr(memory, "limited", lambda *given, **options: memory.contextlib.nullcontext())
    assert "did not run out" in memory.halved(setup)[1]
