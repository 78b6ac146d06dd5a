"""The worker with the real engine inside: a classical method without torch, a network kept warm, weights by request."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import shared_data
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.weights.cache import FOLDER_VARIABLE
from worker_process import WorkerProcess, asking, bleeding_head, write_job

NO_TORCH = "import sys; sys.modules['torch'] = None; sys.modules['SimpleITK'] = None"
"""As in a Slicer without PyTorch, and whoever imports SimpleITK fails."""

PHASES = ["loading", "finding_brain", "predicting", "measuring"]


def phases_until_result(worker: WorkerProcess) -> tuple[list[str], dict]:
    phases: list[str] = []
    while (answer := worker.until("progress", "result", "error"))["type"] == "progress":
        if answer["phase"] not in phases:
            phases.append(answer["phase"])
    assert answer["type"] == "result", answer
    return phases, answer


@pytest.fixture(scope="module")
def unet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A U-Net with seeded weights, in a folder with a non-ASCII name."""
    torch = pytest.importorskip("torch")
    from ICHSegmenterLib.models import create_model

    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("Lékař") / "unet.pt"
    torch.save(create_model("unet", variant="release").state_dict(), path)
    return path


def test_hu_threshold_finds_a_bleed_without_torch(tmp_path: Path):
    hu = bleeding_head()
    with WorkerProcess(prelude=NO_TORCH) as worker:
        worker.send(**write_job(tmp_path, hu, outputs=["map"]), id="a")
        phases, answer = phases_until_result(worker)
    assert phases == PHASES[1:]  # there is no network to load
    labelmap = np.load(tmp_path / "labelmap.npy")
    blood = hu == 66
    assert 2 * (labelmap.astype(bool) & blood).sum() / (labelmap.astype(bool).sum() + blood.sum()) > 0.8
    assert np.load(tmp_path / "maps.npy").shape == (1, *hu.shape)
    assert answer["result"]["positive"]
    assert answer["result"]["provenance"]["series_uid"] == "1.2.3"
    assert hu.tobytes() == np.load(tmp_path / "hu.npy").tobytes()


def test_without_torch_a_network_says_what_to_install_and_the_worker_lives_on(tmp_path: Path, unet_weights: Path):
    request = write_job(tmp_path, bleeding_head(), method="unet", weights=[str(unet_weights)])
    with WorkerProcess(prelude=NO_TORCH) as worker:
        for message in (request, {"type": "warm", "request": {"method": "unet", "weights": [str(unet_weights)]}}):
            answer = worker.ask(**message, id="a")
            assert answer["kind"] == "no_torch"
            assert "extension 'PyTorch'" in answer["message"]
        described = worker.ask(type="describe", id="b")
        assert described["torch"] is None
        assert "extension 'PyTorch'" in described["torch_problem"]
        assert worker.ask(**write_job(tmp_path, bleeding_head()), id="c")["type"] == "result"


def test_a_volume_that_is_no_head_is_refused(tmp_path: Path):
    with WorkerProcess() as worker:
        answer = worker.ask(**write_job(tmp_path, np.zeros((8, 64, 64), np.int16)), id="a")
    assert answer["kind"] == "bad_input"
    assert "blank" in answer["message"]


def test_an_unknown_method_lists_those_that_exist(tmp_path: Path):
    with WorkerProcess() as worker:
        answer = worker.ask(**write_job(tmp_path, bleeding_head(), method="magic"), id="a")
    assert answer["kind"] == "unknown_method"
    assert "hu-threshold" in answer["message"]


def test_a_warm_network_serves_two_exams_and_answers_the_same(tmp_path: Path, unet_weights: Path):
    request = write_job(tmp_path, bleeding_head(), method="unet", weights=[str(unet_weights)], precision="float32")
    with WorkerProcess() as worker:
        warm = worker.ask(type="warm", id="w", request=request["request"])
        assert (warm["type"], warm["device"], warm["precision"]) == ("done", "cpu", "float32")
        results = []
        for name in "ab":
            worker.send(**request, id=name)
            phases, answer = phases_until_result(worker)
            assert phases == (PHASES if name == "a" else [PHASES[-1]])  # what was predicted is kept for the same exam
            results.append((answer["result"]["probabilities"], np.load(tmp_path / "labelmap.npy")))
        assert worker.ask(type="free", id="f")["type"] == "done"
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_weights_of_another_network_are_refused(tmp_path: Path, unet_weights: Path):
    request = write_job(tmp_path, bleeding_head(), method="hgi-sam", weights=[str(unet_weights)])
    with WorkerProcess() as worker:
        assert worker.ask(**request, id="a")["kind"].startswith("weights_")


def test_missing_weights_are_an_answer_with_the_way_to_get_them(tmp_path: Path):
    with WorkerProcess(environment={FOLDER_VARIABLE: str(tmp_path / "none")}) as worker:
        answer = worker.ask(**write_job(tmp_path, bleeding_head(), method="hgi-sam"), id="a")
        assert answer["kind"] == "weights_missing"
        assert "models download hgi-sam" in answer["message"]
        assert worker.ask(type="remove", id="b", names=["hgi-sam"])["kind"] == "weights_missing"


