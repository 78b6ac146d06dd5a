"""Slabs for training: what is prepared of an exam, and how a sample is changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
for package in ("PIL", "yaml"):
    pytest.importorskip(package, reason="needs the train extra")
from scipy import ndimage

from head_volumes import gantry_geometry, head, lps_of_voxels
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.datasets.prepare import load_prepared, prepare_dataset
from ICHSegmenterLib.datasets.slab_folder import PREPROCESSING, slab_mask
from ICHSegmenterLib.datasets.slices import UNKNOWN, SliceTable
from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.learning import slab_dataset
from ICHSegmenterLib.learning.augmentation import IDENTITY, Change
from ICHSegmenterLib.learning.recipe import AugmentationRecipe
from ICHSegmenterLib.learning.samplers import SampleIndex
from ICHSegmenterLib.learning.slab_dataset import SlabDataset, changed
from ICHSegmenterLib.preprocessing.brain_mask import brain_mask
from ICHSegmenterLib.preprocessing.slabs import AIR_HU, SlabGrid, channels
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

IPH, SDH = 2, 5
STILL = AugmentationRecipe(flip=0.0, affine=0.0, noise=0.0)
UNCHANGED = Change((False, False), IDENTITY, 0.0, 1)
SEED = (1, 0, 0, 5)
STEPS_MM = {"thick": [5.0] * 10 + [7.5] * 8 + [5.0] * 6, "thin": [1.25] * 106}
"""Between the slices of both exams; their ends lie in air."""


def bleeding(steps_mm: list[float]) -> tuple[Volume, NDArray[np.uint8]]:
    """A head with a ball of parenchymal blood beside one of subdural blood."""
    volume = head(gantry_geometry(slices=len(steps_mm) + 1, size=64, steps_mm=steps_mm))
    points = lps_of_voxels(volume.geometry)
    mask = np.zeros(volume.geometry.shape, dtype=np.uint8)
    for value, center in ((IPH, (-20.0, 0.0, 0.0)), (SDH, (20.0, 20.0, 10.0))):
        mask[((points - center) ** 2).sum(axis=-1) < 15.0**2] = value
    hu = volume.hu.copy()
    hu[mask > 0] = 65.0
    return Volume(hu, volume.geometry), mask


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both exams as `prepare nifti-slabs` leaves them."""
    folder = tmp_path_factory.mktemp("slabs")
    for name, steps in STEPS_MM.items():
        volume, mask = bleeding(steps)
        for kind, values in (("images", volume.hu.astype(np.int16)), ("masks", mask)):
            (folder / "data" / kind).mkdir(parents=True, exist_ok=True)
            write_nifti(values, volume.geometry, folder / "data" / kind / f"{name}.nii.gz")
    prepare_dataset(folder / "data", folder / "cache", "nifti-slabs")
    return folder


@pytest.fixture(scope="module")
def table(prepared: Path) -> SliceTable:
    return load_prepared(prepared / "cache")


def dataset(prepared: Path, table: SliceTable, augmentation: AugmentationRecipe = STILL) -> SlabDataset:
    return SlabDataset(prepared / "cache", table, np.arange(len(table)), PREPROCESSING, augmentation)


def rows_of(table: SliceTable, series: str) -> NDArray[np.intp]:
    return np.flatnonzero(table.columns["series"] == series)


def grid_of(prepared: Path, name: str) -> tuple[Volume, SlabGrid]:
    """The exam as it is read from disk, and its slabs."""
    volume = read_volume(prepared / "data" / "images" / f"{name}.nii.gz")
    return volume, SlabGrid.of(volume.geometry, brain_mask(volume), PREPROCESSING)


# ---- prepared exams


@pytest.mark.parametrize("name", STEPS_MM)
def test_an_exam_is_prepared_as_slabs_from_below_with_their_heights(name: str, prepared: Path, table: SliceTable):
    rows = rows_of(table, name)
    _, grid = grid_of(prepared, name)
    assert table.columns["number"][rows].tolist() == list(range(grid.count))
    heights = table.columns["position_mm"][rows]
    assert (np.diff(heights) > 0).all()
    np.testing.assert_allclose(heights, grid.positions_mm)
    assert len(rows) == {"thick": 25, "thin": 36}[name]


