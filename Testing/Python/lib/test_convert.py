"""Authors' files as safetensors with a card: the same network, and known again when it is imported."""

import hashlib
import json
from dataclasses import replace
from types import MappingProxyType

import pytest
import torch

import rsna_state
from golden_numbers import Golden
from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.cards import published_files as published_weights
from ICHSegmenterLib.cards.table import MODEL_CARDS, card_facts, get_card
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import OutputError, WeightsCorruptError, WeightsError
from ICHSegmenterLib.methods.convert import UNKNOWN_LICENSE, convert
from ICHSegmenterLib.methods.from_card import load_network
from ICHSegmenterLib.models import create_model, load_checkpoint
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.synthesis.phantom import head_geometry, make_phantom
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.cache import weights_folder

REDUCED = MappingProxyType(rsna_state.REDUCED)
SMALL_SWIN = MappingProxyType(
    {
        "num_classes": 2,
        "image_size": 32,
        "window_size": 2,
        "embed_dim": 8,
        "depths": (2, 2, 2, 2),
        "num_heads": (1, 2, 2, 4),
    }
)


def unet_file(tmp_path, *, variant="release", seed=0):
    torch.manual_seed(seed)
    path = tmp_path / f"UNet-{variant}-{seed}.pth"
    torch.save({"state_dict": create_model("unet", variant=variant).state_dict()}, path)
    return path


def converted(tmp_path, **options):
    source = unet_file(tmp_path, **options)
    return convert(source, get_card("unet"), tmp_path / f"{source.stem}.safetensors")


def states_are_equal(one, other):
    one, other = one.state_dict(), other.state_dict()
    return list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in one)


def card_of(path):
    return json.loads(path.with_suffix(".json").read_text())


def test_a_converted_file_holds_the_same_network(tmp_path):
    source = unet_file(tmp_path)
    path = convert(source, get_card("unet"), tmp_path / "out.safetensors")
    assert states_are_equal(load_network(get_card("unet"), source), load_network(get_card("unet"), path))


def test_the_card_says_where_the_file_comes_from_and_what_it_needs(tmp_path):
    source = unet_file(tmp_path)
    path = convert(source, get_card("unet"), tmp_path / "out.safetensors", license_text="CC-BY-4.0")
    card = card_of(path)
    assert card["name"] == "unet"
    assert card["source"] == {"file": source.name, "sha256": hashlib.sha256(source.read_bytes()).hexdigest()}
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (card["license"], card["weights"], card["size"]) == ("CC-BY-4.0", "out.safetensors", path.stat().st_size)
    assert card["preprocessing"]["kind"] == "SlicePreprocessing" and card["preprocessing"]["crop"] == 384
    assert card["labels"] == ["ICH"]
    assert card["created"].endswith("+00:00")


def test_the_license_of_a_file_that_nobody_knows_is_not_invented(tmp_path):
    assert card_of(converted(tmp_path))["license"] == UNKNOWN_LICENSE


def test_a_published_file_keeps_its_name_and_license_in_the_card(tmp_path, monkeypatch):
    source = unet_file(tmp_path)
    known = replace(published_weights.UNET_FOLDS[2], sha256=hashlib.sha256(source.read_bytes()).hexdigest())
    monkeypatch.setattr("ICHSegmenterLib.methods.convert.weights_by_sha256", lambda: {known.sha256: known})
    card = card_of(convert(source, get_card("unet"), tmp_path / "out.safetensors"))
    assert (card["license"], card["source"]["file"]) == ("Apache-2.0", "UNet-DiceCELoss-fold2.pt")


def test_the_card_names_the_variant_that_the_file_turned_out_to_be_of(tmp_path):
    assert card_of(converted(tmp_path, variant="final"))["network_config"] == {"variant": "final"}


def test_the_authors_paddle_file_converts_to_the_network_of_its_golden_numbers(tmp_path):
    card = replace(get_card("rsna-sequence"), network_config=REDUCED)
    source = rsna_state.write_rsna_state(tmp_path / "golden_state.pdparams")
    path = convert(source, card, tmp_path / "rsna.safetensors")
    network = load_network(card, path)
    with torch.inference_mode():
        logits = network(torch.from_numpy(Golden("rsna/golden_input")["x"]).float() / 255)[0]
    # As in the parity test of this network: rounding of 40 sums of up to 1000 terms in single precision.
    Golden("rsna/golden_output").assert_close("stage2_logits", logits, relative=1e-4)


@pytest.mark.parametrize(
    ("method", "config"), [("hgi-sam", SMALL_SWIN), ("blast-ct", None), ("rsna-sequence", REDUCED)]
)
def test_every_kind_of_network_survives_the_way_through_a_file(method, config, tmp_path):
    card = get_card(method) if config is None else replace(get_card(method), network_config=config)
    torch.manual_seed(3)
    network = create_model(card.network, **card.network_config)
    torch.save(network.state_dict(), tmp_path / "source.pt")
    path = convert(tmp_path / "source.pt", card, tmp_path / "out.safetensors")
    again = create_model(card.network, **card.network_config)
    load_checkpoint(again, path)
    assert states_are_equal(network, again)


