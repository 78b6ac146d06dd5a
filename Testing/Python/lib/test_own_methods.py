"""What people add from outside: a method by one card, weights of another input by no file at all."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from head_volumes import gantry_geometry, head
from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.comparison.differences import differences
from ICHSegmenterLib.analysis.default_method import choose_method
from ICHSegmenterLib.cards.json.writer import what_runs
from ICHSegmenterLib.cards.table import get_card, read_card
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import CardError, WeightsCorruptError, WeightsError
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.methods.table import load_predictor
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.preprocessing.pipeline import prepare
from ICHSegmenterLib.preprocessing.spec import Window
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.training.trained_model import write_trained_model
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.cache import weights_folder, writable_weights_folder
from ICHSegmenterLib.weights.own_file import UNKNOWN_LICENSE
from own_method import file_facts, write_card, write_network
from worker_process import WorkerProcess, bleeding_head, write_job

EXACT = ["--device", "cpu", "--precision", "float32"]


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head of a few coarse slices as NIfTI."""
    volume = head(gantry_geometry(slices=5, size=64, steps_mm=20.0))
    path = tmp_path_factory.mktemp("exam") / "ct.nii.gz"
    write_nifti(volume.hu, volume.geometry, path)
    return path


def segmented(capsys: pytest.CaptureFixture[str], exam: Path, folder: Path, *words: str) -> dict:
    """What `segment --json` prints."""
    capsys.readouterr()
    code = main(["segment", str(exam), "--output", str(folder), *EXACT, *words, "--json"])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return json.loads(printed.out)


def values_of(result: dict) -> list[float]:
    """What the network itself says of the slices; the verdict goes by pieces of blood."""
    return [one["own_probabilities"]["any"] for one in result["slices"]]


def expected_values(exam: Path, card, weights: Path) -> list[float]:
    """What the network of a card says when it is shown what the card says, without any table of methods."""
    volume = read_volume(exam)
    predictor = load_predictor(card, [weights], device="cpu", precision="float32")
    slices = predictor.predict(prepare(volume, card.preprocessing), RunContext())
    return [round(float(one.probabilities["any"]), 6) for one in slices]