def test_labels_are_those_of_the_outlines_and_unknown_where_no_brain_is(prepared: Path, table: SliceTable):
    rows = rows_of(table, "thick")
    volume, mask = bleeding(STEPS_MM["thick"])
    has_brain = ((volume.hu > 0) & (volume.hu < 100)).sum(axis=(1, 2)) * 0.32**2 >= 4
    labels = table.labels[rows]
    assert 0 < has_brain.sum() < len(rows)
    assert (labels[~has_brain] == UNKNOWN).all()
    for column, value in ((1, IPH), (4, SDH)):
        np.testing.assert_array_equal(labels[has_brain, column] == 1, (mask == value).any(axis=(1, 2))[has_brain])
    assert set(labels[has_brain].ravel()) == {0, 1}
    np.testing.assert_array_equal(labels[has_brain, 5], labels[has_brain, :5].max(axis=1))


def test_thin_outlines_are_averaged_over_a_slab_before_they_count(prepared: Path):
    """Blood in two of three slices of a slab fills two thirds of it, blood in one a third."""
    _, grid = grid_of(prepared, "thin")
    assert grid.slices_a_slab == 3
    mask = np.zeros(grid.geometry.shape, dtype=np.uint8)
    mask[30:32, 20:44, 20:44] = IPH
    mask[33:34, 20:44, 20:44] = IPH
    outlines = slab_mask(grid, mask)
    assert np.flatnonzero(outlines.any(axis=(1, 2))).tolist() == [10]
    assert set(np.unique(outlines)) == {0, IPH}


def test_a_pixel_is_the_subtype_that_fills_most_of_it(prepared: Path):
    _, grid = grid_of(prepared, "thin")
    mask = np.zeros(grid.geometry.shape, dtype=np.uint8)
    mask[30:32, 20:44, 20:44], mask[32, 20:44, 20:44] = SDH, IPH
    outlines = slab_mask(grid, mask)
    assert set(np.unique(outlines[10])) == {0, SDH}
    area_mm2 = (outlines[10] > 0).sum() * PREPROCESSING.spacing_mm**2
    edge_mm = 4 * 24 * 3.2 * PREPROCESSING.spacing_mm  # the outline may be a pixel wider or narrower all around
    assert area_mm2 == pytest.approx((24 * 3.2) ** 2, abs=edge_mm)


def test_a_mask_with_a_value_that_means_nothing_is_refused(tmp_path: Path):
    volume = head(gantry_geometry(slices=6, size=48))
    for kind, values in (("images", volume.hu.astype(np.int16)), ("masks", np.full(volume.hu.shape, 7, np.uint8))):
        (tmp_path / kind).mkdir()
        write_nifti(values, volume.geometry, tmp_path / kind / "a.nii.gz")
    with pytest.raises(TrainingDataError, match=r"a\.nii\.gz: it has the value 7; known are 0, 1 for blood, or 1 to 5"):
        prepare_dataset(tmp_path, tmp_path / "cache", "nifti-slabs")


# ---- samples


@pytest.mark.parametrize("name", STEPS_MM)
def test_without_a_seed_a_sample_is_what_the_predictor_would_show_the_network(
    name: str, prepared: Path, table: SliceTable
):
    volume, grid = grid_of(prepared, name)
    slabs = np.rint(grid.forward(volume.hu))
    mask = slab_mask(grid, bleeding(STEPS_MM[name])[1])
    samples = dataset(prepared, table)
    for row in rows_of(table, name)[::4]:
        sample = samples[SampleIndex(int(row))]
        number = int(table.columns["number"][row])
        expected = channels(slabs, grid.positions_mm, number, PREPROCESSING)
        np.testing.assert_allclose(sample["image"].numpy(), expected, atol=1e-5)
        np.testing.assert_array_equal(sample["mask"].numpy(), mask[number])
        np.testing.assert_array_equal(sample["label"].numpy(), table.labels[row])


def test_the_same_seed_makes_the_same_sample_and_another_seed_another(prepared: Path, table: SliceTable):
    strong = AugmentationRecipe(flip=0.5, affine=1.0, noise=1.0, noise_sd=10.0, intensity=1.0, brightness=5.0)
    samples = dataset(prepared, table, strong)
    row = int(rows_of(table, "thick")[12])
    first, again, other = (samples[SampleIndex(row, seed)] for seed in (SEED, SEED, (2, 0, 0, 5)))
    assert torch.equal(first["image"], again["image"]) and torch.equal(first["mask"], again["mask"])
    assert not torch.equal(first["image"], other["image"])


