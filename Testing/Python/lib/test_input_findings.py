"""What the check of a scan finds in heads of known content, before any method runs."""

from __future__ import annotations

import json
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from head_volumes import HEAD_SEMIAXES_MM, SKULL_MM, gantry_geometry, head, lps_of_voxels, vessels, write_head
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.preprocessing.brain_mask import brain_mask
from ICHSegmenterLib.preprocessing.checks.brain_slabs import BrainSlabs
from ICHSegmenterLib.preprocessing.checks.contrast_medium import (
    FARTHEST_MM,
    LEAST_TISSUE,
    OFF_WALL_MM,
    TISSUE_HU,
    WEIGHTS,
    above_tissue,
    check_contrast,
    contrast_features,
)
from ICHSegmenterLib.preprocessing.checks.findings import SENTENCES, InputCode, InputFinding, Severity, caps_verdict
from ICHSegmenterLib.preprocessing.checks.texture import Noise, measure_noise
from ICHSegmenterLib.preprocessing.input_check import check_input
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume, VolumeSource
from shared_folder import REPOSITORY, missing_reason, shared_folder

GRID = gantry_geometry(slices=30, size=160, pixel_mm=1.25, steps_mm=5.0)


@pytest.fixture(scope="module", name="good")
def _good() -> Volume:
    return head(GRID)


@pytest.fixture(scope="module", name="inside")
def _inside(good: Volume) -> np.ndarray:
    return brain_mask(good)


def codes(volume: Volume) -> set[InputCode]:
    return {finding.code for finding in check_input(volume)}


def only(volume: Volume, code: InputCode) -> InputFinding:
    (finding,) = (finding for finding in check_input(volume) if finding.code is code)
    return finding


def with_hu(volume: Volume, change: Callable[[np.ndarray], None]) -> Volume:
    hu = volume.hu.copy()
    change(hu)
    return Volume(hu, volume.geometry)


def part(volume: Volume, slices: slice) -> Volume:
    grid = volume.geometry
    origins = grid.slice_origins[slices]
    cut = VolumeGeometry((len(origins), *grid.shape[1:]), grid.column_step, grid.row_step, origins)
    return Volume(volume.hu[slices], cut)


def test_nothing_is_found_in_a_plain_head(good: Volume) -> None:
    assert check_input(good) == ()


def test_every_code_has_a_sentence_and_a_severity() -> None:
    assert set(SENTENCES) == set(InputCode)
    for code, sentence in SENTENCES.items():
        names = [name for _, name, _, _ in string.Formatter().parse(sentence) if name]
        finding = InputFinding(code, {name: "BONE" if name == "kernel" else 2.0 for name in names})
        assert finding.text.endswith(".") and finding.severity in Severity


def test_a_finding_comes_back_from_json() -> None:
    finding = InputFinding(InputCode.MOTION, {"shift_mm": 1.23456789, "slices": 3, "total": 20})
    plain = json.loads(json.dumps(finding.to_json()))
    assert plain["severity"] == "warning" and plain["text"] == finding.text
    assert InputFinding.from_json(plain) == InputFinding(
        InputCode.MOTION, {"shift_mm": 1.2346, "slices": 3, "total": 20}
    )


def grained(grid: VolumeGeometry, sd_hu: float, sigma_mm: float) -> Volume:
    """The small head with Gaussian noise of known SD and grain in place of its own."""
    volume = head(grid)
    random = np.random.default_rng(4)
    noise = np.stack([random.normal(0, 1, grid.shape[1:]) for _ in range(grid.shape[0])])
    noise = np.stack([ndimage.gaussian_filter(one, sigma_mm / grid.pixel_spacing_mm[0]) for one in noise])
    noise *= sd_hu / noise.std()
    inner = ((lps_of_voxels(grid) / (HEAD_SEMIAXES_MM - SKULL_MM)) ** 2).sum(axis=-1) < 1
    return Volume(np.where(inner, 30 + noise, volume.hu).astype(np.float32), grid)


