from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

for package in ("torch", "yaml", "PIL", "nibabel"):
    pytest.importorskip(package, reason="needs the train extra")

from ICHSegmenterLib.datasets import nifti_folder
from ICHSegmenterLib.datasets.prepare import PrepareOptions, load_prepared, prepare_dataset
from ICHSegmenterLib.datasets.rsna import layout as rsna
from ICHSegmenterLib.datasets.shards import ShardReader
from ICHSegmenterLib.datasets.stored_hu import decode_hu, encode_hu
from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.learning.recipe import AugmentationRecipe
from ICHSegmenterLib.learning.samplers import SampleIndex
from ICHSegmenterLib.learning.slice_dataset import SliceDataset
from ICHSegmenterLib.preprocessing.pipeline import prepare as prepare_volume
from ICHSegmenterLib.preprocessing.spec import SlicePreprocessing
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import read_volume
from training_layouts import SIDE, head, save_nifti, write_nifti_folder, write_physionet, write_rsna

SMALL = SlicePreprocessing(resize=40, crop=32)


def change_label(folder: Path, line: int, text: str) -> None:
    path = folder / "stage_2_train.csv"
    lines = path.read_text().splitlines()
    lines[line] = text
    path.write_text("\n".join(lines) + "\n")


def test_hounsfield_units_survive_the_cache_exactly() -> None:
    noise = np.random.default_rng(0).integers(-1024, 3072, (17, 23)).astype(np.int16)
    for hu in (noise, np.full_like(noise, -1000), np.clip(noise, 0, 80)):
        np.testing.assert_array_equal(decode_hu(encode_hu(hu)), hu.astype(np.float32))
        assert encode_hu(hu) == encode_hu(hu)


def test_noise_is_stored_without_packing_and_air_is_packed() -> None:
    noise = np.random.default_rng(0).normal(30, 200, (512, 512)).astype(np.int16)
    assert 512 * 512 < len(encode_hu(noise)) < 2 * 512 * 512
    assert len(encode_hu(np.full_like(noise, -1000))) < 512 * 512 / 50


@pytest.mark.parametrize("layout", ["rsna", "physionet", "nifti"])
def test_every_slice_of_a_data_set_is_in_the_cache(layout: str, tmp_path: Path) -> None:
    write = {"rsna": write_rsna, "physionet": write_physionet, "nifti": write_nifti_folder}[layout]
    done = prepare_dataset(write(tmp_path / "data", 4), tmp_path / "cache", layout)
    table = load_prepared(tmp_path / "cache")
    assert done.is_complete and done.total == done.slices == len(table) == 16
    assert done.bad_files == () and done.slices_a_second > 0
    assert len(set(table.patients.tolist())) == 4
    assert table.labels.sum(axis=0).tolist() == [0, 4, 0, 0, 0, 4]


def test_the_cache_shows_the_network_what_the_engine_shows_it(tmp_path: Path) -> None:
    """Training and inference share one preprocessing: the same file gives the same pixels."""
    folder = write_physionet(tmp_path / "data", 2)
    prepare_dataset(folder, tmp_path / "cache", "physionet")
    table = load_prepared(tmp_path / "cache")
    volume = read_volume(folder / "ct_scans" / "002.nii")
    exam = prepare_volume(volume, SMALL, np.ones(volume.hu.shape, dtype=bool))
    rows = table.of_units("patient", ["002"])
    dataset = SliceDataset(tmp_path / "cache", table, rows, SMALL, AugmentationRecipe(), with_masks=True)
    for number in range(len(rows)):
        sample = dataset[SampleIndex(number)]
        np.testing.assert_array_equal(sample["image"].numpy(), exam.batch([number])[0])
        assert sample["mask"].shape == (32, 32)
    assert [bool(dataset[SampleIndex(number)]["mask"].any()) for number in range(4)] == [False, True, True, False]


