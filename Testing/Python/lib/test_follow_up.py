"""Two exams of one head: registered on the skull, growth, and the prior outline on the current grid."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import RegistrationError
from ICHSegmenterLib.labels import IPH, PERILESIONAL_EDEMA, SDH
from ICHSegmenterLib.measuring.exam import measure_exam
from ICHSegmenterLib.measuring.follow_up import Change, FollowUp, OutlinedExam, follow_up
from ICHSegmenterLib.measuring.registration import register
from ICHSegmenterLib.protocol import VOXEL_FILE, exam_message
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import read_labelmap
from ICHSegmenterLib.volume.volume import Volume
from ICHSegmenterLib.worker.exam import Exam
from ICHSegmenterLib.worker.jobs import Jobs

LABELS = (IPH, SDH, PERILESIONAL_EDEMA)
BLEED = (26.0, 0.0, 36.0)
CURRENT = head_geometry((26, 144, 144), pixel_mm=(1.6, 1.6), tilt_deg=15)
PRIOR = head_geometry((28, 128, 128), pixel_mm=(1.7, 1.7), slice_step_mm=[4.5] * 13 + [6.0] * 14)
POINTS = np.array([[60.0, 0, 20], [-60, 0, 20], [0, 80, 20], [0, -80, 20], [0, 0, 75], [0, 0, 0]])

Matrix = NDArray[np.float64]


def moved(geometry: VolumeGeometry, rotation: Matrix, shift: Matrix) -> VolumeGeometry:
    return VolumeGeometry(
        geometry.shape,
        rotation @ geometry.column_step,
        rotation @ geometry.row_step,
        geometry.slice_origins @ rotation.T + shift,
    )


def outlined(geometry: VolumeGeometry, *volumes_ml: float) -> OutlinedExam:
    centers = (BLEED, (-30.0, 25.0, 40.0), (-28.0, -30.0, 38.0))
    bleeds = tuple(Bleed.sphere(ml, center) for ml, center in zip(volumes_ml, centers, strict=False))
    phantom = make_phantom(geometry, HeadModel(bleeds), subsamples=(3, 1, 1))
    return OutlinedExam(phantom.volume, phantom.labelmap, LABELS)


def scanned_otherwise(
    turn_deg: float, nod_deg: float, shift: tuple[float, float, float]
) -> tuple[OutlinedExam, Matrix]:
    """A prior exam of the head, which lay otherwise in the scanner, and the rotation."""
    rotation = Rotation.from_euler("zx", (turn_deg, nod_deg), degrees=True).as_matrix()
    seen = outlined(moved(PRIOR, rotation.T, np.zeros(3)), 18.0)
    volume = Volume(seen.volume.hu, moved(seen.volume.geometry, rotation, np.array(shift)))
    return OutlinedExam(volume, seen.labelmap, LABELS), rotation


@pytest.fixture(scope="module")
def current() -> OutlinedExam:
    return outlined(CURRENT, 30.0)


@pytest.mark.parametrize(
    ("turn_deg", "nod_deg", "shift"),
    [
        (0.0, 0.0, (0.0, 0.0, 0.0)),
        (14.0, -10.0, (15.0, -20.0, 33.0)),
        (-24.0, 17.0, (5.0, 10.0, -40.0)),
    ],
)
def test_the_skulls_are_laid_over_each_other_to_a_millimeter(
    current: OutlinedExam, turn_deg: float, nod_deg: float, shift: tuple[float, float, float]
) -> None:
    prior, rotation = scanned_otherwise(turn_deg, nod_deg, shift)
    found = register(current.volume, prior.volume)
    expected = POINTS @ rotation.T + shift
    # A third of a slice of 5 mm: bone that is cut obliquely looks thicker by the part of a slice that it fills.
    assert np.linalg.norm(found.to_prior(POINTS) - expected, axis=1).max() < 5.0 / 3
    assert np.allclose(found.to_current(found.to_prior(POINTS)), POINTS, atol=1e-9)


def test_growth_and_the_prior_outline_are_those_of_the_bleeds(current: OutlinedExam) -> None:
    prior, _ = scanned_otherwise(10.0, -8.0, (8.0, -12.0, 20.0))
    found, outline = follow_up(current, prior)
    assert found.total.prior_ml == pytest.approx(18.0, rel=0.03)
    assert found.total.current_ml == pytest.approx(30.0, rel=0.03)
    assert found.total.is_growth
    (piece,) = found.pieces
    assert (piece.name, found.gone) == ("IPH", ())
    assert piece.prior_ml == pytest.approx(18.0, rel=0.03)
    geometry = current.volume.geometry
    where = geometry.ijk_to_lps(np.argwhere(outline > 0)[:, ::-1])
    assert np.linalg.norm(where.mean(axis=0) - BLEED) < 1.5
    assert float((outline > 0).sum(axis=(1, 2)) @ geometry.voxel_volumes_mm3) / 1000 == pytest.approx(18.0, rel=0.1)
    assert "+12" in found.text.replace("+11.", "+12")
    assert FollowUp.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_pieces_that_came_and_pieces_that_went_are_told_apart() -> None:
    now, then = outlined(CURRENT, 9.0, 4.0, 5.0), outlined(PRIOR, 8.5)
    new = follow_up(now, then)[0]
    assert [(piece.name, round(piece.prior_ml)) for piece in new.pieces] == [("IPH", 8), ("SDH", 0)]  # edema is none
    reverse = follow_up(then, now)[0]
    assert [(piece.name, round(piece.prior_ml)) for piece in reverse.pieces] == [("IPH", 9)]
    assert [(piece.name, round(piece.prior_ml)) for piece in reverse.gone] == [("SDH", 4)]
    assert [change.name for change in reverse.labels] == ["IPH", "SDH"]


@pytest.mark.parametrize(
    ("prior_ml", "current_ml", "is_growth"),
    [
        (10.0, 13.2, False),
        (10.0, 13.4, True),
        (60.0, 65.9, False),
        (60.0, 66.1, True),
        (0.0, 0.2, True),
        (9.0, 3.0, False),
    ],
)
def test_growth_is_more_than_a_third_or_six_milliliters(prior_ml: float, current_ml: float, is_growth: bool) -> None:
    assert Change("total", prior_ml, current_ml).is_growth is is_growth


def test_other_heads_and_no_heads_are_refused(current: OutlinedExam) -> None:
    water = Volume(np.zeros(PRIOR.shape, np.float32), PRIOR)
    with pytest.raises(RegistrationError, match="prior exam shows no skull"):
        register(current.volume, water)
    stretched = moved(PRIOR, np.diag((1.2, 0.85, 1.0)), np.zeros(3))
    other = Volume(make_phantom(PRIOR, subsamples=(1, 1, 1)).volume.hu, stretched)
    with pytest.raises(RegistrationError, match="do not fit"):
        register(current.volume, other)
    base_only = Volume(
        current.volume.hu[:7],
        VolumeGeometry((7, 144, 144), CURRENT.column_step, CURRENT.row_step, CURRENT.slice_origins[:7]),
    )
    with pytest.raises(RegistrationError, match=r"too little of the same skull|do not fit"):
        register(current.volume, base_only)


def write_result(exam: OutlinedExam, folder, name: str) -> None:
    write_nifti(exam.volume.hu, exam.volume.geometry, folder / f"{name}.nii.gz")
    (folder / name).mkdir()
    write_nifti(exam.labelmap, exam.volume.geometry, folder / name / "labelmap.nii.gz")
    labels = [{"key": label.key} for label in exam.labels]
    (folder / name / "result.json").write_text(json.dumps({"labels": labels, "provenance": {}}))


def test_the_verb_compares_two_result_folders_and_writes_the_prior_outline(tmp_path, capsys) -> None:
    upright = head_geometry((26, 112, 112), pixel_mm=(2.0, 2.0))
    for name, volume_ml in (("now", 20.0), ("then", 10.0)):
        write_result(outlined(upright, volume_ml), tmp_path, name)
    words = ["follow-up", *(str(tmp_path / f"{name}.nii.gz") for name in ("now", "then"))]
    words += ["--result", str(tmp_path / "now"), "--prior-result", str(tmp_path / "then")]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    assert "growth by more than a third" in capsys.readouterr().out
    plain = json.loads((tmp_path / "out" / "follow_up.json").read_text())
    assert plain["total"]["change_ml"] == pytest.approx(10.0, abs=1.0)
    outline = read_labelmap(tmp_path / "out" / "prior_labelmap.nii.gz", upright)
    assert set(np.unique(outline)) == {0, 1}
    (tmp_path / "then" / "labelmap.nii.gz").unlink()
    assert main(words) == 1
    assert "holds no labelmap.nii.gz" in capsys.readouterr().err


def test_the_worker_compares_and_leaves_the_prior_outline_in_the_job_folder(tmp_path, current: OutlinedExam) -> None:
    message: dict[str, object] = {}
    for name, exam in (("now", current), ("then", outlined(PRIOR, 18.0))):
        job = tmp_path / name
        job.mkdir()
        np.save(job / VOXEL_FILE, exam.volume.hu)
        np.save(job / "labelmap.npy", exam.labelmap)
        outline = {"labelmap": "labelmap.npy", "labels": [label.key for label in exam.labels]}
        sent = exam_message(job, exam.volume.geometry, exam.volume.source)
        message |= {**sent, "outline": outline} if name == "now" else {"prior": sent, "prior_outline": outline}
    answer = Jobs().follow_up(message, RunContext())
    assert FollowUp.from_json(answer["follow_up"]).total.is_growth
    assert np.load(tmp_path / "now" / answer["prior"]).shape == CURRENT.shape
    with pytest.raises(ValueError, match="none of"):
        Exam.from_message(message).outlined({"labelmap": "labelmap.npy", "labels": ["blood"]})


def test_the_worker_measures_an_exam_with_the_outline_that_it_has_now(tmp_path, current: OutlinedExam) -> None:
    np.save(tmp_path / VOXEL_FILE, current.volume.hu)
    np.save(tmp_path / "labelmap.npy", current.labelmap)
    outline = {"labelmap": "labelmap.npy", "labels": [label.key for label in current.labels]}
    sent = exam_message(tmp_path, current.volume.geometry, current.volume.source)
    answer = Jobs().measure({**sent, "outline": outline}, RunContext())
    assert answer["measures"] == measure_exam(current.volume, current.labelmap, current.labels).to_json()
    assert answer["measures"]["count"] > 0