@pytest.mark.parametrize("sd_hu", [4.0, 12.0, 30.0])
def test_noise_is_measured_by_sd_and_grain(sd_hu: float) -> None:
    sigma_mm = 0.8
    grid = gantry_geometry(slices=30, size=256, pixel_mm=0.8, steps_mm=5.0)
    volume = grained(grid, sd_hu, sigma_mm)
    noise = measure_noise(volume, brain_mask(volume), slices=None)
    # Noise of this grain minus its own mean over a Gaussian of 3 mm, in closed form.
    square = sigma_mm**2
    shared, mean = square / (square + 9 / 2), square / (square + 9)
    remaining = 1 - 2 * shared + mean
    assert noise.sd_hu == pytest.approx(sd_hu * np.sqrt(remaining), rel=0.03)

    def correlation(d: float) -> float:
        own, other = np.exp(-(d**2) / (4 * square)), np.exp(-(d**2) / (2 * (2 * square + 9)))
        return float((own - 2 * shared * other + mean * np.exp(-(d**2) / (2 * (2 * square + 18)))) / remaining)

    distances = np.linspace(0.5, 3.0, 251)
    length_mm = distances[np.argmax([correlation(d) < np.exp(-1) for d in distances])]
    assert noise.length_mm == pytest.approx(length_mm, rel=0.08)  # read between pixels of 0.8 mm
    assert abs(noise.next_slice) < 0.05


def test_noise_that_neighbors_share_is_seen(good: Volume, inside: np.ndarray) -> None:
    random = np.random.default_rng(1)
    grain = random.normal(0, 8, (GRID.shape[0] + 1, *GRID.shape[1:]))
    shared = (grain[1:] + grain[:-1]) / np.sqrt(2)
    volume = Volume(np.where(inside, 30 + shared, good.hu).astype(np.float32), GRID)
    assert measure_noise(volume, inside, slices=None).next_slice == pytest.approx(0.5, abs=0.05)


def test_without_brain_the_noise_is_unknown(good: Volume) -> None:
    assert not measure_noise(good, np.zeros(GRID.shape, dtype=bool)).is_known


def test_contrast_medium_in_vessels_is_recognized(good: Volume) -> None:
    finding = only(with_hu(good, lambda hu: vessels(hu, GRID, 190.0)), InputCode.CONTRAST_MEDIUM)
    assert finding.severity is Severity.WARNING
    assert 80 < float(finding.parameters["mean_hu"]) < 190
    assert caps_verdict([finding]) == ("contrast_medium",)


def test_vessels_of_plain_blood_are_not_taken_for_contrast_medium(good: Volume) -> None:
    assert InputCode.CONTRAST_MEDIUM not in codes(with_hu(good, lambda hu: vessels(hu, GRID, 62.0)))


def ball(hu: np.ndarray, center_mm: tuple[float, float, float], radius_mm: float, value: float) -> None:
    hu[np.linalg.norm(lps_of_voxels(GRID) - np.array(center_mm), axis=-1) < radius_mm] = value


def test_dense_blood_is_not_taken_for_contrast_medium(good: Volume) -> None:
    volume = with_hu(good, lambda hu: ball(hu, (20.0, 0.0, 5.0), 28.0, 88.0))
    assert InputCode.CONTRAST_MEDIUM not in codes(volume)


def test_calcified_plexus_and_pineal_gland_are_not_taken_for_contrast_medium(good: Volume) -> None:
    def calcify(hu: np.ndarray) -> None:
        for x in (-22.0, 0.0, 22.0):
            ball(hu, (x, 10.0, 0.0), 4.0, 300.0 if x else 700.0)

    assert InputCode.CONTRAST_MEDIUM not in codes(with_hu(good, calcify))


