"""The one entry point, with the classical method and with small stand-in predictors."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from ICHSegmenterLib.analysis import analyze as engine
from ICHSegmenterLib.analysis import single_method
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.errors import CancelledError, DeviceError, ModelNotFoundError, OutOfMemoryError, VolumeError
from ICHSegmenterLib.notices.run_notice import RunCode
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import RESEARCH_NOTICE, AnalysisResult
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.runtime.device import Device
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, StorageOrder, head_geometry, make_phantom
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.reader.reader_warning import ReaderCode, ReaderWarning
from ICHSegmenterLib.volume.volume import Volume

BLEED = Bleed.sphere(20.0, (26.0, 6.0, 30.0), 62.0)


@pytest.fixture(scope="module")
def bleeding():
    steps = [4.2] * 12 + [7.4] * 11
    geometry = head_geometry((24, 192, 192), pixel_mm=(1.2, 1.2), slice_step_mm=steps, tilt_deg=15)
    return make_phantom(geometry, HeadModel(bleeds=(BLEED,)), seed=3)


@pytest.fixture(scope="module")
def result(bleeding):
    return engine.analyze(bleeding.volume, AnalysisRequest("hu-threshold", outputs=("map",)))


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_a_bleed_in_a_tilted_unequal_scan_is_found_where_it_is(bleeding, result):
    assert result.detection.is_positive
    assert dice(result.segmentation.blood_mask, bleeding.labelmap > 0) > 0.85
    assert result.blood_ml == pytest.approx(bleeding.blood_ml, rel=0.2)
    assert (bleeding.labelmap[result.detection.key_slice] > 0).any()


def test_positive_slices_are_the_slices_with_blood(bleeding, result):
    truth = set(np.flatnonzero((bleeding.blood_fraction.sum(axis=(1, 2)) * 1.44) > 60))
    assert truth <= set(result.detection.positive_slices)


def test_a_head_without_blood_is_called_negative(bleeding):
    normal = make_phantom(bleeding.volume.geometry, HeadModel(), seed=4)
    result = engine.analyze(normal.volume, AnalysisRequest("hu-threshold"))
    assert not result.detection.is_positive
    assert result.verdict.startswith("No hemorrhage found")
    assert result.blood_ml < 1.0


def test_the_result_tells_how_it_was_made(result):
    used = result.provenance
    assert (used.method, used.device, used.value_name) == ("hu-threshold", "cpu", "probability")
    assert set(used.seconds) == {"load", "prepare", "predict", "assemble"}
    plain = result.to_json()
    assert plain["notice"] == RESEARCH_NOTICE
    assert len(plain["slices"]) == 24
    assert plain["geometry"]["tilt_deg"] == pytest.approx(15, abs=0.2)
    origin = plain["slices"][5]["origin_lps_mm"]
    np.testing.assert_allclose(origin, result.geometry.slice_origins[5], atol=1e-3)


def test_soft_maps_come_on_the_acquired_grid_only_when_asked_for(bleeding, result):
    assert result.segmentation.soft_maps.shape == (1, *bleeding.volume.geometry.shape)
    assert result.segmentation.soft_maps.max() <= 1.0
    assert engine.analyze(bleeding.volume, AnalysisRequest("hu-threshold")).segmentation.soft_maps is None


@pytest.mark.parametrize("flips", [{"is_descending": True}, {"flips_rows": True}, {"flips_columns": True}])
def test_flipped_acquisitions_give_the_same_blood_at_the_same_place(bleeding, flips):
    geometry = head_geometry(
        (24, 128, 128), pixel_mm=(1.8, 1.8), slice_step_mm=6.0, tilt_deg=10, order=StorageOrder(**flips)
    )
    phantom = make_phantom(geometry, HeadModel(bleeds=(BLEED,)), seed=3)
    result = engine.analyze(phantom.volume, AnalysisRequest("hu-threshold"))
    assert dice(result.segmentation.blood_mask, phantom.labelmap > 0) > 0.8
    heights = [geometry.slice_origins[one.index, 2] for one in sorted(result.detection.slices, key=number_in(result))]
    assert heights == sorted(heights)  # slice 1 is the lowest, also of a left-handed array


def number_in(result):
    return lambda one: result.slice_number(one.index)


def test_a_volume_stored_as_sagittal_slices_is_analyzed_as_axial_and_returned_as_stored(bleeding):
    geometry = head_geometry((30, 128, 128), pixel_mm=(1.8, 1.8), slice_step_mm=5.0)
    phantom = make_phantom(geometry, HeadModel(bleeds=(BLEED,)), seed=3)
    order = (2, 1, 0)  # columns become slices
    affine = geometry.affine[:, [2, 1, 0, 3]]
    stored = Volume(phantom.volume.hu.transpose(order), VolumeGeometry.from_affine((128, 128, 30), affine))
    result = engine.analyze(stored, AnalysisRequest("hu-threshold"))
    assert result.segmentation.labelmap.shape == (128, 128, 30)
    assert len(result.detection.slices) == 30
    assert dice(result.segmentation.blood_mask, phantom.labelmap.transpose(order) > 0) > 0.8


def test_an_own_brain_mask_limits_what_can_be_found(bleeding):
    mask = np.zeros(bleeding.volume.geometry.shape, dtype=bool)
    mask[:, :, : 192 // 2] = bleeding.brain_mask[:, :, : 192 // 2]  # the right side of the patient; blood is left
    result = engine.analyze(bleeding.volume, AnalysisRequest("hu-threshold"), brain_mask=mask)
    assert result.blood_ml < 1.0


def test_unknown_methods_name_the_known_ones(bleeding):
    with pytest.raises(ModelNotFoundError, match=r"'best'; available: .*hu-threshold"):
        engine.analyze(bleeding.volume, AnalysisRequest("best"))


@pytest.mark.parametrize("name", ["threshold", "detection_threshold"])
def test_thresholds_outside_zero_to_one_are_refused(bleeding, name):
    with pytest.raises(ValueError, match=f"{name} must lie between 0 and 1, got 40"):
        engine.analyze(bleeding.volume, AnalysisRequest("hu-threshold", **{name: 40}))


def test_weights_for_a_method_without_a_network_are_refused(bleeding, tmp_path):
    with pytest.raises(ValueError, match="hu-threshold has no network and takes no weights"):
        engine.analyze(bleeding.volume, AnalysisRequest("hu-threshold", weights=[tmp_path / "model.pt"]))


@pytest.mark.parametrize("requested", ["gpu", "cuda:", "cuda:x", "CPU", ""])
@pytest.mark.parametrize("method", ["hu-threshold", "unet"])
def test_a_processor_of_no_known_name_is_refused_by_every_method(bleeding, tmp_path, method, requested):
    (tmp_path / "fold.pt").write_bytes(b"never read")
    weights = [tmp_path / "fold.pt"] if method == "unet" else []
    with pytest.raises(DeviceError, match=f"The device '{requested}' cannot be used.*Choose 'auto', 'cpu', 'cuda'"):
        engine.analyze(bleeding.volume, AnalysisRequest(method, weights=weights, device=requested))


@pytest.mark.parametrize("requested", ["auto", "cpu", "cuda", "cuda:1", "mps"])
def test_the_classical_method_runs_on_the_cpu_whichever_processor_is_named(requested):
    place = Session().device(get_card("hu-threshold"), requested, "auto")
    assert (place.name, place.precision) == ("cpu", "float32")


def test_gray_values_are_refused_before_anything_runs(bleeding):
    gray = Volume(np.clip(bleeding.volume.hu, 0, 255), bleeding.volume.geometry)
    with pytest.raises(VolumeError, match="Hounsfield"):
        engine.analyze(gray, AnalysisRequest("hu-threshold"))


def test_cancelling_stops_with_a_typed_error(bleeding):
    with pytest.raises(CancelledError):
        engine.analyze(bleeding.volume, AnalysisRequest("hu-threshold"), context=RunContext(cancelled=lambda: True))


class HungryPredictor:
    """Runs out of memory until its batch is small enough."""

    precision = "float32"

    def __init__(self, fits: int, device: str = "cpu") -> None:
        self.fits, self.device, self.batch_size = fits, device, 8

    def predict(self, exam, run):
        if self.batch_size > self.fits:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return [SlicePrediction(k, {"any": 0.0}) for k in range(exam.volume.geometry.shape[0])]


def analyze_with(monkeypatch, bleeding, predictor):
    session = Session()
    monkeypatch.setattr(session, "predictor", lambda *_: predictor)
    return engine.analyze(bleeding.volume, AnalysisRequest("hu-threshold"), session=session)


def test_running_out_of_memory_halves_the_batch_and_says_so(monkeypatch, bleeding):
    predictor = HungryPredictor(fits=2)
    result = analyze_with(monkeypatch, bleeding, predictor)
    assert predictor.batch_size == 2
    assert any("batches of 2" in sentence for sentence in result.provenance.warnings)


@pytest.mark.parametrize(
    "message", ["CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling", "CUDNN_STATUS_ALLOC_FAILED"]
)
def test_a_workspace_that_cannot_be_allocated_is_lack_of_memory(message):
    assert single_method.is_out_of_memory(RuntimeError(message))


class WarmNetworks(Session):
    """A session with a fake graphics card; its predictors are made by what the test says."""

    def __init__(self, make) -> None:
        super().__init__()
        self.make, self.asked, self.dropped = make, [], []

    def device(self, card, requested, precision):
        if requested == "cpu":
            return Device("cpu", "float32")
        return Device("cuda:0", "float16" if precision == "auto" else precision)

    def predictor(self, card, weights, device):
        self.asked.append((device.name, device.precision))
        return self.make(device)

    def drop(self, predictor):
        self.dropped.append(predictor)


def test_a_network_that_does_not_fit_into_the_graphics_memory_runs_on_the_cpu(bleeding):
    def make(device):
        if device.name != "cpu":
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return HungryPredictor(fits=8)

    session = WarmNetworks(make)
    result = engine.analyze(bleeding.volume, AnalysisRequest("hu-threshold"), session=session)
    assert session.asked == [("cuda:0", "float16"), ("cpu", "float32")]
    assert any("too small for the network" in sentence for sentence in result.provenance.warnings)


def test_a_slice_that_does_not_fit_into_the_graphics_memory_runs_on_the_cpu(bleeding):
    session = WarmNetworks(lambda device: HungryPredictor(8 if device.name == "cpu" else 0, device.name))
    result = engine.analyze(bleeding.volume, AnalysisRequest("hu-threshold"), session=session)
    assert session.asked == [("cuda:0", "float16"), ("cpu", "float32")]
    assert result.provenance.device == "cpu"
    assert any("continued with batches of 1." in sentence for sentence in result.provenance.warnings)
    assert any("continued on the CPU" in sentence for sentence in result.provenance.warnings)
    said = [(notice.code, dict(notice.parameters)) for notice in result.provenance.notices]
    assert said[-2:] == [(RunCode.SMALLER_BATCHES, {"size": 1}), (RunCode.SLICES_ON_CPU, {})]
    read = AnalysisResult.from_json(json.loads(json.dumps(result.to_json())), bleeding.volume.geometry)
    assert read.provenance.notices == result.provenance.notices
    assert read.provenance.warnings == result.provenance.warnings


class NarrowPredictor:
    """Says infinity or NaN in float16."""

    batch_size = 1

    def __init__(self, device, value, outline) -> None:
        self.device, self.precision, self.value, self.outline = device.name, device.precision, value, outline

    def predict(self, exam, run):
        slices, *size = exam.volume.geometry.shape
        overflows = self.precision == "float16"
        value, outline = (self.value, self.outline) if overflows else (0.25, 0.0)
        return [SlicePrediction(k, {"any": value}, np.full((1, *size), outline)) for k in range(slices)]


@pytest.mark.parametrize(("value", "outline"), [(float("nan"), 0.0), (0.0, float("nan")), (float("inf"), 0.0)])
def test_numbers_beyond_float16_are_computed_again_in_float32_and_never_called_negative(bleeding, value, outline):
    session = WarmNetworks(lambda device: NarrowPredictor(device, value, outline))
    result = engine.analyze(bleeding.volume, AnalysisRequest("hu-threshold"), session=session)
    assert session.asked == [("cuda:0", "float16"), ("cuda:0", "float32")]
    assert [predictor.precision for predictor in session.dropped] == ["float16"]
    assert result.provenance.precision == "float32"
    assert {one.own["any"] for one in result.detection.slices} == {0.25}
    assert any("range of float16" in sentence for sentence in result.provenance.warnings)


def test_numbers_within_float16_are_kept(bleeding):
    session = WarmNetworks(lambda device: NarrowPredictor(device, 0.75, 0.0))
    result = engine.analyze(bleeding.volume, AnalysisRequest("hu-threshold"), session=session)
    assert result.provenance.precision == "float16"
    assert {one.own["any"] for one in result.detection.slices} == {0.75}


def test_too_little_memory_for_one_slice_is_a_teaching_error(monkeypatch, bleeding):
    with pytest.raises(OutOfMemoryError, match="Close other programs"):
        analyze_with(monkeypatch, bleeding, HungryPredictor(fits=0))


def test_other_failures_are_not_mistaken_for_lack_of_memory(monkeypatch, bleeding):
    predictor = HungryPredictor(fits=8)
    predictor.predict = lambda *_: (_ for _ in ()).throw(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        analyze_with(monkeypatch, bleeding, predictor)


def test_weights_that_vanish_during_the_run_do_not_cost_the_result(monkeypatch, bleeding, tmp_path):
    file = tmp_path / "weights.pt"
    file.write_bytes(b"weights")
    predictor = HungryPredictor(fits=8)
    predict = predictor.predict

    def vanishing(exam, run):
        file.unlink()
        return predict(exam, run)

    predictor.predict = vanishing
    monkeypatch.setattr("ICHSegmenterLib.weights.store.find", lambda *_: (file,))
    result = analyze_with(monkeypatch, bleeding, predictor)
    assert result.provenance.weights == {"weights.pt": hashlib.sha256(b"weights").hexdigest()}


def test_warnings_of_the_reader_reach_the_result(bleeding):
    source = replace(bleeding.volume.source, reader_warnings=(ReaderWarning(ReaderCode.LOSSY),))
    volume = Volume(bleeding.volume.hu, bleeding.volume.geometry, source)
    assert source.warnings[0] in engine.analyze(volume, AnalysisRequest("hu-threshold")).provenance.warnings