def test_a_slice_stored_the_other_way_round_is_turned_to_axial_display(tmp_path: Path) -> None:
    volume, mask = head(2, bleeds=True)
    grid = volume.geometry
    first = grid.slice_origins + (SIDE - 1) * grid.row_step
    turned = VolumeGeometry(grid.shape, grid.column_step, -grid.row_step, first)
    for name, array, where in (("a", volume.hu, grid), ("b", volume.hu[:, ::-1], turned)):
        outline = mask if name == "a" else mask[:, ::-1]
        save_nifti(tmp_path / "data" / "images" / f"{name}.nii", array.astype(np.int16), where)
        save_nifti(tmp_path / "data" / "masks" / f"{name}.nii", np.ascontiguousarray(outline), where)
    prepare_dataset(tmp_path / "data", tmp_path / "cache", "nifti")
    table = load_prepared(tmp_path / "cache")
    dataset = SliceDataset(tmp_path / "cache", table, np.arange(8), SMALL, AugmentationRecipe(), with_masks=True)
    for number in range(4):
        one, other = dataset[SampleIndex(number)], dataset[SampleIndex(number + 4)]
        np.testing.assert_array_equal(one["image"].numpy(), other["image"].numpy())
        np.testing.assert_array_equal(one["mask"].numpy(), other["mask"].numpy())


def test_augmentation_follows_from_the_draw_and_keeps_mask_and_image_together(tmp_path: Path) -> None:
    prepare_dataset(write_nifti_folder(tmp_path / "data", 1), tmp_path / "cache", "nifti")
    table = load_prepared(tmp_path / "cache")
    strong = AugmentationRecipe(flip=0.5, affine=1.0, noise=0.0)
    dataset = SliceDataset(tmp_path / "cache", table, np.arange(4), SMALL, strong, with_masks=True)
    plain, one, again, other = (dataset[SampleIndex(1, seed)] for seed in ((), (5,), (5,), (6,)))
    np.testing.assert_array_equal(one["image"].numpy(), again["image"].numpy())
    assert (one["image"] != other["image"]).any() and (one["image"] != plain["image"]).any()
    bright = one["image"][0] > 0.5  # the ball at 70 HU, above the head at 30 HU, in the first window up to 100 HU
    inside = one["mask"] > 0
    assert inside.sum() > 20
    assert (bright & inside).sum() > 0.8 * inside.sum()


