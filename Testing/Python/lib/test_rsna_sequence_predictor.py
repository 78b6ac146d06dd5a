"""Data path, padding, grouping and ensemble of the slice-and-sequence transformer."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from golden_numbers import Golden, golden_file
from ICHSegmenterLib.cards.table import get_card, with_options
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.labels import SUBTYPE_LABELS
from ICHSegmenterLib.methods.rsna_sequence import input as series_cube
from ICHSegmenterLib.methods.rsna_sequence.predictor import RsnaSequencePredictor, combine
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.preprocessing.pipeline import prepare
from ICHSegmenterLib.preprocessing.spec import SeriesPreprocessing
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.synthesis.phantom import StorageOrder, head_geometry, make_phantom

SMALL = {"embed_dim": 8, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 4, 8)}
SERIES = ("ID_ser_a", "ID_ser_b")


@pytest.fixture(scope="module")
def golden():
    return Golden("rsna/data/golden_data")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return create_model("slice_sequence_transformer", **SMALL)


def exam(slices=12, step_mm=8.0, **changes):
    geometry = head_geometry((slices, 64, 64), pixel_mm=(3.6, 3.6), slice_step_mm=step_mm, **changes)
    volume = make_phantom(geometry, subsamples=(1, 1, 1)).volume
    mask = np.ones(geometry.shape, dtype=bool)
    return prepare(volume, SeriesPreprocessing(), mask)


def predict(network, exam, **options):
    return RsnaSequencePredictor([network], device="cpu", precision="float32", **options).predict(exam, RunContext())


def values(predictions):
    return np.array([[one.probabilities[label] for label in SUBTYPE_LABELS] for one in predictions])


@pytest.mark.parametrize("series", SERIES)
def test_windowed_and_cropped_cubes_equal_the_authors(golden, series):
    hu = golden[f"{series}__hu"].astype(np.float32)
    cube = series_cube.windowed_cube(hu, SeriesPreprocessing().windows)
    golden.assert_equal(f"{series}__cropped", cube)


def authors_cube(golden, series):
    """Equal to the authors' by the test above."""
    return series_cube.windowed_cube(golden[f"{series}__hu"].astype(np.float32), SeriesPreprocessing().windows)


@pytest.mark.parametrize("series", SERIES)
def test_black_edges_are_removed_as_the_authors_do(golden, series):
    for number, pixels in enumerate(authors_cube(golden, series)):
        expected = tuple(golden[f"{series}__blackedge_shape{number}"])
        assert series_cube.without_black_edge(pixels).shape == expected


@pytest.mark.parametrize("series", SERIES)
def test_network_slices_equal_the_authors_to_one_gray_level(golden, series):
    ours = series_cube.network_slices(authors_cube(golden, series), 224).astype(int)
    padded = np.concatenate((ours, np.zeros_like(ours[:1])))  # the authors' padding slice is kept with them
    golden.assert_few_off_by_one(f"{series}__val_data", padded, share=2e-4)


def test_a_slice_without_anything_becomes_zeros():
    assert not series_cube.network_slices(np.zeros((1, 40, 30, 3), dtype=np.uint8), 224).any()


@pytest.mark.parametrize(("step_mm", "together"), [(5.0, 1), (2.5, 1), (2.0, 2), (1.0, 5), (0.625, 8)])
def test_thin_slices_are_grouped_to_about_five_millimeters(step_mm, together):
    groups = series_cube.slice_groups(20, step_mm)
    assert np.bincount(groups)[0] == together
    assert together * step_mm == pytest.approx(5.0, abs=1.1) or together == 1


def test_a_group_shows_its_mean_density():
    hu = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((5, 2, 2), dtype=np.float32)
    np.testing.assert_allclose(series_cube.grouped(hu, np.array([0, 0, 1, 1, 2]))[:, 0, 0], [0.5, 2.5, 4.0])


def test_thin_slices_get_the_value_of_their_group(network):
    found = values(predict(network, exam(slices=80, step_mm=1.25)))
    assert len(found) == 80
    np.testing.assert_array_equal(found[0], found[3])
    assert not np.array_equal(found[3], found[4])


def test_padding_to_sixty_empty_slices_changes_the_values_and_masked_is_the_network_alone(network):
    one = exam()
    masked = values(predict(network, one, masked=True))
    assert np.abs(masked - values(predict(network, one))).max() > 1e-4
    cube = series_cube.windowed_cube(one.volume.hu, one.preprocessing.windows)
    slices = torch.from_numpy(series_cube.network_slices(cube, 224)) / 255
    with torch.inference_mode():
        np.testing.assert_allclose(masked, network(slices)[0].sigmoid().numpy(), atol=1e-5)


def test_a_descending_flipped_acquisition_gives_the_same_values_in_its_own_order(network):
    upright = values(predict(network, exam(center=(0.0, 0.0, 8.0))))
    turned = values(predict(network, exam(order=StorageOrder(is_descending=True, flips_rows=True, flips_columns=True))))
    np.testing.assert_allclose(turned[::-1], upright, atol=0.05)  # equal but for the phantom's noise


def test_slices_are_sorted_by_x_y_z_only_if_asked_for(network):
    """Where y falls while z rises, the authors' order runs from the top to the bottom."""
    plain = exam()
    leaning = plain.volume.geometry.slice_origins - np.arange(12)[:, None] * np.array([0.0, 0.5, 0.0])
    volume = replace(plain.volume, geometry=replace(plain.volume.geometry, slice_origins=leaning))
    leaning = prepare(volume, SeriesPreprocessing(), plain.brain_mask)
    cube = series_cube.windowed_cube(volume.hu, leaning.preprocessing.windows)
    slices = torch.from_numpy(series_cube.network_slices(cube, 224)) / 255
    with torch.inference_mode():
        expected = network(slices.flip(0))[0].sigmoid().flip(0).numpy()
    found = values(predict(network, leaning, masked=True, xyz_order=True))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - values(predict(network, leaning, masked=True))).max() > 1e-4
    ordered = values(predict(network, plain, masked=True, xyz_order=True))
    np.testing.assert_array_equal(ordered, values(predict(network, plain, masked=True)))


def test_too_many_slices_are_refused_with_what_to_do(network):
    with pytest.raises(VolumeError, match="5 mm series"):
        predict(network, exam(slices=70, step_mm=2.6))


def test_three_networks_are_blended_as_the_authors_do():
    folder = golden_file("rsna/data/csv")
    each = []
    for number in range(3):
        with (folder / f"sub{number}.csv").open() as file:
            each.append({row["ID"]: float(row["Label"]) for row in csv.DictReader(file)})
    with (folder / "ensemble.csv").open() as file:
        expected = {row["ID"]: float(row["Label"]) for row in csv.DictReader(file)}
    keys = sorted(expected)
    stacked = [np.array([[one[key] for key in keys]], dtype=np.float64) for one in each]
    np.testing.assert_allclose(combine(stacked)[0], [expected[key] for key in keys], atol=1e-6)
    assert sum(value == 1.0 for value in expected.values()) == 3


def test_options_must_be_known_and_of_their_type():
    card = get_card("rsna-sequence")
    assert with_options(card, {"masked": True}).option_values["masked"]
    with pytest.raises(ValueError, match="no option 'mask'; available: masked"):
        with_options(card, {"mask": True})
    with pytest.raises(ValueError, match="is a bool like False, got 'yes'"):
        with_options(card, {"masked": "yes"})
