"""Cards as data: read with the standard library, old ones too; a faulty or hostile one is told by file and key."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import REPOSITORY
from ICHSegmenterLib.cards.json.consistency import check_consistent
from ICHSegmenterLib.cards.network_config import NETWORK_CONFIGS
from ICHSegmenterLib.cards.predictors import PREDICTORS
from ICHSegmenterLib.cards.requirement import REQUIREMENTS
from ICHSegmenterLib.cards.table import MODEL_CARDS, card_facts, get_card, method_cards, read_card, with_options
from ICHSegmenterLib.errors import CardError, ModelNotFoundError
from ICHSegmenterLib.methods.table import PREDICTOR_NAMES
from ICHSegmenterLib.preprocessing.spec import Window
from ICHSegmenterLib.runtime.networks import MODEL_NAMES
from ICHSegmenterLib.weights.cache import writable_weights_folder
from own_method import OWN_CARD


def card_file(folder: Path, content: object) -> Path:
    path = folder / "mine.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def changed(path: str, value: object) -> dict:
    """The card with one value replaced, by a path with dots."""
    content = json.loads(json.dumps(OWN_CARD))
    *parents, key = path.split(".")
    inner = content
    for parent in parents:
        inner = inner[int(parent)] if isinstance(inner, list) else inner[parent]
    inner[int(key) if isinstance(inner, list) else key] = value
    return content


def test_a_card_of_a_stranger_is_read_as_written(tmp_path: Path):
    card = read_card(card_file(tmp_path, OWN_CARD))
    assert (card.name, card.title, card.license) == ("my-unet", "U-Net of our department", "CC-BY-4.0")
    assert dict(card.network_config) == {"variant": "final", "widths": (4, 8, 16)}
    assert card.preprocessing.windows[0] == Window(45, 90)
    assert card.option_values == {"tta": False, "min_pixels": 3}
    assert (card.threshold, card.detection_threshold) == (0.3, 0.4)


@pytest.mark.parametrize("method", MODEL_CARDS)
def test_every_card_of_the_program_is_the_same_after_a_way_through_json(method: str, tmp_path: Path):
    card = get_card(method)
    check_consistent(card)
    facts = card_facts(card)
    assert card_facts(read_card(card_file(tmp_path, facts))) == facts


@pytest.mark.shipped
@pytest.mark.parametrize("method", ["compact-unet", "compact-hgi"])
def test_the_card_that_ships_beside_a_weight_file_is_the_card_of_its_method(method: str):
    path = REPOSITORY / "Resources" / "Models" / f"{method}.json"
    own = get_card(method)
    shipped = read_card(path)  # figures and release are the weights', and stand in this file alone
    assert card_facts(replace(shipped, trust=own.trust, release=own.release)) == card_facts(own)
    assert "module:" not in path.read_text() and "ICHSegmenterLib" not in path.read_text()


def test_cards_are_read_with_the_standard_library_alone():
    """The panel reads them before any package is there."""
    code = (
        "import sys\n"
        "for name in ('torch', 'yaml', 'numpy', 'scipy', 'pydicom'): sys.modules[name] = None\n"
        "from ICHSegmenterLib.cards.table import method_cards\n"
        "print(len(method_cards()))"
    )
    printed = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert printed.stdout.strip() == str(len(MODEL_CARDS)), printed.stderr


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("treshold", 0.5, "unknown key 'treshold'; did you mean 'threshold'"),
        ("name", "../../evil", "name must be lower-case letters"),
        ("name", "auto", "none of all, auto"),
        ("title", "<img src=http://x>", "title must be plain text"),
        ("title", "\ud800", "title must be plain text"),
        ("limits", "x" * 5000, "limits must be plain text of at most 4000"),
        ("predictor", "os:system", "predictor must be one of blast_ct"),
        ("network", "os.system", "network of the predictor unet must be one of unet, swin_unetr"),
        ("network_config.widths", [10**9] * 3, "network_config.widths must be a list of 2 to 6 numbers"),
        ("network_config.widths", 10**30, "network_config.widths must be a list"),
        ("network_config.path", "x", "network_config.path: unet has no such argument; known: variant"),
        ("network_config.num_classes", True, "network_config.num_classes must be a whole number from 2 to 6"),
        ("network_config.num_classes", 6, "labels must be 1 and num_classes 2, got 1 and 6"),
        ("options.tta", "yes", "option tta of the card is a bool"),
        ("options.min_pixels", 0, "option min_pixels of the card must lie between 1 and 10000"),
        ("options.map_kind", "swin-sam", "options.map_kind: unet knows tta, suppress_bone, min_pixels"),
        ("wiring", {"map_kind": "hgi-sam"}, "wiring must hold nothing"),
        ("requirements", ["evil-package"], "requirements must be some of torch"),
        ("requirements", [["torch"]], "requirements must be some of torch"),
        ("preprocessing.kind", "Pickle", "preprocessing.kind must be one of NoPreprocessing"),
        ("preprocessing.crop", 10**12, "preprocessing.crop must be a whole number from 8 to 2048"),
        ("preprocessing.crop", 62, "preprocessing.crop must be a multiple of 4, got 62"),
        ("preprocessing.windows", [], "preprocessing.windows must be a list of 1 to 16"),
        ("preprocessing.windows", [{"level": 40, "width": 80}], "preprocessing.windows must be 3"),
        ("preprocessing.windows.0", {"level": 40, "width": 0}, "preprocessing.windows.0.width must be a whole number"),
        ("labels", ["ICH", "ICH"], "labels must be some of ICH"),
        ("labels", [{}], "labels must be some of ICH"),
        ("threshold", 1.5, "threshold must lie between 0 and 1"),
        ("threshold", "0.5", "threshold must be a number"),
        ("threshold", None, "threshold must be given"),
        ("labelmap_rule", "exec", "labelmap_rule must be one of threshold, sum, argmax"),
        ("default_models", 10**6, "default_models must lie between 1 and 32"),
        ("weights", "../../../etc/passwd.pt", "weights.0.name must be the name of a weight file in the card's folder"),
        ("weights", "/etc/passwd.pt", "weights.0.name must be the name"),
        ("weights", "C:\\x.pt", "weights.0.name must be the name"),
        ("weights", "own.pt", "weights.0.sha256 must be 64 hexadecimal digits"),
        ("weights", [{"name": "a.pt", "sha256": "0" * 64, "size": -1}], "weights.0.size must be bytes"),
        ("weights", [7], "weights.0 must be an object"),
        ("format_version", 3, "format_version is 3, this version reads 1 and 2"),
        ("format_version", [2], "format_version is"),
        ("name", "blast-ct", "name 'blast-ct' is a method of the program (predictor blast_ct)"),
    ],
)
def test_a_faulty_or_hostile_card_is_told_by_file_and_key(path: str, value: object, message: str, tmp_path: Path):
    with pytest.raises(CardError, match=rf"^mine\.json: .*{re.escape(message)}"):
        read_card(card_file(tmp_path, changed(path, value)))


@pytest.mark.parametrize("key", ["title", "license", "preprocessing", "requirements", "labels"])
def test_a_card_without_a_needed_key_is_told_which(key: str, tmp_path: Path):
    content = {name: value for name, value in OWN_CARD.items() if name != key}
    with pytest.raises(CardError, match=f"{key} must be given"):
        read_card(card_file(tmp_path, content))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format_version": 2', "no valid JSON"),
        ('{"format_version": 2, "threshold": NaN}', "NaN is no number"),
        ("[" * 100_000, "no valid JSON"),
        ('{"format_version": ' + "9" * 10_000 + "}", "no valid JSON"),
        ('{"format_version": 2, "x": "' + "y" * 1_100_000 + '"}', "too many for a model card"),
    ],
)
def test_a_file_made_to_crash_the_reader_is_a_typed_error(text: str, message: str, tmp_path: Path):
    with pytest.raises(CardError, match=message):
        read_card(card_file(tmp_path, text))


def test_addresses_in_a_foreign_card_are_never_fetched(tmp_path: Path):
    file = {"name": "a.pt", "sha256": "0" * 64, "size": 10, "urls": ["http://localhost/a.pt"]}
    (weights,) = read_card(card_file(tmp_path, {**OWN_CARD, "weights": [file]})).weights
    assert weights.urls == () and "not fetched" in weights.note


def test_a_faulty_card_in_the_weights_folder_hides_no_method_and_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ICHSegmenterLib.cards.own._logged", set())
    folder = writable_weights_folder()
    card_file(folder, changed("predictor", "os:system"))
    (folder / "own.json").write_text(json.dumps(OWN_CARD))
    (folder / "verified.json").write_text("{}")
    for _ in range(3):
        assert list(method_cards()) == [*MODEL_CARDS, "my-unet"]
    (record,) = [record for record in caplog.records if "mine.json" in record.message]
    assert "predictor must be one of" in record.message
    assert get_card("my-unet").title == OWN_CARD["title"]
    with pytest.raises(ModelNotFoundError, match="available: .*my-unet"):
        get_card("yours")


OLD = {
    "name": "compact-unet",
    "title": "Compact U-Net (works offline)",
    "summary": "2D U-Net",
    "labels": ["EDH", "IPH", "IVH", "SAH", "SDH"],
    "license": "Apache-2.0",
    "paper": "trained here",
    "limits": "Research only.",
    "network": "unet",
    "network_config": {"variant": "release", "num_classes": 6},
    "predictor_config": {"tta": True, "skull_guard": True, "ignored_pixels": 20},
    "preprocessing": {
        "kind": "SlicePreprocessing",
        "windows": [{"level": 40, "width": 80}, {"level": 80, "width": 200}, {"level": 600, "width": 2800}],
        "resize": 212,
        "crop": 192,
        "normalization": "window",
    },
    "labelmap_rule": "together",
    "threshold": 0.6,
    "detection_threshold": 0.95,
    "positive_slices_only": False,
    "value_name": "score",
    "knows_subtypes": True,
    "doi": "",
    "recipe": "compact-unet",
    "weights": "compact-unet.safetensors",
    "sha256": "ab61458322bc0fb557fc8e431f5d642d258824c3f745631818edea900099cde2",
    "size": 2415228,
    "results": {"val_dice": 0.6},
    "made_with": {"ichsegmenter": "0.1.0"},
}
"""As version 0.1 wrote it beside its weights."""


def test_a_card_of_version_0_1_means_what_it_meant(tmp_path: Path):
    card = read_card(card_file(tmp_path, OLD))
    assert card.option_values == {"tta": True, "suppress_bone": True, "min_pixels": 21}
    assert (card.labelmap_rule, card.predictor, card.threshold) == ("sum", "unet", 0.6)
    assert [one.module for one in card.requirements] == ["torch"]
    assert card.weights[0].size == 2415228


def test_old_wiring_and_old_smart_net_input_are_understood(tmp_path: Path):
    old = {**OLD, **{key: card_facts(get_card("swin-gradcam"))[key] for key in ("name", "labels", "network")}}
    old |= {"network_config": {"num_classes": 2}, "knows_subtypes": False, "labelmap_rule": "threshold"}
    old["predictor_config"] = {"map_kind": "grad-cam", "tta": True}
    old["preprocessing"] = card_facts(get_card("swin-gradcam"))["preprocessing"]
    card = read_card(card_file(tmp_path, old))
    assert (dict(card.wiring), card.option_values) == ({"map_kind": "grad-cam"}, {"tta": True})
    old = {**OLD, "name": "smart-net-cls", "labels": [], "network": "smart_net_down_cls", "network_config": {}}
    old |= {"predictor_config": {"drop_empty_ends": True}, "knows_subtypes": False}
    old["preprocessing"] = {"kind": "SmartNetPreprocessing", "window": {"level": 40, "width": 80}, "spread": "slice"}
    card = read_card(card_file(tmp_path, {**old, "labelmap_rule": "threshold"}))
    assert card.preprocessing.normalize == "slice"
    assert card.option_values == {"drop_empty_ends": True}


def test_the_closed_tables_name_the_same_predictors_and_networks():
    assert set(PREDICTOR_NAMES) == set(PREDICTORS)
    assert set(NETWORK_CONFIGS) == set(MODEL_NAMES)
    assert {name for kind in PREDICTORS.values() for name in kind.networks} == set(MODEL_NAMES)


def test_what_cards_require_is_what_the_extras_of_the_wheel_install():
    tomllib = pytest.importorskip("tomllib")
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for requirement in REQUIREMENTS.values():
        assert requirement.package in extras[requirement.extra]
    required = {one for card in MODEL_CARDS.values() for one in card.requirements}
    assert required == set(REQUIREMENTS.values())


@pytest.mark.parametrize("value", ["nonsense", "swin-sam"])
def test_wiring_is_no_option(value: str):
    message = r"hgi-sam has no option 'map_kind'; available: tta \(true or false\): also look at the mirrored slices"
    with pytest.raises(ValueError, match=message):
        with_options(get_card("hgi-sam"), {"map_kind": value})


def test_options_are_checked_by_kind_and_range():
    card = get_card("compact-unet")
    assert with_options(card, {"min_pixels": 5}).option_values["min_pixels"] == 5
    for value, message in ((5.0, "is an int like 21, got 5.0"), (True, "is an int"), (0, "between 1 and 10000, got 0")):
        with pytest.raises(ValueError, match=message):
            with_options(card, {"min_pixels": value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": [2, 2, 3, 2]}, "network_config.num_heads.2 must divide 32, got 3"),
        ({"image_size": 200}, "network_config.image_size must be a multiple of 32, got 200"),
        ({"window_size": 5}, "network_config.window_size must divide 48, got 5"),
        ({"num_classes": 6}, "num_classes must be 2 for hgi-sam, got 6"),
        ({"image_size": 384}, "preprocessing.crop must be network_config.image_size 384, got 192"),
    ],
)
def test_a_swin_that_could_not_run_is_told_when_its_card_is_read(change: dict, message: str, tmp_path: Path):
    content = card_facts(get_card("compact-hgi"))
    content["network_config"] |= {"embed_dim": 8, "num_heads": [2, 4, 8, 16], **change}
    with pytest.raises(CardError, match=re.escape(message)):
        read_card(card_file(tmp_path, content))


def test_the_card_in_the_documentation_is_one(tmp_path: Path):
    page = (REPOSITORY / "docs" / "develop" / "add-a-method.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", page, re.S)
    assert read_card(card_file(tmp_path, example)).name == "my-unet"