def test_webdataset_reads_the_shards(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    prepare_dataset(write_nifti_folder(tmp_path / "data", 2), tmp_path / "cache", "nifti")
    samples = list(webdataset.WebDataset(str(tmp_path / "cache" / "shard-000000.tar"), shardshuffle=False))
    assert len(samples) == 8
    table = load_prepared(tmp_path / "cache")
    column = {name: values[1] for name, values in table.columns.items()}
    own = ShardReader(tmp_path / "cache").hu(column["shard"], int(column["offset"]), int(column["size"]))
    np.testing.assert_array_equal(decode_hu(samples[1]["hu.npz"]), own)
    assert json.loads(samples[1]["json"])["labels"]["any"] == 1


def test_corrupt_files_are_listed_and_not_fatal(tmp_path: Path) -> None:
    folder = write_rsna(tmp_path / "data", 3)
    files = sorted((folder / "stage_2_train").iterdir())
    files[0].write_bytes(files[0].read_bytes()[:-1000])  # the famous image with too few pixels
    files[5].write_bytes(b"nothing")
    done = prepare_dataset(folder, tmp_path / "cache", "rsna")
    assert done.total == 10 and done.is_complete
    assert {one.name for one in done.bad_files} == {files[0].name, files[5].name}
    with (tmp_path / "cache" / "corrupt.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert {line["file"] for line in lines} == {files[0].name, files[5].name}
    assert all(line["reason"] for line in lines)


def test_preparing_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, cache = write_rsna(tmp_path / "data", 4), tmp_path / "cache"
    whole = prepare_dataset(folder, tmp_path / "whole", "rsna", PrepareOptions(slices_a_shard=4))
    real, seen = rsna._read, []

    def fails_in_the_third_series(path: Path, *arguments: object) -> object:
        seen.append(path)
        if len(seen) == 10:
            raise KeyboardInterrupt
        return real(path, *arguments)

    monkeypatch.setattr(rsna, "_read", fails_in_the_third_series)
    with pytest.raises(KeyboardInterrupt):
        prepare_dataset(folder, cache, "rsna", PrepareOptions(slices_a_shard=4))
    assert not (cache / "index.csv").exists()
    done = prepare_dataset(folder, cache, "rsna", PrepareOptions(slices_a_shard=4))
    assert (done.skipped, done.slices, done.total) == (2, 8, whole.total)
    assert (cache / "index.csv").read_bytes() == (tmp_path / "whole" / "index.csv").read_bytes()


def test_two_machines_share_the_work(tmp_path: Path) -> None:
    folder, cache = write_rsna(tmp_path / "data", 4), tmp_path / "cache"
    first = prepare_dataset(folder, cache, "rsna", PrepareOptions(slices_a_shard=4, part=(1, 2)))
    assert not first.is_complete and first.slices == 8
    second = prepare_dataset(folder, cache, "rsna", PrepareOptions(slices_a_shard=4, part=(2, 2)))
    assert second.is_complete and (second.slices, second.total) == (8, 16)


def test_a_cache_of_another_state_of_the_data_is_refused(tmp_path: Path) -> None:
    folder = write_rsna(tmp_path / "data", 2)
    prepare_dataset(folder, tmp_path / "cache", "rsna")
    with pytest.raises(TrainingDataError, match="was begun for another state of the data set"):
        prepare_dataset(folder, tmp_path / "cache", "rsna", PrepareOptions(slices_a_shard=4))


def test_a_missing_csv_is_named(tmp_path: Path) -> None:
    folder = write_rsna(tmp_path / "data", 1)
    (folder / "stage_2_train.csv").unlink()
    with pytest.raises(TrainingDataError, match=r"no stage_2_train.csv, the labels; it holds .*stage_2_train"):
        prepare_dataset(folder, tmp_path / "cache", "rsna")


def test_a_missing_folder_says_what_is_there(tmp_path: Path) -> None:
    folder = write_physionet(tmp_path / "data", 2)
    (folder / "masks").rename(folder / "outlines")
    with pytest.raises(TrainingDataError, match=r"has no folder masks; it holds ct_scans, .*outlines"):
        prepare_dataset(folder, tmp_path / "cache", "physionet")


def test_labels_without_files_are_an_error_unless_allowed(tmp_path: Path) -> None:
    folder = write_rsna(tmp_path / "data", 2)
    next((folder / "stage_2_train").glob("*.dcm")).unlink()
    with pytest.raises(TrainingDataError, match="1 of 8 labeled images have no file .*--allow-missing"):
        prepare_dataset(folder, tmp_path / "cache", "rsna")
    done = prepare_dataset(folder, tmp_path / "cache", "rsna", PrepareOptions(allow_missing=True))
    assert done.total == 7 and done.notes == ("1 labels have no file",)


def test_a_missing_scan_of_physionet_is_named(tmp_path: Path) -> None:
    folder = write_physionet(tmp_path / "data", 3)
    (folder / "masks" / "002.nii").unlink()
    with pytest.raises(TrainingDataError, match=r"names 3 patients, but 1 files are missing \(masks/002.nii\)"):
        prepare_dataset(folder, tmp_path / "cache", "physionet")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ID_00000000_stroke,1", "is no ID_image_subtype,0 or 1"),
        ("ID_00000000_epidural,yes", "is no ID_image_subtype,0 or 1"),
        ("ID_00000000_any,1", "was labeled otherwise before"),
        ("ID_unknown_any,1", "ID_unknown does not have all six labels"),
    ],
)
def test_a_wrong_label_is_named_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    folder = write_rsna(tmp_path / "data", 1)
    with (folder / "stage_2_train.csv").open("a") as stream:
        stream.write(f"{text}\n")
    with pytest.raises(TrainingDataError, match=message):
        prepare_dataset(folder, tmp_path / "cache", "rsna")


def test_rows_that_stand_twice_count_once(tmp_path: Path) -> None:
    folder = write_rsna(tmp_path / "data", 1)
    path = folder / "stage_2_train.csv"
    path.write_text(path.read_text() + path.read_text().split("\n", 1)[1])
    assert prepare_dataset(folder, tmp_path / "cache", "rsna").total == 4


