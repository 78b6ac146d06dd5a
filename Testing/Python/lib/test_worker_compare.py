"""Several methods on one exam through the worker: a result of each, their agreement, their vote."""

from pathlib import Path

import numpy as np
import pytest

from ICHSegmenterLib.protocol import Phase, Stage
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.weights.cache import FOLDER_VARIABLE
from ICHSegmenterLib.worker.jobs import over_all
from worker_process import WorkerProcess, asking, bleeding_head, write_job

NO_TORCH = "import sys; sys.modules['torch'] = None"


@pytest.fixture(scope="module")
def unet_weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch = pytest.importorskip("torch")
    from ICHSegmenterLib.models import create_model

    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "unet.pt"
    torch.save(create_model("unet", variant="release").state_dict(), path)
    return str(path)


def comparison(folder: Path, hu: np.ndarray, *methods: str, **weights: list[str]) -> dict:
    request = {"methods": list(methods), "weights": weights, "device": "cpu"}
    return {**write_job(folder, hu), "type": "compare", "request": request}


def test_each_method_answers_with_its_own_files_beside_agreement_and_vote(tmp_path: Path, unet_weights: str):
    hu = bleeding_head()
    with WorkerProcess() as worker:
        answer = worker.ask(**comparison(tmp_path, hu, "hu-threshold", "unet", unet=[unet_weights]), id="a")
    assert answer["type"] == "result", answer
    assert [one["method"] for one in answer["results"]] == ["hu-threshold", "unet"]
    masks = [np.load(tmp_path / one["labelmap"]) > 0 for one in answer["results"]]
    vote = np.load(tmp_path / answer["vote"]["labelmap"])
    assert vote.dtype == np.uint8
    np.testing.assert_array_equal(vote > 0, masks[0] & masks[1])
    dice = 2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum())
    assert answer["agreement"]["dice"] == [
        {"first": "hu-threshold", "second": "unet", "dice": pytest.approx(dice, abs=1e-6)}
    ]
    assert set(answer["agreement"]["methods"]) == {"hu-threshold", "unet"}
    voted = answer["vote"]["result"]
    assert voted["blood_ml"] == pytest.approx(answer["agreement"]["vote"]["blood_ml"])
    positives = [[one["positive"] for one in answer["results"][n]["result"]["slices"]] for n in (0, 1)]
    assert [one["positive"] for one in voted["slices"]] == [a and b for a, b in zip(*positives, strict=True)]


def test_options_go_to_their_method_and_may_be_left_out(tmp_path: Path, unet_weights: str):
    request = comparison(tmp_path, bleeding_head(), "hu-threshold", "unet", unet=[unet_weights])
    with WorkerProcess() as worker:
        plain = worker.ask(**request, id="a")
        mirrored = worker.ask(**asking(request, options={"unet": {"tta": True}}), id="b")
        wrong = worker.ask(**asking(request, options={"unet": True}), id="c")
    told = [[one["result"]["provenance"]["options"] for one in answer["results"]] for answer in (plain, mirrored)]
    assert told == [[{}, {"tta": False, "inside_brain": True}], [{}, {"tta": True, "inside_brain": True}]]
    assert "'unet' must be an object, got True" in wrong["message"]


def test_a_method_that_cannot_run_is_told_and_the_others_answer(tmp_path: Path):
    with WorkerProcess(prelude=NO_TORCH, environment={FOLDER_VARIABLE: str(tmp_path / "none")}) as worker:
        answer = worker.ask(**comparison(tmp_path, bleeding_head(), "unet", "hu-threshold"), id="a")
    assert [one["method"] for one in answer["results"]] == ["hu-threshold"]
    (failure,) = answer["agreement"]["failures"]
    assert (failure["method"], failure["error"]) == ("unet", "weights_missing")


@pytest.mark.parametrize("methods", [[], ["hu-threshold", "hu-threshold"]])
def test_no_method_or_one_twice_is_refused(tmp_path: Path, methods: list[str]):
    with WorkerProcess() as worker:
        answer = worker.ask(**comparison(tmp_path, bleeding_head(), *methods), id="a")
    assert "name each method once" in answer["message"]


def test_a_running_comparison_is_cancelled(tmp_path: Path, unet_weights: str):
    with WorkerProcess() as worker:
        worker.send(**comparison(tmp_path, bleeding_head(), "unet", "hu-threshold", unet=[unet_weights]), id="a")
        worker.until("progress")
        worker.send(type="cancel", id="a")
        assert worker.until("result", "error")["kind"] == "cancelled"
    assert not (tmp_path / "vote.labelmap.npy").exists()


def test_progress_counts_all_methods_and_never_goes_back():
    told: list[tuple[int, int, Stage]] = []
    run = over_all(RunContext(lambda *step: told.append(step)), ["A", "B"])
    for step in (
        (0, 1, Phase.FINDING_BRAIN, ""),
        (0, 1, Phase.LOADING, "A"),
        (0, 4, Phase.PREDICTING, "A"),
        (2, 4, Phase.PREDICTING, "A"),
        (1, 1, Phase.MEASURING, "A"),
        (0, 1, Phase.LOADING, "B"),
        (0, 8, Phase.PREDICTING, "B"),
        (8, 8, Phase.PREDICTING, "B"),
        (1, 1, Phase.MEASURING, "B"),
    ):
        run.of_method(step[3]).report(*step[:3])
    assert [done for done, _, _ in told] == [0, 0, 0, 250, 500, 500, 500, 1000, 1000]
    assert {total for _, total, _ in told} == {1000}
    assert told[3][2] == Stage(Phase.PREDICTING, "A")