def test_spots_are_compared_with_soft_tissue_as_far_from_bone() -> None:
    random = np.random.default_rng(0)
    hu = random.uniform(-10, 140, (4, 40, 40)).astype(np.float32)
    inside, distance = random.random(hu.shape) > 0.2, random.uniform(0, 20, hu.shape)
    distance[3] = 30.0  # no soft tissue of other rings beside its slice 2 from above
    nowhere = np.zeros(hu.shape)
    brain = BrainSlabs(inside, hu, hu, distance, nowhere, nowhere, np.zeros(4, dtype=bool), 1.0, 5.0)
    expected = np.full(hu.shape, np.nan, dtype=np.float32)
    ring, is_soft = np.minimum(distance.astype(int), FARTHEST_MM), inside & (hu > 0) & (hu < 90)
    for k, j, i in np.argwhere(inside & (distance > OFF_WALL_MM)):
        beside = slice(max(0, k - 1), k + 2)
        tissue = hu[beside][is_soft[beside] & (ring[beside] == ring[k, j, i])]
        level = float(np.median(tissue)) if len(tissue) > LEAST_TISSUE else TISSUE_HU
        expected[k, j, i] = hu[k, j, i] - np.float32(level)
    assert np.isfinite(expected).any()
    assert np.array_equal(above_tissue(brain, hu), expected, equal_nan=True)


def test_only_noise_counts_against_vessels() -> None:
    assert len(WEIGHTS) == 7
    assert all(weight >= 0 for number, weight in enumerate(WEIGHTS) if number not in (3, 4))
    assert WEIGHTS[3] <= 0 and WEIGHTS[4] <= 0


def features_of(volume: Volume) -> tuple[float, ...]:
    brain = BrainSlabs.of(volume, brain_mask(volume))
    assert brain is not None
    return contrast_features(brain, 5.0)


def test_vessels_are_on_both_sides_and_what_is_on_one_is_none(good: Volume) -> None:
    both = features_of(with_hu(good, lambda hu: vessels(hu, GRID, 190.0)))

    def one_side(hu: np.ndarray) -> None:
        left, plain = lps_of_voxels(GRID)[..., 0] > 4, hu.copy()
        vessels(hu, GRID, 190.0)
        hu[~left] = plain[~left]

    one = features_of(with_hu(good, one_side))
    assert both[0] > 0.8 and both[1] > 0.8
    assert one[0] < 0.2 and one[1] < 0.2
    assert 0.25 * np.expm1(both[2]) < np.expm1(one[2]) < 0.5 * np.expm1(both[2])


def test_a_turned_and_a_flipped_head_has_the_same_vessels(good: Volume) -> None:
    volume = with_hu(good, lambda hu: vessels(hu, GRID, 190.0))
    for axes, flips in (((0, 2, 1), (False, True, False)), ((0, 1, 2), (True, True, True))):
        view = AxialView(axes, flips)
        turned = Volume(np.ascontiguousarray(view.apply(volume.hu)), view.geometry(volume.geometry))
        assert features_of(turned) == pytest.approx(features_of(volume), abs=1e-6)


def test_the_middle_of_a_turned_head_is_its_long_axis() -> None:
    points, turn = lps_of_voxels(GRID), np.radians(20.0)
    behind = points[..., 1] * np.cos(turn) + points[..., 0] * np.sin(turn)
    across = points[..., 0] * np.cos(turn) - points[..., 1] * np.sin(turn)
    mask = (behind / 80.0) ** 2 + (across / 60.0) ** 2 < 1
    slabs = BrainSlabs.of(Volume(np.where(mask, 32.0, 900.0).astype(np.float32), GRID), mask)
    assert slabs is not None
    assert slabs.across_mm[slabs.inside] == pytest.approx(across[mask], abs=0.5)
    assert slabs.behind_mm[slabs.inside] == pytest.approx(behind[mask], abs=0.5)


@pytest.mark.parametrize("side", [0, 1, 5])
def test_hardly_any_brain_shows_no_vessels(good: Volume, side: int) -> None:
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[10:13, 80 : 80 + side, 80 : 80 + side] = True
    assert BrainSlabs.of(good, mask) is None
    assert check_contrast(good, mask, 5.0) is None


def test_slabs_with_metal_and_those_beside_them_show_no_spots(good: Volume) -> None:
    plain = with_hu(good, lambda hu: vessels(hu, GRID, 190.0))
    metal = with_hu(plain, lambda hu: hu.__setitem__((15, 80, 80), 3000.0))
    slabs = np.count_nonzero(brain_mask(plain).any(axis=(1, 2)))  # of 5 mm: each slice is one
    for number in (0, 1):
        assert features_of(plain)[number] - features_of(metal)[number] == pytest.approx(3 / slabs)


