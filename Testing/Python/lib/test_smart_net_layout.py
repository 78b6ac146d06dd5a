"""SMART-Net's own layout with the split that it brings, and its tests on arrays whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ICHSegmenterLib.datasets import smart_net
from ICHSegmenterLib.datasets.sources import ReadOptions
from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.synthesis.exam import SyntheticExam
from training_layouts import head, save_nifti


def write_samples(folder: Path) -> Path:
    """Two exams a part, the masks of one of them under the ending that the authors' page shows."""
    for number, part in enumerate(("train", "train", "valid", "valid", "test", "test")):
        volume, mask = head(number, bleeds=number % 2 == 0)
        stem = folder / part / f"sample{number}_{'hemo' if mask.any() else 'normal'}"
        save_nifti(Path(f"{stem}_img.nii.gz"), volume.hu.astype(np.int16), volume.geometry)
        end = "_mask.nii" if number % 2 else "_mask.nii.gz"
        save_nifti(Path(f"{stem}{end}"), (mask > 0).astype(np.uint8), volume.geometry)
    return folder


def test_the_three_folders_are_the_split(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="needs the train extra")
    from ICHSegmenterLib.datasets.prepare import given_split, prepare_dataset

    folder = write_samples(tmp_path / "data")
    done = prepare_dataset(folder, tmp_path / "cache", "smart-net")
    assert (done.is_complete, done.total) == (True, 6 * 4)
    split = given_split(tmp_path / "cache")
    assert split.train == ("train-sample0_hemo", "train-sample1_normal")
    assert split.validation == ("valid-sample2_hemo", "valid-sample3_normal")
    assert split.test == ("test-sample4_hemo", "test-sample5_normal")


def test_only_the_test_part_is_evaluated(tmp_path: Path) -> None:
    cases = smart_net.cases(write_samples(tmp_path), tmp_path)
    assert [case.name for case in cases] == ["test-sample4_hemo", "test-sample5_normal"]


def test_samples_are_ordered_by_their_numbers(tmp_path: Path) -> None:
    folder = write_samples(tmp_path)
    for path in list((folder / "train").glob("sample0_hemo*")):
        path.rename(path.with_name(path.name.replace("sample0", "sample10")))
    plans = smart_net.source(folder, ReadOptions(tmp_path)).plans
    assert [plan.series for plan in plans][:2] == ["train-sample1_normal", "train-sample10_hemo"]


def test_an_image_without_a_mask_is_named(tmp_path: Path) -> None:
    folder = write_samples(tmp_path)
    (folder / "valid" / "sample2_hemo_mask.nii.gz").unlink()
    with pytest.raises(TrainingDataError, match=r"valid/sample2_hemo_img.nii.gz has no mask"):
        smart_net.source(folder, ReadOptions(tmp_path))
    source = smart_net.source(folder, ReadOptions(tmp_path, allow_missing=True))
    assert (len(source.plans), source.notes) == (5, ("valid/sample2_hemo_img.nii.gz has no mask",))


def test_synthetic_exams_fill_every_part_with_both_kinds(tmp_path: Path) -> None:
    exams = []
    for number in range(12):
        volume, mask = head(number, bleeds=number % 2 == 0)
        exams.append(SyntheticExam(volume, mask, np.zeros(1), mask > 0, (), number))
    assert smart_net.write(exams, tmp_path) == 12
    plans = smart_net.source(tmp_path, ReadOptions(tmp_path)).plans
    for part, count in (("train", 6), ("valid", 2), ("test", 4)):
        kinds = [plan.image.name.split("_")[1] for plan in plans if plan.part == part]
        assert sorted(kinds) == ["hemo"] * (count // 2) + ["normal"] * (count // 2)


def test_a_set_without_a_split_says_so(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="needs the train extra")
    from ICHSegmenterLib.datasets.prepare import given_split

    with pytest.raises(TrainingDataError, match="comes without a split"):
        given_split(tmp_path)


def test_the_slice_of_a_random_voxel_of_blood_is_drawn() -> None:
    pytest.importorskip("torch")
    from ICHSegmenterLib.evaluation.smart_net.outputs import drawn_slice

    masks = np.zeros((4, 10, 10), dtype=bool)
    masks[1, :3], masks[2, 0] = True, True  # 30 and 10 voxels
    random = np.random.default_rng(0)
    drawn = np.bincount([drawn_slice(masks, random) for _ in range(4000)], minlength=4) / 4000
    # 3 of 4 voxels lie on slice 1; the deviation of a share of 4000 draws is below 0.007
    assert drawn[[0, 3]].tolist() == [0, 0] and drawn[1] == pytest.approx(0.75, abs=0.035)
    nothing = [drawn_slice(np.zeros_like(masks), random) for _ in range(200)]
    assert set(nothing) == {0, 1, 2, 3}


def test_stacked_slices_are_scored_as_the_metrics_are_defined() -> None:
    """Dice of the volume, voxels outlined without blood, and the mean absolute error of the reconstruction."""
    torch = pytest.importorskip("torch")
    from ICHSegmenterLib.evaluation.smart_net.outputs import _slices

    class Network(torch.nn.Module):
        tasks = ("cls", "seg", "rec")

        def forward(self, slices):
            logits = (slices - 0.5) * 20
            return logits.amax(dim=(1, 2, 3))[:, None], logits, slices + 0.25

    slices = np.zeros((3, 8, 8), dtype=np.float32)
    slices[1, :4], slices[2, 0] = 1.0, 1.0
    masks = np.zeros((3, 8, 8), dtype=bool)
    masks[1, 2:6] = True
    said = _slices(Network(), slices, masks)
    assert said.truth.tolist() == [False, True, False]
    assert (said.values > 0.5).tolist() == [False, True, True]
    assert said.dice == pytest.approx(2 * 16 / (40 + 32))
    assert said.error == pytest.approx(0.25)
    without = _slices(Network(), slices, np.zeros_like(masks))
    assert np.isnan(without.dice) and without.false_positive_voxels == 40


def test_an_exam_that_cannot_be_read_is_named_and_the_others_are_scored(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    from ICHSegmenterLib.cards.table import get_card
    from ICHSegmenterLib.evaluation.smart_net.evaluate import evaluate_smart_net
    from ICHSegmenterLib.models import create_model

    folder = write_samples(tmp_path / "data")
    (folder / "test" / "sample4_hemo_img.nii.gz").write_bytes(b"no gzip")
    config = {"width": 4, "layers": (1, 1, 1, 1)}
    torch.save(create_model("smart_net_up", **config).state_dict(), tmp_path / "up.pt")
    card = get_card("smart-net-up")
    card = replace(card, network_config=config, preprocessing=replace(card.preprocessing, size=32))
    cases = smart_net.cases(folder, tmp_path)
    figures, failures = evaluate_smart_net(cases, card, tmp_path / "up.pt", tmp_path / "out", device="cpu", resamples=5)
    assert {test: found["exams"] for test, found in figures.items()} == {"slice-wise": 1, "stacked": 1}
    assert [(one.method, one.case) for one in failures] == [("smart-net-up", "test-sample4_hemo")]