def test_a_lone_slab_is_its_own_neighbor(prepared: Path, table: SliceTable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slab_dataset, "LONE_SLAB", 1.0)
    row = int(rows_of(table, "thick")[12])
    image = dataset(prepared, table)[SampleIndex(row, SEED)]["image"]
    assert PREPROCESSING.neighbor_window == PREPROCESSING.windows[0]
    for neighbor in image[:4]:
        torch.testing.assert_close(neighbor, image[4])
    alone = dataset(prepared, table)[SampleIndex(row)]["image"]
    assert not torch.equal(alone[0], alone[4])


@pytest.mark.parametrize("change", [{"spacing_mm": 1.2}, {"side": 192}])
def test_data_prepared_for_other_pixels_are_refused(change: dict, prepared: Path, table: SliceTable):
    other = replace(PREPROCESSING, **change)
    with pytest.raises(TrainingDataError, match="Prepare the data in the layout nifti-slabs"):
        SlabDataset(prepared / "cache", table, np.arange(len(table)), other, STILL)[SampleIndex(0)]


# ---- changes


def stack_with_disk() -> tuple[torch.Tensor, torch.Tensor]:
    """Five equal slabs of brain with a dense disk off the middle, and its outline."""
    rows, columns = np.mgrid[:96, :96]
    disk = torch.from_numpy(np.hypot(rows - 40, columns - 58) < 14)
    return torch.where(disk, 70.0, 30.0).repeat(5, 1, 1), disk.long()


def turned(degrees: float, shift: tuple[float, float]) -> Change:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return replace(UNCHANGED, matrix=((cosine, -sine, shift[0]), (sine, cosine, shift[1])))


@pytest.mark.parametrize(
    "change",
    [
        replace(UNCHANGED, flips=(True, False)),
        replace(UNCHANGED, flips=(False, True)),
        turned(25.0, (0.1, -0.05)),
        replace(turned(-10.0, (0.0, 0.1)), flips=(False, True)),
    ],
)
def test_image_and_outline_move_together_and_neighbors_with_them(change: Change):
    stack, mask = stack_with_disk()
    moved, outline = changed(change, stack, mask)
    assert not torch.equal(outline, mask)
    for slab in moved[1:]:
        assert torch.equal(slab, moved[0])
    inside = ndimage.binary_erosion(outline.numpy() > 0, iterations=2)
    around = ndimage.binary_dilation(outline.numpy() > 0, iterations=10) & ~ndimage.binary_dilation(
        outline.numpy() > 0, iterations=2
    )
    assert inside.sum() > 300
    np.testing.assert_allclose(moved[0].numpy()[inside], 70.0, atol=1e-3)
    np.testing.assert_allclose(moved[0].numpy()[around], 30.0, atol=1e-3)


def test_what_moves_into_the_picture_is_air():
    stack, mask = stack_with_disk()
    moved, outline = changed(turned(0.0, (0.5, 0.0)), stack, mask)
    assert moved[0, 10, -1] == AIR_HU
    assert outline[10, -1] == 0


def test_each_slab_has_noise_of_its_own_as_strong_as_drawn():
    stack, mask = torch.full((5, 96, 96), 30.0), torch.zeros(96, 96, dtype=torch.long)
    noisy, outline = changed(replace(UNCHANGED, noise_sd=8.0), stack, mask)
    noise = noisy - stack
    assert torch.equal(outline, mask)
    pixels = noise[0].numel()
    for one in noise:
        assert float(one.std()) == pytest.approx(8.0, rel=6 / np.sqrt(2 * pixels))
    correlation = np.corrcoef(noise.flatten(1).numpy())
    assert np.abs(correlation - np.eye(5)).max() < 6 / np.sqrt(pixels)


def test_contrast_turns_about_the_density_of_brain():
    stack, mask = stack_with_disk()
    stronger, _ = changed(replace(UNCHANGED, gain=1.5), stack, mask)
    np.testing.assert_allclose(stronger[mask.expand(5, -1, -1) == 0].numpy(), 30.0, atol=1e-4)
    np.testing.assert_allclose(stronger[mask.expand(5, -1, -1) == 1].numpy(), 90.0, atol=1e-4)


def test_the_preprocessing_of_the_layout_is_that_of_the_method():
    assert get_card("compact-unet").preprocessing == PREPROCESSING
