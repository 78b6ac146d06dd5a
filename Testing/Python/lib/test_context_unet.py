"""The network with context: its shapes, and the cards that could not run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ICHSegmenterLib.cards.json.writer import card_facts
from ICHSegmenterLib.cards.table import get_card, read_card
from ICHSegmenterLib.errors import CardError

torch = pytest.importorskip("torch")

from ICHSegmenterLib.methods.unet.context_network import ContextUNet  # noqa: E402
from ICHSegmenterLib.models import create_model  # noqa: E402


@pytest.mark.parametrize(("widths", "side"), [((8, 8), 12), ((8, 16, 16), 24), ((8, 8, 16, 16), 48)])
def test_every_pixel_of_a_slab_gets_a_logit_of_each_class(widths: tuple[int, ...], side: int):
    network = create_model("context_unet", num_classes=6, widths=widths)
    assert network(torch.rand(2, 7, side, 2 * side)).shape == (2, 6, side, 2 * side)


def test_the_default_is_the_bundled_network():
    card = get_card("compact-unet")
    made = create_model(card.network, **card.network_config)
    assert [one.shape for one in made.parameters()] == [one.shape for one in ContextUNet(6).parameters()]
    side, count = card.preprocessing.side, len(card.preprocessing.neighbors_mm) + len(card.preprocessing.windows)
    assert made(torch.rand(1, count, side, side)).shape == (1, 6, side, side)
    assert 2 * sum(one.numel() for one in made.parameters()) < 20e6  # bytes as it ships


def test_the_last_step_sees_single_pixels():
    """A change of one pixel of the slab itself moves the answer there more than at the other pixels of its block."""
    torch.manual_seed(0)
    network = ContextUNet(2, widths=(8, 8)).eval()
    with torch.inference_mode():
        for layer in (network.spread.weight, network.spread.bias):
            layer.zero_()  # what is left is the last step alone
        slab = torch.zeros(1, 7, 16, 16)
        before = network(slab)
        slab[0, -1, 8, 8] = 1.0
        moved = (network(slab) - before).abs().amax(dim=1)[0]
    assert set(zip(*(axis.tolist() for axis in moved.nonzero(as_tuple=True)), strict=True)) <= {
        (row, column) for row in (7, 8, 9) for column in (7, 8, 9)
    }
    assert moved[8, 8] > 0


def test_neighbors_are_seen():
    torch.manual_seed(0)
    network = ContextUNet(2, widths=(8, 8)).eval()
    slab = torch.rand(1, 7, 16, 16)
    with torch.inference_mode():
        before = network(slab)
        for neighbor in range(4):
            other = slab.clone()
            other[0, neighbor] += 1
            assert (network(other) - before).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preprocessing": {"side": 200}}, "preprocessing.side must be a multiple of 16, got 200"),
        (
            {"preprocessing": {"side": 200}, "network_config": {"widths": [8, 8, 8, 8, 8]}},
            "preprocessing.side must be a multiple of 32, got 200",
        ),
        ({"preprocessing": {"neighbors_mm": [-5.0, 5.0]}}, "preprocessing must have 3 windows and 4 neighbors_mm"),
        (
            {"preprocessing": {"neighbors_mm": [-5.0, 5.0, 7.0], "windows": [{"level": 40, "width": 80}] * 4}},
            "preprocessing must have 3 windows and 4 neighbors_mm",
        ),
        ({"preprocessing": {"neighbors_mm": 5}}, "preprocessing.neighbors_mm must be a list of at most"),
        ({"preprocessing": {"neighbors_mm": [-500, -5, 5, 10]}}, "preprocessing.neighbors_mm.0"),
        ({"preprocessing": {"slab_mm": 0}}, "preprocessing.slab_mm"),
        ({"network_config": {"widths": [12, 16]}}, "network_config.widths.0 must be a multiple of 8, got 12"),
        ({"network_config": {"widths": [8]}}, "network_config.widths"),
        ({"network_config": {"num_classes": 2}}, "knows_subtypes needs num_classes 6"),
        ({"network": "unet"}, "network of the predictor slab_unet must be one of context_unet, got 'unet'"),
        ({"preprocessing": {"kind": "SlicePreprocessing"}}, "SlicePreprocessing"),
    ],
)
def test_a_card_that_could_not_run_says_what_is_wrong(change: dict, message: str, tmp_path: Path):
    content = card_facts(get_card("compact-unet"))
    for key, value in change.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    (tmp_path / "card.json").write_text(json.dumps(content))
    with pytest.raises(CardError, match=re.escape(message)):
        read_card(tmp_path / "card.json")


def test_six_classes_are_assumed_where_a_card_does_not_say_how_many(tmp_path: Path):
    content = card_facts(get_card("compact-unet")) | {"network_config": {}}
    (tmp_path / "card.json").write_text(json.dumps(content))
    assert read_card(tmp_path / "card.json").knows_subtypes
    (tmp_path / "card.json").write_text(json.dumps(content | {"knows_subtypes": False, "labels": ["ICH"]}))
    with pytest.raises(CardError, match="labels must be 1 and num_classes 2, got 1 and 6"):
        read_card(tmp_path / "card.json")


def test_a_card_with_other_slabs_is_read_as_written(tmp_path: Path):
    content = card_facts(get_card("compact-unet"))
    content["preprocessing"] |= {"neighbors_mm": [-6, -3, 3, 6], "slab_mm": 3, "side": 224, "spacing_mm": 0.8}
    (tmp_path / "card.json").write_text(json.dumps(content))
    shown = read_card(tmp_path / "card.json").preprocessing
    assert (shown.neighbors_mm, shown.slab_mm, shown.side, shown.spacing_mm) == ((-6.0, -3.0, 3.0, 6.0), 3.0, 224, 0.8)