def test_one_card_file_makes_a_method_on_an_existing_network(exam: Path, tmp_path: Path, capsys):
    card = write_card(tmp_path / "card.json")
    weights = write_network(tmp_path / "ours.pt")
    assert main(["models", "import", str(card)]) == 0
    assert [path.name for path in weights_folder().iterdir()] == ["my-unet.json"]
    assert main(["models", "list"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("my-unet ")]
    assert "a file is needed" in row and "CC-BY-4.0" in row
    result = segmented(capsys, exam, tmp_path / "out", "--method", "my-unet", "--weights", str(weights))
    used = result["provenance"]
    assert (used["method"], used["title"], used["threshold"]) == ("my-unet", "U-Net of our department", 0.3)
    assert (result["detection_threshold"], used["options"]) == (0.4, {"tta": False, "min_pixels": 3})
    assert values_of(result) == expected_values(exam, read_card(card), weights)
    assert main(["segment", str(exam), "--method", "my-unet", "--option", "tat=true"]) == 2
    assert "my-unet has no option 'tat'; available: tta" in capsys.readouterr().err
    assert main(["models", "remove", "my-unet"]) == 0
    assert main(["segment", str(exam), "--method", "my-unet"]) == 2
    assert "Unknown method 'my-unet'" in capsys.readouterr().err


def test_the_worker_knows_an_own_method_and_runs_it(tmp_path: Path):
    weights = write_network(tmp_path / "ours.pt")
    write_card(tmp_path / "ours.json", **file_facts(weights))
    with WorkerProcess() as worker:
        assert worker.ask(type="import", paths=[str(weights)], id="a")["names"] == ["ours.pt"]
        methods = worker.ask(type="describe", id="b")["methods"]
        (own,) = [one for one in methods if one["name"] == "my-unet"]
        assert own["is_ready"] and own["title"] == "U-Net of our department"
        answer = worker.ask(**write_job(tmp_path / "job", bleeding_head(), method="my-unet"), id="c")
    assert answer["type"] == "result", answer
    assert answer["result"]["provenance"]["weights"] == {"ours.pt": file_facts(weights)["sha256"]}
    assert answer["result"]["provenance"]["threshold"] == 0.3


def test_an_imported_pair_is_a_method_of_its_own_with_its_own_title_and_license(exam: Path, tmp_path: Path, capsys):
    for fold in (0, 1):
        path = write_network(tmp_path / f"fold{fold}.pt", seed=fold)
        write_card(tmp_path / f"fold{fold}.json", default_models=2, **file_facts(path))
    assert [file.name for file in store.import_files([tmp_path])] == ["fold0.pt", "fold1.pt"]
    card = get_card("my-unet")
    assert [file.name for file in card.weights] == ["fold0.pt", "fold1.pt"]
    assert {file.license for file in card.weights} == {"CC-BY-4.0"}
    assert main(["models", "list"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("my-unet ")]
    assert "ready" in row and "2 of 2 files" in row
    result = segmented(capsys, exam, tmp_path / "out", "--method", "my-unet")
    assert list(result["provenance"]["weights"]) == ["fold0.pt", "fold1.pt"]
    assert main(["doctor"]) == 0
    assert "my-unet          ready" in capsys.readouterr().out
    assert {path.name for path in store.remove(["my-unet"])} == {"fold0.pt", "fold0.json", "fold1.pt", "fold1.json"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of compact-unet as a training with another size and other windows leaves them; thresholds by hand."""
    changes = ["preprocessing={spacing_mm: 3.0, side: 64, windows: [[50, 100], [80, 200], [500, 2000]]}"]
    recipe = load_recipe("compact-unet", changes)
    torch.manual_seed(1)
    network = create_model(recipe.network.name, **recipe.network.config)
    path = write_trained_model(network, recipe, tmp_path_factory.mktemp("trained"), {})
    card = json.loads(path.with_suffix(".json").read_text())
    card |= {"threshold": 0.21, "detection_threshold": 0.31, "options": {**card["options"], "min_pixels": 2}}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def test_own_weights_run_with_their_own_size_windows_thresholds_and_options(
    exam: Path, trained: Path, tmp_path: Path, capsys
):
    own = read_card(trained.with_suffix(".json"))
    assert own.calibration is None  # that of what ships does not hold for other weights
    assert (own.preprocessing.side, own.preprocessing.windows[0]) == (64, Window(50, 100))
    expected = expected_values(exam, own, trained)
    assert expected != expected_values(
        exam, replace(own, preprocessing=get_card("compact-unet").preprocessing), trained
    )
    named = segmented(capsys, exam, tmp_path / "named", "--method", "compact-unet", "--weights", str(trained))
    assert main(["models", "import", str(trained)]) == 0
    imported = segmented(capsys, exam, tmp_path / "imported", "--method", "compact-unet")
    for result in (named, imported):
        assert values_of(result) == expected
        assert (result["provenance"]["threshold"], result["detection_threshold"]) == (0.21, 0.31)
        assert result["provenance"]["options"]["min_pixels"] == 2
    assert differences(AnalysisRequest("compact-unet"), imported) == []
    store.remove(["compact-unet"])
    assert differences(AnalysisRequest("compact-unet", weights=(trained,)), named) == []


def test_evaluate_uses_the_card_beside_own_weights(exam: Path, trained: Path, tmp_path: Path):
    pytest.importorskip("sklearn")
    volume = read_volume(exam)
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    write_nifti(volume.hu, volume.geometry, tmp_path / "data" / "images" / "a.nii.gz")
    write_nifti(np.zeros(volume.hu.shape, np.uint8), volume.geometry, tmp_path / "data" / "masks" / "a.nii.gz")
    words = ["--data", str(tmp_path / "data"), "--methods", "compact-unet", "--weights", f"compact-unet={trained}"]
    assert main(["evaluate", *words, *EXACT, "--resamples", "10", "--output", str(tmp_path / "out")]) == 0
    (path,) = (tmp_path / "out").rglob("result.json")
    result = json.loads(path.read_text())
    assert values_of(result) == expected_values(exam, read_card(trained.with_suffix(".json")), trained)
    assert result["detection_threshold"] == 0.31


def test_another_network_configuration_is_imported_and_runs(exam: Path, tmp_path: Path, capsys):
    weights = write_network(tmp_path / "wide.pt", widths=[4, 8, 16, 32])
    write_card(tmp_path / "wide.json", name="unet", network_config={"widths": [4, 8, 16, 32]}, **file_facts(weights))
    assert main(["models", "import", str(weights)]) == 0
    assert store.card_of("unet").network_config["widths"] == (4, 8, 16, 32)
    assert segmented(capsys, exam, tmp_path / "out", "--method", "unet")["provenance"]["threshold"] == 0.3


def test_without_a_method_the_card_beside_the_weights_names_it(tmp_path: Path):
    weights = write_network(tmp_path / "ours.pt")
    write_card(tmp_path / "ours.json", **file_facts(weights))
    assert choose_method("auto", [weights]) == "my-unet"
    assert choose_method("my-unet", [weights]) == "my-unet"
    assert AnalysisRequest("my-unet", weights=(weights,)).card.title == "U-Net of our department"


def test_weights_of_another_method_are_wrong_use(exam: Path, tmp_path: Path, capsys):
    weights = write_network(tmp_path / "ours.pt")
    write_card(tmp_path / "ours.json", **file_facts(weights))
    assert main(["segment", str(exam), "--method", "unet", "--weights", str(weights)]) == 2
    assert "belongs to the method 'my-unet' by its card ours.json" in capsys.readouterr().err


def test_weights_without_a_card_run_with_the_card_of_the_method(tmp_path: Path):
    weights = write_network(tmp_path / "ours.pt", variant="release")
    (tmp_path / "ours.json").write_text('{"notes": "of another program"}')
    card, method = store.card_of("unet", [weights]), get_card("unet")
    assert what_runs(card) == what_runs(method) and card.option_values == method.option_values
    assert (card.title, card.license) == ("ours (own weights for unet)", UNKNOWN_LICENSE)


def test_files_that_are_shown_something_else_make_no_ensemble(tmp_path: Path):
    files = []
    for fold, crop in enumerate((64, 32)):
        files.append(write_network(tmp_path / f"fold{fold}.pt", seed=fold))
        shown = {**read_json(write_card(tmp_path / "any.json"))["preprocessing"], "crop": crop}
        write_card(tmp_path / f"fold{fold}.json", preprocessing=shown, **file_facts(files[-1]))
    with pytest.raises(ValueError, match=r"fold0\.pt, fold1\.pt differ in preprocessing"):
        store.card_of("my-unet", files)


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def test_a_card_of_another_file_is_told_before_anything_runs(tmp_path: Path):
    weights = write_network(tmp_path / "ours.pt")
    write_card(tmp_path / "ours.json", **file_facts(weights))
    write_network(weights, seed=5)
    with pytest.raises(WeightsCorruptError, match=r"ours\.pt is not the file that ours\.json describes"):
        store.card_of("my-unet", [weights])


def test_a_broken_card_beside_weights_is_not_passed_over(tmp_path: Path):
    weights = tmp_path / "ours.safetensors"
    weights.write_bytes(b"weights")
    weights.with_suffix(".json").write_text("{")
    with pytest.raises(CardError, match=r"ours\.json is no valid JSON"):
        store.card_of("unet", [weights])
    weights.with_suffix(".json").write_text("{}")
    with pytest.raises(CardError, match=r"ours\.json lies beside ours\.safetensors but is no model card"):
        store.card_of("unet", [weights])


def test_a_network_that_cannot_be_built_is_a_typed_error(tmp_path: Path):
    pytest.importorskip("timm")
    card = replace(get_card("hgi-sam"), network_config={"embed_dim": 4, "num_heads": (64,) * 4, "depths": (1,) * 4})
    with pytest.raises(WeightsError, match="no swin_classifier can be built from the network_config of its card"):
        load_predictor(card, [tmp_path / "x.pt"], device="cpu", precision="float32")


@pytest.mark.parametrize("value", ["nonsense", "swin-sam"])
def test_wiring_on_the_command_line_is_wrong_use(value: str, exam: Path, capsys):
    assert main(["segment", str(exam), "--method", "hgi-sam", "--option", f"map_kind={value}"]) == 2
    assert "hgi-sam has no option 'map_kind'; available: tta (true or false)" in capsys.readouterr().err


def test_a_card_may_not_take_the_name_of_a_method_of_the_program(tmp_path: Path):
    with pytest.raises(CardError, match="unet is a method of the program"):
        store.import_files([write_card(tmp_path / "card.json", name="unet")])


def test_an_option_of_version_0_1_in_a_result_is_compared_by_its_meaning(exam: Path, tmp_path: Path):
    volume = read_volume(exam)
    weights = write_network(tmp_path / "ours.pt")
    options = {"tta": True, "suppress_bone": True, "min_pixels": 2}
    write_card(tmp_path / "ours.json", options=options, **file_facts(weights))
    request = AnalysisRequest("my-unet", weights=(weights,), device="cpu", precision="float32")
    result = analyze(volume, request).to_json()
    result["provenance"]["options"] = {"tta": True, "skull_guard": True, "ignored_pixels": 1}
    assert differences(request, result) == []
    result["provenance"]["options"]["ignored_pixels"] = 4
    assert differences(request, result) == ["option min_pixels=5 of my-unet instead of 2"]


@pytest.mark.parametrize(
    ("method", "module", "package"),
    [
        ("smart-net-cls", "cv2", "opencv-python-headless"),
        ("swin-unetr", "einops", "einops"),
        ("hgi-sam", "timm", "timm"),
    ],
)
def test_a_method_whose_package_is_missing_is_not_ready(method: str, module: str, package: str, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    assert not store.is_ready(get_card(method))
    assert main(["models", "list"]) == 0
    printed = capsys.readouterr().out
    assert f"needs Python packages that are not installed here ('{module}')" in printed
    assert 'pip install "ichsegmenter[torch' in printed and f'"{package}>=' in printed


def test_weights_put_into_the_folder_by_hand_need_no_digest(exam: Path, tmp_path: Path, capsys):
    folder = writable_weights_folder()
    write_network(folder / "ours.pt")
    write_card(folder / "ours.json")
    assert store.is_ready(get_card("my-unet"))
    assert segmented(capsys, exam, tmp_path / "out", "--method", "my-unet")["provenance"]["title"].startswith(
        "U-Net of"
    )


def test_a_foreign_card_neither_takes_nor_deletes_a_published_file(tmp_path: Path):
    published = get_card("blast-ct").weights[0]
    weights = write_network(tmp_path / published.name)
    write_card((tmp_path / published.name).with_suffix(".json"), **file_facts(weights))
    (file,) = store.import_files([weights])
    assert file.name != published.name and not store.state(get_card("blast-ct")).is_ready
    (weights_folder() / published.name).write_bytes(b"of blast-ct")
    facts = [{"name": published.name, "sha256": published.sha256, "size": published.size}]
    write_card(weights_folder() / "a.json", name="theirs", weights=facts)
    store.import_files([write_card(tmp_path / "theirs.json", name="theirs", weights=facts)])
    assert store.state(get_card("theirs")).wanted == ()  # what a foreign card names is nothing to download
    store.remove(["theirs", "my-unet"])
    assert (weights_folder() / published.name).is_file()


def test_importing_again_brings_the_changed_card(tmp_path: Path):
    weights = write_network(tmp_path / "ours.pt")
    for threshold in (0.3, 0.7):
        write_card(tmp_path / "ours.json", threshold=threshold, **file_facts(weights))
        store.import_files([weights])
        assert get_card("my-unet").threshold == threshold
    assert {path.name for path in weights_folder().iterdir()} >= {"ours.pt", "ours.json"}
    assert [path.name for path, _ in store.verify()] == ["ours.pt"]


def test_cards_of_one_method_that_do_not_fit_are_told_and_left_alone(caplog: pytest.LogCaptureFixture, tmp_path: Path):
    shown = json.loads(write_card(tmp_path / "any.json").read_text())["preprocessing"]
    for number, crop in enumerate((64, 32)):
        path = write_network(tmp_path / f"size{number}.pt", seed=number)
        card = write_card(
            path.with_suffix(".json"), name="unet", preprocessing={**shown, "crop": crop}, **file_facts(path)
        )
        store.import_files([card])
    assert store.find(store.card_of("unet")) == (weights_folder() / "size0.pt",)
    assert store.card_of("unet").preprocessing.crop == 64
    assert any("size1.pt is left alone" in record.message for record in caplog.records)