BHSD_SCANS = ("ID_2db7ee14_ID_2591d00dfc", "ID_2db7ee14_ID_f27e38fdfd", "ID_fcbe7eda_ID_5726e1c630")


def write_bhsd(folder: Path) -> Path:
    """As distributed: two patients with three studies, headers with a qform alone, masks of 16 bits without sign."""
    import nibabel

    for number, name in enumerate(BHSD_SCANS):
        volume, mask = head(number, bleeds=True)
        mask[2][mask[2] > 0] = 5 - 4 * (number == 2)
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.geometry.affine
        for kind, values in (("images", volume.hu.astype(np.int16)), ("ground truths", mask.astype(np.uint16))):
            image = nibabel.Nifti1Image(values.T, affine)
            image.set_qform(affine, 1)
            image.set_sform(None, 0)
            path = folder / "label_192" / kind / f"{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nibabel.save(image, path)
    unlabeled = folder / "unlabel_2000" / "anybleed" / "ID_00000000_ID_0000000000.nii.gz"
    unlabeled.parent.mkdir(parents=True)
    unlabeled.write_bytes(b"no outline, so never read")
    return folder


@pytest.mark.parametrize("place", ["", "label_192"])
def test_bhsd_is_read_as_it_is_distributed(place: str, tmp_path: Path) -> None:
    done = prepare_dataset(write_bhsd(tmp_path / "BHSD") / place, tmp_path / "cache", "nifti")
    table = load_prepared(tmp_path / "cache")
    assert done.is_complete and done.bad_files == () and len(table) == 12
    assert sorted(set(table.columns["series"].tolist())) == sorted(BHSD_SCANS)
    assert sorted(set(table.patients.tolist())) == ["ID_2db7ee14", "ID_fcbe7eda"]
    assert table.labels.sum(axis=0).tolist() == [1, 3, 0, 0, 2, 6]  # EDH, IPH, IVH, SAH, SDH, any
    row = int(table.of_units("patient", ["ID_fcbe7eda"])[2])
    place_of = (str(table.columns["shard"][row]), int(table.columns["offset"][row]), int(table.columns["size"][row]))
    expected = head(2, bleeds=True)[0].hu[2]
    np.testing.assert_array_equal(ShardReader(tmp_path / "cache").hu(*place_of), expected)


def test_cases_of_bhsd_have_their_patients_and_masks(tmp_path: Path) -> None:
    cases = nifti_folder.cases(write_bhsd(tmp_path / "BHSD"), tmp_path / "headers")
    assert sorted(case.name for case in cases) == sorted(BHSD_SCANS)
    assert sorted({case.patient for case in cases}) == ["ID_2db7ee14", "ID_fcbe7eda"]
    assert all(case.mask is not None and case.mask.parent.name == "ground truths" for case in cases)


def test_a_mask_of_another_size_is_listed_and_the_others_are_prepared(tmp_path: Path) -> None:
    folder = write_physionet(tmp_path / "data", 2)
    volume, mask = head(2, bleeds=True)
    save_nifti(folder / "masks" / "002.nii", np.ascontiguousarray(mask[:, ::2]), volume.geometry)
    done = prepare_dataset(folder, tmp_path / "cache", "physionet")
    assert (done.is_complete, done.total, len(done.bad_files)) == (True, 4, 1)
    assert "002.nii: the mask has 40 x 20 x 4 voxels, its scan 40 x 40 x 4" in done.bad_files[0].reason
    assert "002.nii" in (tmp_path / "cache" / "corrupt.csv").read_text()


@pytest.mark.parametrize("is_last", [True, False])
def test_a_mask_that_cannot_be_read_is_listed_and_the_others_are_prepared(is_last: bool, tmp_path: Path) -> None:
    """Whether its subtypes are asked for first or not."""
    folder = write_nifti_folder(tmp_path / "data", 3)
    name = "scan.2.nii.gz" if is_last else "scan.0.nii.gz"
    (folder / "masks" / name).write_bytes(b"no gzip")
    done = prepare_dataset(folder, tmp_path / "cache", "nifti")
    assert (done.is_complete, done.total, [bad.name for bad in done.bad_files]) == (True, 2 * 4, [name])


