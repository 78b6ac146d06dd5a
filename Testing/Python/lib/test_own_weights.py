"""Weights of one's own: title and license are theirs; a folder with a faulty card hides nothing that was imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.cards.trust import NO_TRUST
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import CardError, ModelNotFoundError, WeightsError
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.cache import weights_folder
from ICHSegmenterLib.weights.digests import MEMORY_FILE
from ICHSegmenterLib.weights.own_file import UNKNOWN_LICENSE, OwnFacts, embedded_facts
from own_method import file_facts, write_card


def own_file(path: Path, content: bytes = b"weights of ours") -> Path:
    path.write_bytes(content)
    return path


def safetensors(path: Path, **metadata: object) -> Path:
    """A file with a header and no tensors."""
    header = json.dumps({"__metadata__": metadata}).encode()
    return own_file(path, len(header).to_bytes(8, "little") + header)


def installed() -> dict:
    """The one card in the weights folder."""
    (path,) = (path for path in weights_folder().glob("*.json") if path.name != MEMORY_FILE)
    return json.loads(path.read_text())


def test_a_single_file_keeps_its_name_as_title_and_is_not_licensed_unasked(tmp_path: Path):
    (file,) = store.import_files([own_file(tmp_path / "our ward.pt")], OwnFacts("unet"))
    card = store.card_of("unet")
    assert (file.name, file.license) == ("our ward.pt", UNKNOWN_LICENSE)
    assert (card.title, card.license) == ("our ward (own weights for unet)", UNKNOWN_LICENSE)
    assert "five folds" not in card.title and card.trust == NO_TRUST and card.release == ""
    assert store.is_ready(get_card("unet"))
    assert store.find(get_card("unet")) == (weights_folder() / "our ward.pt",)


def test_title_and_license_are_taken_as_stated(tmp_path: Path, capsys):
    path = own_file(tmp_path / "a.pt")
    words = ["--method", "unet", "--title", "Night shift", "--license", "CC-BY-4.0"]
    assert main(["models", "import", str(path), *words]) == 0
    assert "CC-BY-4.0" in capsys.readouterr().out
    assert installed()["title"] == "Night shift (own weights for unet)"
    assert installed()["license"] == "CC-BY-4.0"
    assert main(["models", "list"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("unet ")]
    assert "CC-BY-4.0" in row and "Apache" not in row


def test_title_and_license_in_a_safetensors_file_are_its_own(tmp_path: Path):
    path = safetensors(tmp_path / "x.safetensors", title="Ward <7>\n", license="MIT")
    assert embedded_facts(path) == OwnFacts(title="Ward 7", license="MIT")
    store.import_files([path], OwnFacts("unet"))
    assert (installed()["title"], installed()["license"]) == ("Ward 7 (own weights for unet)", "MIT")


@pytest.mark.parametrize("content", [b"", b"\x01", (2**40).to_bytes(8, "little"), (4).to_bytes(8, "little") + b"[1]x"])
def test_a_damaged_header_states_nothing(content: bytes, tmp_path: Path):
    assert embedded_facts(own_file(tmp_path / "x.safetensors", content)) == OwnFacts()


def test_a_card_beside_a_file_keeps_what_is_not_stated(tmp_path: Path):
    path = own_file(tmp_path / "ours.pt")
    write_card(tmp_path / "ours.json", **file_facts(path))
    (file,) = store.import_files([path], OwnFacts(license="MIT"))
    assert file.license == "MIT"
    assert (installed()["title"], installed()["license"]) == ("U-Net of our department", "MIT")


def test_a_named_file_without_a_card_runs_under_its_own_title(tmp_path: Path):
    first, second = own_file(tmp_path / "a.pt"), own_file(tmp_path / "b.pt", b"others")
    assert store.card_of("unet", [first]).title == "a (own weights for unet)"
    both = store.card_of("unet", [first, second])
    assert (both.title, both.license) == ("a and 1 more (own weights for unet)", UNKNOWN_LICENSE)
    assert store.card_of("hu-threshold", [first]) == get_card("hu-threshold")  # refused later, for it takes no weights


def test_a_published_file_keeps_title_and_license(shared_data, tmp_path: Path):
    path = shared_data("data/blast_ct_v1/model_7.pt")
    assert store.card_of("blast-ct", [path]) == get_card("blast-ct")
    with pytest.raises(
        WeightsError, match=r"published file blast_ct_v1_model_7\.pt, whose title and license are known"
    ):
        store.import_files([path], OwnFacts(title="Mine"))


def test_an_own_file_of_no_method_is_refused_with_the_option_that_names_it(tmp_path: Path):
    with pytest.raises(WeightsError, match="models import FILE --method NAME"):
        store.import_files([own_file(tmp_path / "a.pt")])
    with pytest.raises(ModelNotFoundError):
        store.import_files([tmp_path / "a.pt"], OwnFacts("nonsense"))
    with pytest.raises(WeightsError, match="hu-threshold has no network"):
        store.import_files([tmp_path / "a.pt"], OwnFacts("hu-threshold"))


@pytest.mark.parametrize("text", ["<b>", "two\nlines", "x" * 200])
def test_a_title_that_no_card_may_hold_is_refused(text: str):
    with pytest.raises(ValueError, match="title must be one line"):
        OwnFacts(title=text)


def test_a_refused_card_in_a_folder_hides_nothing_that_was_imported(tmp_path: Path, capsys):
    for name in ("a", "z"):
        path = own_file(tmp_path / f"{name}.pt", name.encode())
        write_card(tmp_path / f"{name}.json", **file_facts(path))
    write_card(tmp_path / "m.json", threshold=7)
    with pytest.raises(WeightsError, match=r"m\.json: threshold must lie.*Imported: a\.pt, z\.pt\."):
        store.import_files([tmp_path])
    assert {path.name for path in weights_folder().glob("?.*")} == {"a.pt", "a.json", "z.pt", "z.json"}
    assert main(["models", "import", str(tmp_path)]) == 1
    assert "Imported: a.pt, z.pt." in capsys.readouterr().err


def test_a_card_refused_alone_keeps_its_kind(tmp_path: Path):
    with pytest.raises(CardError, match="threshold must lie"):
        store.import_files([write_card(tmp_path / "m.json", threshold=7)])