def test_thin_slices_are_put_together_and_thick_ones_are_not(good: Volume) -> None:
    thin = head(gantry_geometry(slices=60, size=160, pixel_mm=1.25, steps_mm=1.25))
    slabs = BrainSlabs.of(thin, brain_mask(thin))
    assert slabs is not None and slabs.step_mm == pytest.approx(3.75)
    assert BrainSlabs.of(good, brain_mask(good)).step_mm == pytest.approx(5.0)
    assert len(slabs.fine) == -(-np.count_nonzero(brain_mask(thin).any(axis=(1, 2))) // 3)


def test_the_header_s_contrast_agent_is_said_and_leaves_no_confident_verdict(good: Volume) -> None:
    findings = check_input(Volume(good.hu, good.geometry, VolumeSource(has_contrast_agent=True)))
    assert caps_verdict(findings) == ("contrast_in_header",)


def test_metal_is_found(good: Volume) -> None:
    finding = only(with_hu(good, lambda hu: ball(hu, (10.0, -20.0, 0.0), 5.0, 3071.0)), InputCode.METAL)
    assert finding.parameters["highest_hu"] == 3071.0
    voxel_ml = 1.25**2 * 5.0 / 1000
    expected = 4 / 3 * np.pi * 5.0**3 / 1000
    assert finding.parameters["volume_ml"] == pytest.approx(expected, abs=12 * voxel_ml)  # two or three discs of voxels


def test_a_head_that_moved_between_slices_is_found(good: Volume) -> None:
    def shake(hu: np.ndarray) -> None:
        for k, shift in enumerate(np.random.default_rng(2).integers(-2, 3, len(hu))):
            hu[k] = np.roll(hu[k], int(shift), axis=1)

    finding = only(with_hu(good, shake), InputCode.MOTION)
    # Shifts of -2 to 2 pixels have an SD of 1.41 pixels of 1.25 mm; from 18 slices it is known to about a third.
    assert 0.8 < float(finding.parameters["shift_mm"]) < 3.0


def test_a_head_seen_twice_is_found(good: Volume) -> None:
    def double(hu: np.ndarray) -> None:
        for k in range(8, 22, 3):
            hu[k] = 0.8 * hu[k] + 0.2 * np.roll(hu[k], 5, axis=0)

    assert int(only(with_hu(good, double), InputCode.MOTION).parameters["slices"]) >= 4


def test_a_head_whose_skin_slants_through_thick_slices_is_not_seen_twice() -> None:
    sample = read_volume(REPOSITORY / "Resources" / "SampleData" / "PhantomHeadCT.nrrd")
    assert check_input(sample) == ()


def test_a_tilted_still_head_did_not_move() -> None:
    tilted = gantry_geometry(slices=30, size=160, pixel_mm=1.25, steps_mm=5.0, tilt_deg=18.0)
    assert InputCode.MOTION not in codes(head(tilted))


def test_a_missing_vertex_and_a_missing_skull_base_are_told_apart(good: Volume) -> None:
    assert codes(part(good, slice(0, 20))) & {InputCode.NO_VERTEX, InputCode.NO_SKULL_BASE} == {InputCode.NO_VERTEX}
    assert codes(part(good, slice(10, 30))) & {InputCode.NO_VERTEX, InputCode.NO_SKULL_BASE} == {
        InputCode.NO_SKULL_BASE
    }


def test_the_ends_are_known_by_position_not_by_order(good: Volume) -> None:
    assert InputCode.NO_VERTEX in codes(part(good, slice(19, None, -1)))


def test_a_child_s_head_is_said_to_be_one(good: Volume) -> None:
    grid = good.geometry
    small = VolumeGeometry(grid.shape, grid.column_step * 0.8, grid.row_step * 0.8, grid.slice_origins * 0.8)
    finding = only(Volume(good.hu, small), InputCode.CHILD)
    inner_ml = 4 / 3 * np.pi * np.prod((HEAD_SEMIAXES_MM - SKULL_MM) * 0.8) / 1000
    assert finding.parameters["volume_ml"] == pytest.approx(inner_ml, rel=0.08)
    assert finding.parameters["skull_mm"] == pytest.approx(0.8 * SKULL_MM, abs=1.0)  # a pixel


def test_values_that_are_no_numbers_are_counted_and_do_not_stop_the_check(good: Volume) -> None:
    def damage(hu: np.ndarray) -> None:
        hu[15, 80, 80:90] = np.nan
        hu[15, 81, 80] = np.inf

    assert only(with_hu(good, damage), InputCode.NOT_FINITE).parameters == {"voxels": 11}


def test_air_inside_the_skull_is_measured(good: Volume) -> None:
    finding = only(with_hu(good, lambda hu: ball(hu, (0.0, 0.0, 0.0), 12.0, -1000.0)), InputCode.AIR_INSIDE)
    assert finding.parameters["volume_ml"] == pytest.approx(4 / 3 * np.pi * 1.2**3, rel=0.15)


def test_padding_is_counted(good: Volume) -> None:
    def pad(hu: np.ndarray) -> None:
        hu[:, :16] = -2000.0

    finding = only(with_hu(good, pad), InputCode.PADDING)
    assert finding.severity is Severity.INFO and finding.parameters["share"] == pytest.approx(0.1)


def test_what_is_no_head_blocks_and_is_all_that_is_said(good: Volume) -> None:
    (finding,) = check_input(with_hu(good, lambda hu: np.clip(hu, 0, 255, out=hu)))
    assert finding.code is InputCode.WINDOWED and finding.severity is Severity.BLOCKS


def test_a_head_without_skull_blocks_because_no_brain_is_found(good: Volume) -> None:
    volume = with_hu(good, lambda hu: hu.__setitem__(hu > 300, 40.0))
    assert {InputCode.NO_BONE, InputCode.NO_BRAIN} <= codes(volume)


@pytest.mark.parametrize("name", ["data/ge_head_ct", "data/invesalius_cranium/cranium.nii.gz"])
def test_real_plain_heads_have_no_contrast_metal_or_motion(name: str) -> None:
    path = shared_folder() / name
    if not path.exists():
        pytest.skip(missing_reason(name))
    assert check_input(read_volume(path)) == ()


def test_the_verb_says_what_was_found_and_fails_for_what_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_head(tmp_path / "head", GRID)
    assert main(["check", str(tmp_path / "head"), "--json"]) == 0
    (check,) = json.loads(capsys.readouterr().out)
    assert check["severity"] == "info" and check["findings"] == []
    assert main(["check", str(tmp_path / "head"), str(tmp_path / "absent")]) == 1
    table = capsys.readouterr().out
    assert "30 slices of 160 x 160, 1.25 x 1.25 x 5.00 mm" in table and "no such file or folder" in table
    assert main(["check"]) == 2


def test_the_verb_tells_codes_of_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_head(tmp_path, gantry_geometry(slices=9, size=160, pixel_mm=1.25, steps_mm=14.0))
    assert main(["check", str(tmp_path)]) == 0
    assert "warning  thick_slices" in capsys.readouterr().out


def test_pixels_that_no_scanner_makes_are_said(tmp_path: Path) -> None:
    for size, pixel_mm, codes in ((160, 1.25, []), (112, 1.8, [InputCode.COARSE_PIXELS])):
        folder = tmp_path / str(size)
        write_head(folder, gantry_geometry(slices=30, size=size, pixel_mm=pixel_mm, steps_mm=5.0))
        findings = check_input(read_volume(folder))
        assert [finding.code for finding in findings if finding.code is InputCode.COARSE_PIXELS] == codes
    assert "1.80 mm" in findings[0].text


def test_the_worker_s_check_needs_no_torch() -> None:
    program = (
        "import sys; from ICHSegmenterLib.worker.jobs import Jobs; Jobs().handlers(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_unknown_noise_is_not_known() -> None:
    assert not Noise(float("nan"), 1.0, 0.0, 0.0).is_known