@pytest.mark.parametrize("layout", ["physionet", "nifti"])
def test_an_exam_in_sagittal_slices_is_listed_and_the_others_are_prepared(layout: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    folder = write_physionet(data, 2) if layout == "physionet" else write_nifti_folder(data, 2)
    scans, name = ("ct_scans", "002.nii") if layout == "physionet" else ("images", "scan.1.nii.gz")
    volume, mask = head(2, bleeds=True)
    affine = np.array([[0.0, 0, 5, 0], [5, 0, 0, 0], [0, 5, 0, 0], [0, 0, 0, 1]])
    sagittal = VolumeGeometry.from_affine(volume.geometry.shape, affine)
    save_nifti(folder / scans / name, volume.hu.astype(np.int16), sagittal)
    save_nifti(folder / "masks" / name, (mask > 0).astype(np.uint8), sagittal)
    done = prepare_dataset(folder, tmp_path / "cache", layout)
    assert (done.total, [bad.name for bad in done.bad_files]) == (4, [name])
    assert "sagittal or coronal" in done.bad_files[0].reason


def test_a_mask_at_another_place_is_refused(tmp_path: Path) -> None:
    folder = write_nifti_folder(tmp_path / "data", 1)
    volume, mask = head(0, bleeds=True)
    grid = volume.geometry
    moved = VolumeGeometry(grid.shape, grid.column_step, grid.row_step, grid.slice_origins + 5.0)
    save_nifti(folder / "masks" / "scan.0.nii.gz", mask, moved)
    with pytest.raises(TrainingDataError, match="its header puts them elsewhere"):
        prepare_dataset(folder, tmp_path / "cache", "nifti")


def test_a_mask_value_without_meaning_is_refused(tmp_path: Path) -> None:
    folder = write_nifti_folder(tmp_path / "data", 1)
    volume, mask = head(0, bleeds=True)
    save_nifti(folder / "masks" / "scan.0.nii.gz", mask * 4, volume.geometry)
    with pytest.raises(TrainingDataError, match="has the value 8; known are 0, 1 for blood, or 1 to 5"):
        prepare_dataset(folder, tmp_path / "cache", "nifti")


def test_a_scan_without_a_mask_is_named(tmp_path: Path) -> None:
    folder = write_nifti_folder(tmp_path / "data", 2)
    (folder / "masks" / "scan.1.nii.gz").unlink()
    with pytest.raises(TrainingDataError, match="1 scans and masks stand alone; scan.1 has no mask"):
        prepare_dataset(folder, tmp_path / "cache", "nifti")


def test_a_csv_of_another_release_is_refused(tmp_path: Path) -> None:
    folder = write_physionet(tmp_path / "data", 2)
    path = folder / "hemorrhage_diagnosis_raw_ct.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(TrainingDataError, match="has 4 slices, .* describes slices 1 to 3"):
        prepare_dataset(folder, tmp_path / "cache", "physionet")


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    prepare_dataset(write_nifti_folder(tmp_path / "data", 1), tmp_path / "cache", "nifti")
    table = load_prepared(tmp_path / "cache")
    (tmp_path / "cache" / "shard-000000.tar").write_bytes(b"x" * 100)
    dataset = SliceDataset(tmp_path / "cache", table, np.arange(4), SMALL, AugmentationRecipe(), with_masks=False)
    with pytest.raises(TrainingDataError, match="shard-000000.tar is absent or damaged; .* run `prepare` again"):
        dataset[SampleIndex(0)]


def test_a_folder_that_was_never_prepared_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"holds no index.csv; run `prepare` to the end first"):
        load_prepared(tmp_path)


@pytest.mark.parametrize("layout", ["nifti", "physionet", "rsna"])
def test_heights_of_slices_ascend_by_the_slice_distance(layout: str, tmp_path: Path) -> None:
    write = {"nifti": write_nifti_folder, "physionet": write_physionet, "rsna": write_rsna}[layout]
    prepare_dataset(write(tmp_path / "data"), tmp_path / "cache", layout)
    table = load_prepared(tmp_path / "cache")
    for rows in table.series_of(np.arange(len(table))):
        np.testing.assert_allclose(np.diff(table.columns["position_mm"][rows]), 5.0, atol=1e-3)
