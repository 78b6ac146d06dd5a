"""Test-time augmentation and uncertainty: the mirror image counts as much, and a map says where the mean is open."""

import numpy as np
import pytest
import torch
from torch import nn

from head_volumes import head
from ICHSegmenterLib.analysis import labelmap
from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.cards.table import MODEL_CARDS, get_card, with_options
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.methods.blast_ct import predictor as blast_ct
from ICHSegmenterLib.methods.rsna_sequence.predictor import RsnaSequencePredictor
from ICHSegmenterLib.methods.swin.predictor import SwinMapPredictor
from ICHSegmenterLib.methods.test_time_augmentation import binary_entropy, mirrored
from ICHSegmenterLib.methods.unet.predictor import UnetPredictor
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.outputs.write import write_outputs
from ICHSegmenterLib.preprocessing.pipeline import prepare
from ICHSegmenterLib.preprocessing.spec import SeriesPreprocessing, SlicePreprocessing
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.synthesis.phantom import head_geometry, make_phantom
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

CROP = 32
ENTROPY_OF_NINE_TENTHS = 0.468996
ON_CPU = {"device": "cpu", "precision": "float32"}
SMALL_SWIN = {"image_size": CROP, "window_size": 2, "embed_dim": 8, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 2, 4)}


class LeftIsBlood(nn.Module):
    """Says 0.9 on the left half of what it sees and 0.1 on the right half."""

    def forward(self, slices):
        logits = torch.zeros(len(slices), 2, *slices.shape[-2:])
        half = slices.shape[-1] // 2
        strength = float(np.log(9.0))
        logits[:, 1, :, :half], logits[:, 1, :, half:] = strength, -strength
        return logits


@pytest.fixture(scope="module")
def volume():
    return head()


def prepared(volume, preprocessing=None):
    mask = np.ones(volume.geometry.shape, dtype=bool)
    return prepare(volume, preprocessing or SlicePreprocessing(resize=36, crop=CROP), mask)


def turned(volume):
    """The same scan of the patient's mirror image; its grid is symmetric about the middle."""
    return Volume(np.ascontiguousarray(volume.hu[:, :, ::-1]), volume.geometry, volume.source)


def unet(seed):
    torch.manual_seed(seed)
    return create_model("unet", variant="release")


@pytest.mark.parametrize(("probability", "bits"), [(0.0, 0.0), (1.0, 0.0), (0.5, 1.0), (0.25, 0.811278)])
def test_entropy_is_measured_in_bits(probability, bits):
    assert float(binary_entropy(torch.tensor(probability))) == pytest.approx(bits, abs=1e-5)


def test_mirroring_twice_gives_the_slice_itself():
    slices = torch.rand(2, 3, 4, 5)
    assert not torch.equal(mirrored(slices), slices)
    assert torch.equal(mirrored(mirrored(slices)), slices)


def test_a_mirrored_look_is_turned_back_before_it_is_averaged(volume):
    """A network that always says "left" says nothing about either side once the mirror image is counted."""
    one = UnetPredictor([LeftIsBlood()], **ON_CPU, tta=True).predict(prepared(volume), RunContext())[5]
    inside = one.maps[0, 20:44, 20:44]
    np.testing.assert_allclose(inside, 0.5, atol=1e-4)
    np.testing.assert_allclose(one.uncertainty[20:44, 20:44], 1.0, atol=1e-4)


def test_unet_with_mirror_images_does_not_depend_on_the_side_of_the_bleed(volume):
    predictor = UnetPredictor([unet(0)], **ON_CPU, tta=True)
    here = predictor.predict(prepared(volume), RunContext())[5]
    there = predictor.predict(prepared(turned(volume)), RunContext())[5]
    np.testing.assert_allclose(there.maps[..., ::-1], here.maps, atol=1e-4)
    plain = UnetPredictor([unet(0)], **ON_CPU).predict(prepared(volume), RunContext())[5]
    assert np.abs(plain.maps - here.maps).max() > 1e-3


def test_swin_maps_with_mirror_images_do_not_depend_on_the_side_of_the_bleed(volume):
    torch.manual_seed(1)
    network = create_model("swin_classifier", num_classes=6, **SMALL_SWIN)
    predictor = SwinMapPredictor(network, map_kind="swin-sam", **ON_CPU, tta=True)
    here = predictor.predict(prepared(volume), RunContext())[5]
    there = predictor.predict(prepared(turned(volume)), RunContext())[5]
    assert there.probabilities == pytest.approx(dict(here.probabilities), abs=1e-5)
    np.testing.assert_allclose(there.maps[..., ::-1], here.maps, atol=1e-4)
    assert here.uncertainty is None  # attention is no probability