def test_a_file_of_another_network_is_refused_and_nothing_is_written(tmp_path):
    torch.save(create_model("deepmedic").state_dict(), tmp_path / "blast.pt")
    with pytest.raises(WeightsError, match="belongs to another network"):
        convert(tmp_path / "blast.pt", get_card("unet"), tmp_path / "out.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["blast.pt"]


def test_the_output_must_be_another_safetensors_file(tmp_path):
    source = unet_file(tmp_path)
    with pytest.raises(WeightsError, match=r"ends in \.safetensors"):
        convert(source, get_card("unet"), tmp_path / "out.pt")
    with pytest.raises(WeightsError, match="has no weights to convert"):
        convert(source, get_card("hu-threshold"), tmp_path / "out.safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"out\.safetensors cannot be written"):
        convert(source, get_card("unet"), tmp_path / "file" / "out.safetensors")


def test_an_imported_file_makes_its_method_ready_and_is_what_runs(tmp_path):
    path = converted(tmp_path)
    assert not store.state(get_card("unet")).is_ready
    (imported,) = store.import_files([path])
    state = store.state(get_card("unet"))
    assert state.is_ready and state.present == () and state.imported == (imported,)
    assert store.find(get_card("unet")) == (weights_folder() / path.name,)
    assert store.state(get_card("swin-unetr")).imported == ()
    geometry = head_geometry((10, 64, 64), pixel_mm=(3.6, 3.6), slice_step_mm=14.0)
    result = analyze(make_phantom(geometry).volume, AnalysisRequest("unet"))
    assert result.provenance.weights == {path.name: imported.sha256}


def test_published_files_go_before_imported_ones(tmp_path, monkeypatch):
    store.import_files([converted(tmp_path)])
    content = b"published"
    file = replace(published_weights.UNET_FOLDS[0], sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    (weights_folder() / file.name).write_bytes(content)
    assert store.find(replace(get_card("unet"), weights=(file,))) == (weights_folder() / file.name,)


def test_a_folder_gives_the_files_that_have_a_card(tmp_path):
    folder = tmp_path / "department"
    folder.mkdir()
    for seed in (0, 1):
        source = unet_file(tmp_path, seed=seed)
        convert(source, get_card("unet"), folder / f"fold{seed}.safetensors")
    (folder / "notes.json").write_text("[]")
    assert [file.name for file in store.import_files([folder])] == ["fold0.safetensors", "fold1.safetensors"]
    assert len(store.find(get_card("unet"))) == 2


def test_another_file_of_the_same_name_does_not_replace_the_first(tmp_path):
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        convert(unet_file(tmp_path, seed=seed), get_card("unet"), tmp_path / str(seed) / "mine.safetensors")
    first, second = (store.import_files([tmp_path / str(seed) / "mine.safetensors"])[0] for seed in (0, 1))
    assert first.name == "mine.safetensors"
    assert second.name == f"mine-{second.sha256[:8]}.safetensors"
    assert len(store.find(get_card("unet"))) == 2


def test_a_file_that_was_altered_after_its_card_was_written_is_refused(tmp_path):
    path = converted(tmp_path)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(WeightsCorruptError, match="is not the file that"):
        store.import_files([path])
    assert not store.state(get_card("unet")).is_ready


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"format_version": 1, "name": "best"},
            "names the method 'best', which this version does not have; available: .*unet",
        ),
        ({"preprocessing": {"kind": "NoPreprocessing"}}, "preprocessing of the predictor unet must be SlicePrepr"),
    ],
)
def test_a_card_that_does_not_belong_to_a_method_is_refused(change, told, tmp_path):
    path = converted(tmp_path)
    path.with_suffix(".json").write_text(json.dumps({**card_of(path), **change}))
    with pytest.raises(WeightsError, match=told):
        store.import_files([path])


def test_without_its_card_a_file_is_unknown_but_may_be_chosen(tmp_path):
    path = converted(tmp_path)
    path.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match="import FILE --method NAME"):
        store.import_files([path])
    assert store.find(get_card("unet"), [path]) == (path,)


def test_imported_files_are_verified_and_removed_with_their_cards(tmp_path):
    store.import_files([converted(tmp_path)])
    ((path, condition),) = store.verify()
    assert condition is store.FileCondition.INTACT
    path.write_bytes(b"broken")
    assert store.verify() == [(path, store.FileCondition.CORRUPT)]
    with pytest.raises(WeightsCorruptError, match="was altered"):
        store.find(get_card("unet"))
    assert {one.suffix for one in store.remove(["unet"])} == {".safetensors", ".json"}
    assert not path.exists() and not path.with_suffix(".json").exists()


def test_the_command_line_converts_imports_and_lists(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = unet_file(tmp_path)
    assert main(["models", "convert", str(source), "--method", "unet"]) == 0
    assert "UNet-release-0.safetensors" in capsys.readouterr().out
    assert main(["models", "import", "UNet-release-0.safetensors"]) == 0
    assert main(["models", "list"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("unet ")]
    assert "ready" in row and "1 imported" in row
    assert main(["models", "convert", str(source), "--method", "hgi-sam"]) == 1
    assert "belongs to another network" in capsys.readouterr().err


@pytest.mark.parametrize("method", MODEL_CARDS)
def test_every_card_can_be_written_as_json(method):
    facts = json.loads(json.dumps(card_facts(get_card(method))))
    assert facts["name"] == method
    assert facts["preprocessing"]["kind"].endswith("Preprocessing")
