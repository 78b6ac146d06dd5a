"""What a batch does beside its network: scans are checked before it, and predictions judged behind it."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from batch_inputs import CLASSICAL, analyze, summary
from ICHSegmenterLib.analysis.analyze import begin_analysis
from ICHSegmenterLib.batch.attempts import Attempts
from ICHSegmenterLib.batch.engines import time_limit
from ICHSegmenterLib.batch.engines.time_limit import TimeLimit
from ICHSegmenterLib.batch.names import named_exams
from ICHSegmenterLib.batch.reading.checking_reader import CheckingReader
from ICHSegmenterLib.batch.run import RunOptions, find_exams, run_batch
from ICHSegmenterLib.errors import CancelledError, OutOfMemoryError
from ICHSegmenterLib.preprocessing.checked_scan import CheckedScan
from ICHSegmenterLib.preprocessing.checks.findings import InputCode
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.input_files import digest_of
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

pytestmark = pytest.mark.usefixtures("impatient")
REPOSITORY = Path(__file__).resolve().parents[3]
PATIENCE_S = 120.0
BESIDE_S = 0.3
"""For a network that does not wait to begin its next exam."""
REQUEST = AnalysisRequest("hu-threshold", outputs=("json",))


@pytest.fixture
def exams(head, tmp_path):
    """Three exams; the folder of their files."""
    for number in range(3):
        write_nifti(head.hu + number, head.geometry, tmp_path / "exams" / f"{number}.nii.gz")
    return tmp_path / "exams"


def batch(exams, output, method, **options):
    return run_batch(find_exams([exams]), output, method, request=REQUEST, options=RunOptions(**options))


def same(first, second):
    return (
        np.array_equal(first.brain_mask, second.brain_mask)
        and first.measured.noise == second.measured.noise
        and np.array_equal(first.measured.shifts_mm, second.measured.shifts_mm)
        and [one.to_json() for one in (*first.quick, *first.measured.findings)]
        == [one.to_json() for one in (*second.quick, *second.measured.findings)]
    )


def plain(result):
    """A result without times, and its mask."""
    origin = replace(result.provenance, seconds={}, created="")
    return json.dumps(replace(result, provenance=origin).to_json()), result.segmentation.labelmap.tobytes()


def with_metal(head):
    """A scan of which something is found."""
    hu = head.hu.copy()
    hu[8, 40:44, 40:44] = 3000.0
    return replace(head, hu=hu)


def test_the_reader_finds_of_a_scan_what_an_analysis_finds(head, tmp_path):
    scan = with_metal(head)
    write_nifti(scan.hu, scan.geometry, tmp_path / "ct.nii.gz")
    with CheckingReader() as reader:
        volume = reader.volume(tmp_path / "ct.nii.gz")
        checked = reader.checked(volume)
    assert InputCode.METAL in {finding.code for finding in checked.measured.findings}
    assert same(checked, CheckedScan.of(read_volume(tmp_path / "ct.nii.gz")))
    known = begin_analysis(volume, CLASSICAL, checked=checked)()
    assert plain(known) == plain(analyze(volume))
    assert known.provenance.input_findings


def test_a_turned_scan_is_checked_as_its_axial_view(head):
    geometry = VolumeGeometry.from_affine(head.hu.shape[::-1], head.geometry.affine[:, [2, 1, 0, 3]])
    turned = Volume(head.hu.transpose(2, 1, 0), geometry, head.source)
    assert same(CheckedScan.of(turned), CheckedScan.of(head))
    known = begin_analysis(turned, CLASSICAL, checked=CheckedScan.of(turned))()
    assert plain(known) == plain(analyze(turned))


def test_methods_of_a_pair_share_what_was_found(head, monkeypatch):
    outlined, checked = analyze(head), CheckedScan.of(head)
    seen = []
    module = "ICHSegmenterLib.analysis.analyze"
    monkeypatch.setattr(f"{module}.analyze_by_one", lambda *arguments: seen.append(arguments[1:]))
    monkeypatch.setattr(f"{module}.begin_by_one", lambda *arguments: seen.append(arguments[1:]) or (lambda: outlined))
    begin_analysis(head, AnalysisRequest("hu-threshold", detector="compact-unet"), checked=checked)
    assert [(request.method, last) for request, *_, last in seen] == [
        ("compact-unet", checked),
        ("hu-threshold", checked),
    ]


def test_an_analysis_does_not_search_for_what_the_reader_found(head, monkeypatch):
    checked = CheckedScan.of(head)

    def fail(*arguments):
        raise AssertionError("it was known")

    monkeypatch.setattr("ICHSegmenterLib.preprocessing.pipeline.skull.brain_mask", fail)
    monkeypatch.setattr("ICHSegmenterLib.preprocessing.checked_scan.measure_scan", fail)
    begin_analysis(head, CLASSICAL, checked=checked)()


def test_of_a_scan_that_is_refused_the_analysis_says_why(head, tmp_path):
    write_nifti(np.clip(head.hu, 0, 255), head.geometry, tmp_path / "exams" / "picture.nii.gz")
    write_nifti(
        np.full_like(head.hu, -1000) + 1100 * (head.hu > -300), head.geometry, tmp_path / "exams" / "flat.nii.gz"
    )
    method = Analyses()
    outcomes = batch(tmp_path / "exams", tmp_path / "out", method, checks_ahead=True)
    assert {one.error for one in outcomes} == {"bad_input"}
    assert sorted(one.message.split(";")[0][:20] for one in outcomes) == [
        "No skull with brain ",
        "Values span 0 to 255",
    ]
    assert method.known == [set(), set()]


def test_a_check_that_fails_is_left_to_the_analysis(head, tmp_path):
    write_nifti(head.hu, head.geometry, tmp_path / "ct.nii.gz")
    with CheckingReader() as reader:
        volume = reader.volume(tmp_path / "ct.nii.gz")
        assert reader.checked(volume) is not None
        assert reader.checked(volume) is None, "what was checked is no longer kept"
        reader._kill()
        assert reader.checked(volume) is None
        assert reader.checked(reader.volume(tmp_path / "ct.nii.gz")) is not None


class Analyses:
    """The classical method; remembers the names of what was known before each analysis."""

    def __init__(self):
        self.known = []

    def __call__(self, volume, **known):
        self.known.append(set(known))
        return begin_analysis(volume, CLASSICAL, **known)


def test_readers_check_ahead_where_the_run_asks_for_it_unless_the_brain_is_given(head, exams, tmp_path):
    method = Analyses()
    batch(exams, tmp_path / "ahead", method, checks_ahead=True)
    batch(exams, tmp_path / "not", method)
    assert method.known == [{"checked"}] * 3 + [set()] * 3
    write_nifti(CheckedScan.of(head).brain_mask.astype(np.uint8), head.geometry, tmp_path / "mask.nii.gz")
    found = [replace(exam, brain_mask=tmp_path / "mask.nii.gz") for exam in find_exams([exams])]
    run_batch(found, tmp_path / "given", method, request=REQUEST, options=RunOptions(checks_ahead=True))
    assert method.known[6:] == [{"brain_mask"}] * 3
    assert [row["blood_ml"] for row in summary(tmp_path / "given").values()] == [
        row["blood_ml"] for row in summary(tmp_path / "ahead").values()
    ]


def test_an_exam_is_judged_while_the_network_works_on_the_next_one(exams, tmp_path):
    begun, waited = threading.Semaphore(0), []

    def method(volume):
        begun.release()
        rest = begin_analysis(volume, CLASSICAL)

        def judged():
            if not waited:
                begun.acquire(timeout=PATIENCE_S)
                waited.append(begun.acquire(timeout=PATIENCE_S))
            return rest()

        return judged

    assert [one.status for one in batch(exams, tmp_path / "out", method)] == ["done"] * 3
    assert waited == [True]


def test_exams_in_whose_middle_a_batch_ended_are_analyzed_one_by_one(exams, tmp_path):
    """A killer takes those with it that are judged beside its network: they must not stand beside it again."""
    output, published = tmp_path / "out", []
    output.mkdir()
    attempts = Attempts(output)
    for exam in named_exams(find_exams([exams]), output):
        attempts.begin(exam.name, digest_of(exam.input_files()))

    def method(volume):
        published.append(len(list(output.glob("*/result.json"))))
        rest = begin_analysis(volume, CLASSICAL)

        def judged():
            time.sleep(BESIDE_S)
            return rest()

        return judged

    assert [one.status for one in batch(exams, output, method)] == ["done"] * 3
    assert published == [0, 1, 2]


@pytest.mark.parametrize("error", [OutOfMemoryError("too large"), MemoryError()])
def test_a_judgement_that_fails_is_of_its_exam_alone(exams, tmp_path, error):
    calls = []

    def method(volume):
        calls.append(volume)
        number = len(calls)

        def judged():
            if number == 2:
                raise error
            return analyze(volume)

        return judged

    outcomes = batch(exams, tmp_path / "out", method)
    assert sorted((one.status, one.error) for one in outcomes) == [("done", ""), ("done", ""), ("failed", "oom_ram")]


def test_what_was_predicted_is_judged_and_published_when_a_run_is_stopped(exams, tmp_path):
    stop, calls = threading.Event(), []

    def method(volume):
        calls.append(volume)
        if len(calls) == 2:
            raise CancelledError("stopped")

        def judged():
            stop.set()
            return analyze(volume)

        return judged

    with pytest.raises(CancelledError):
        batch(exams, tmp_path / "out", method, stop=stop)
    assert [row["status"] for row in summary(tmp_path / "out").values()] == ["done"]


def test_a_judgement_without_end_ends_the_process_and_is_recorded(exams, tmp_path, monkeypatch):
    monkeypatch.setattr(time_limit, "GRACE_S", 0.05)
    ended = threading.Event()

    def end(stuck):
        stuck()
        ended.set()

    monkeypatch.setattr(time_limit, "_end_process", end)

    def method(volume):
        def judged():
            assert ended.wait(PATIENCE_S)
            raise OutOfMemoryError("the process would have ended")

        return judged

    (exams / "1.nii.gz").unlink()
    (exams / "2.nii.gz").unlink()
    with pytest.MonkeyPatch.context() as patch:
        kills = []
        patch.setattr(Attempts, "killed", lambda self, name, digest, message: kills.append(message))
        batch(exams, tmp_path / "out", method, limit=TimeLimit(0.05))
    assert [message[:36] for message in kills] == ["The analysis took more than 0.05 s a"]


@pytest.mark.parametrize("module", ["ICHSegmenterLib.cli.verbs.batch", "ICHSegmenterLib.batch.reading.__main__"])
def test_a_batch_begins_without_packages_that_it_may_never_need(module):
    late = ("torch", "matplotlib", "scipy.optimize", "scipy.spatial", "nibabel", "SimpleITK")
    code = f"import sys, {module}; print([name for name in {late!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert run.stdout.strip() == "[]"