def test_a_mirrored_series_counts_as_much_as_the_series(volume):
    torch.manual_seed(0)
    network = create_model("slice_sequence_transformer", embed_dim=8, depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8))
    both = RsnaSequencePredictor([network], **ON_CPU, masked=True, tta=True)
    alone = RsnaSequencePredictor([network], **ON_CPU, masked=True)
    reports = []
    run = RunContext(progress=lambda done, total, _: reports.append((done, total)))
    exam = prepared(volume, SeriesPreprocessing())
    found = both.predict(exam, run)
    assert reports[-1] == (24, 24)
    assert abs(found[5].probabilities[ANY] - alone.predict(exam, RunContext())[5].probabilities[ANY]) > 1e-7


def test_one_network_that_looks_once_knows_no_uncertainty(volume):
    assert UnetPredictor([unet(0)], **ON_CPU).predict(prepared(volume), RunContext())[5].uncertainty is None


def test_the_uncertainty_of_an_ensemble_is_the_entropy_of_its_mean_and_kept_with_the_maps(volume):
    predictions = UnetPredictor([LeftIsBlood(), LeftIsBlood()], **ON_CPU).predict(prepared(volume), RunContext())
    card = get_card("unet")
    kept, dropped = (
        labelmap.assemble(predictions, volume, card, threshold=0.5, detection_threshold=0.5, keep_maps=keep)
        for keep in (True, False)
    )
    assert dropped.uncertainty is None
    assert kept.uncertainty.shape == volume.geometry.shape
    np.testing.assert_allclose(kept.uncertainty[:, 20:44, 20:28], ENTROPY_OF_NINE_TENTHS, atol=1e-4)
    assert kept.uncertainty[:, 0].max() == 0  # outside what the network saw nothing is uncertain


@pytest.mark.parametrize(("networks", "bits"), [(1, None), (2, 0.970951)])
def test_of_several_blast_ct_networks_edema_adds_nothing_to_the_uncertainty_of_blood(
    volume, monkeypatch, networks, bits
):
    """Intraparenchymal 0.2, extra-axial 0.1, edema 0.1, intraventricular 0.1: blood 0.4."""

    def say_the_same(image, models, **_):
        return np.ones((5, *image.shape), dtype=np.float32) * np.array([0.5, 0.2, 0.1, 0.1, 0.1]).reshape(5, 1, 1, 1)

    monkeypatch.setattr(blast_ct, "predict_probabilities", say_the_same)
    card = get_card("blast-ct")
    predictor = blast_ct.BlastCtPredictor([None] * networks, card.labels, card.preprocessing, **ON_CPU)
    one = predictor.predict(prepare(volume, card.preprocessing), RunContext())[6]
    if bits is None:
        assert one.uncertainty is None
    else:
        assert one.uncertainty.max() == pytest.approx(bits, abs=1e-4)
        assert one.uncertainty[0].max() == 0  # outside the brain


def test_the_uncertainty_of_an_ensemble_is_written_with_the_maps_and_not_without(tmp_path):
    geometry = head_geometry((10, 64, 64), pixel_mm=(3.6, 3.6), slice_step_mm=14.0)
    exam = make_phantom(geometry, subsamples=(1, 1, 1)).volume
    torch.save(unet(0).state_dict(), tmp_path / "fold.pt")
    result = analyze(
        exam, AnalysisRequest("unet", weights=[tmp_path / "fold.pt"], options={"tta": True}, outputs=("map",))
    )
    files = write_outputs(result, exam, tmp_path / "out", outputs=["+map"])
    written = read_volume(files["uncertainty.nii.gz"]).hu
    np.testing.assert_allclose(written, result.segmentation.uncertainty, atol=1e-5)
    assert written.max() > 0
    assert "uncertainty.nii.gz" not in write_outputs(result, exam, tmp_path / "out")
    assert not (tmp_path / "out" / "uncertainty.nii.gz").exists()


@pytest.mark.parametrize("method", [name for name, card in MODEL_CARDS.items() if "tta" in card.option_values])
def test_mirror_images_are_an_option_that_is_off_where_the_authors_had_none(method):
    assert get_card(method).option_values["tta"] is (method == "compact-unet")
    assert with_options(get_card(method), {"tta": True}).option_values["tta"] is True