def test_describe_tells_methods_weights_and_processors():
    with WorkerProcess() as worker:
        described = worker.ask(type="describe", id="a")
        methods = {method["name"]: method for method in described["methods"]}
        assert methods["hu-threshold"]["is_ready"]
        assert methods["hgi-sam"]["download_bytes"] in (0, 361_237_599)
        assert methods["hgi-sam"]["terms"].startswith("RSNA 2019 hemorrhage data: non-commercial")
        assert methods["hgi-sam"]["draws_attention"] and not methods["blast-ct"]["draws_attention"]
        assert methods["blast-ct"]["trust"]["trained_on"]["exams"] == 184
        assert ["Trained on", get_card("blast-ct").trust.trained_on.sentence] in methods["blast-ct"]["trust_lines"]
        assert methods["rsna-sequence"]["authors_file"]["size"] == 1_070_000_000
        assert methods["smart-net-cls"]["authors_file"] is None
        offer = described["offer"]
        assert (offer["method"], offer["files"], offer["license"]) == ("blast-ct", 2, "Apache-2.0")
        assert offer["command"] == "ichsegmenter models download blast-ct"
        assert offer["sentence"].startswith("blast-ct: trained on patients with traumatic brain injury, 2 files")
        assert described["torch"].startswith(worker.hello["torch"])  # here with its build, "+cpu" or "+cu130"
        assert "cpu" in [device["name"] for device in described["devices"]]


def test_weights_are_imported_used_and_removed_by_request(tmp_path: Path):
    copy = Path(shutil.copy(shared_data("data/blast_ct_v1/model_1.pt"), tmp_path / "jiný název.bin"))
    with WorkerProcess(environment={FOLDER_VARIABLE: str(tmp_path / "cache")}) as worker:
        answer = worker.ask(type="import", id="a", paths=[str(copy)])
        assert answer["names"] == ["blast_ct_v1_model_1.pt"]
        assert worker.ask(type="warm", id="b", request={"method": "blast-ct", "device": "cpu"})["type"] == "done"
        assert worker.ask(type="remove", id="c", names=["blast-ct"])["names"] == ["blast_ct_v1_model_1.pt"]
        assert (
            worker.ask(type="warm", id="d", request={"method": "blast-ct", "device": "cpu"})["kind"]
            == "weights_missing"
        )


def test_a_download_that_fails_says_why(tmp_path: Path):
    environment = {FOLDER_VARIABLE: str(tmp_path / "cache"), "https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    with WorkerProcess(environment=environment) as worker:
        refused = worker.ask(type="download", id="a", method="hgi-sam")
        answer = worker.ask(type="download", id="b", method="hgi-sam", accept_license=True)
    assert refused["kind"] == "license_not_accepted"
    assert "RSNA 2019" in refused["message"] and "--accept-license" in refused["message"]
    assert answer["kind"] == "download_failed"
    assert "through the proxy 127.0.0.1:9" in answer["message"]


def test_options_of_a_method_are_taken_and_the_uncertainty_comes_back(tmp_path: Path, unet_weights: Path):
    hu = bleeding_head()
    request = write_job(tmp_path, hu, method="unet", weights=[str(unet_weights)], outputs=["map"])
    with WorkerProcess() as worker:
        answer = worker.ask(**asking(request, options={"tta": True}), id="a")
        assert answer["uncertainty"] == "uncertainty.npy"
        plain = worker.ask(**request, id="b")
        assert plain["uncertainty"] is None
        wrong = worker.ask(**asking(request, options={"flip": True}), id="c")
        assert "no option 'flip'; available: tta" in wrong["message"]
    uncertainty = np.load(tmp_path / "uncertainty.npy")
    assert uncertainty.shape == hu.shape
    assert uncertainty.min() >= 0 and uncertainty.max() <= 1


def test_methods_that_cannot_work_together_are_refused_by_the_worker(tmp_path: Path):
    with WorkerProcess() as worker:
        answer = worker.ask(**write_job(tmp_path, bleeding_head(), detector="hgi-sam"), id="a")
        assert "hgi-sam tells no subtypes" in answer["message"]
        missing = worker.ask(**write_job(tmp_path, bleeding_head(), detector="rsna-sequence"), id="b")
        assert missing["kind"] == "weights_missing"


def test_options_of_a_detector_that_is_not_chosen_change_nothing(tmp_path: Path):
    request = write_job(tmp_path, bleeding_head())
    with WorkerProcess() as worker:
        plain = worker.ask(**request, id="a")["result"]
        left_over = worker.ask(**asking(request, detector="", detector_options={"masked": True}), id="b")["result"]
    assert left_over["provenance"]["detector"] == ""
    assert (left_over["probabilities"], left_over["slices"]) == (plain["probabilities"], plain["slices"])
