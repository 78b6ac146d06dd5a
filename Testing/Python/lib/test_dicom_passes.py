"""Two passes over the head in one series: told if they are alike, refused if they are two scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from head_volumes import gantry_geometry, set_elements, write_head
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.io import read_volume

STEP_MM = 5.0
TOLD = "The series was made in two passes"


def write_scan(folder: Path, steps_mm: float | Sequence[float] = STEP_MM, *, slices: int = 16) -> list[Path]:
    """A thin-slice head without acquisition numbers or times; the files ascend along the normal."""
    files = write_head(folder, gantry_geometry(slices=slices, steps_mm=steps_mm))
    set_elements(files, AcquisitionNumber=None)
    return files


def number(files: Sequence[Path], first: int = 1) -> None:
    """Give the files instance numbers in their order."""
    for n, path in enumerate(files, start=first):
        set_elements([path], InstanceNumber=n)


def passes_warning(folder: Path) -> str:
    return " ".join(sentence for sentence in read_volume(folder).source.warnings if sentence.startswith(TOLD))


def test_two_acquisitions_half_a_step_apart_are_told_with_their_places(tmp_path: Path) -> None:
    files = write_scan(tmp_path)
    set_elements(files[::2], AcquisitionNumber=2)
    set_elements(files[1::2], AcquisitionNumber=3)
    assert passes_warning(tmp_path) == (
        "The series was made in two passes, one between the slices of the other: 8 slices 10.0 mm apart from -37.5 to "
        "32.5 mm (acquisition 2) and 8 slices 10.0 mm apart from -32.5 to 37.5 mm (acquisition 3). They were read as "
        "one scan, which is right if the head did not move between them; if the passes do not fit together, export "
        "one of them as its own series."
    )
    assert read_volume(tmp_path).geometry.shape[0] == 16


def test_passes_are_found_when_every_turn_of_the_tube_has_its_own_number(tmp_path: Path) -> None:
    files = write_scan(tmp_path)
    for acquisition, path in enumerate([*files[::2], *files[1::2]], start=1):
        set_elements([path], AcquisitionNumber=acquisition)
    assert "(pass 1)" in passes_warning(tmp_path)
    assert "(pass 2)" in passes_warning(tmp_path)


def test_passes_are_found_by_instance_numbers_alone(tmp_path: Path) -> None:
    files = write_scan(tmp_path)
    number([*files[::2], *files[1::2]])
    assert passes_warning(tmp_path)


def test_a_table_that_comes_back_makes_two_passes(tmp_path: Path) -> None:
    files = write_scan(tmp_path)
    number([*files[::2], *files[-1::-2]])
    assert passes_warning(tmp_path)


def test_passes_are_found_by_their_times_when_images_are_numbered_by_place(tmp_path: Path) -> None:
    files = write_scan(tmp_path)
    number(files)
    for second, path in enumerate([*files[::2], *files[1::2]]):
        set_elements([path], AcquisitionTime=f"1010{second:02d}")
    assert passes_warning(tmp_path)


@pytest.mark.parametrize("shift_mm", [1.0, 2.5, 4.0])
def test_passes_need_not_be_half_a_step_apart(tmp_path: Path, shift_mm: float) -> None:
    files = write_scan(tmp_path, [shift_mm, STEP_MM - shift_mm] * 10 + [shift_mm], slices=22)
    set_elements(files[::2], AcquisitionNumber=2)
    set_elements(files[1::2], AcquisitionNumber=3)
    assert passes_warning(tmp_path)


@pytest.mark.parametrize(
    ("elements", "others", "told"),
    [
        ({"ConvolutionKernel": "H31s"}, {"ConvolutionKernel": "H60s"}, r"\(kernel H31s\) and .*\(kernel H60s\)"),
        ({"KVP": "120"}, {"KVP": "80"}, r"\(120 kV\) and .*\(80 kV\)"),
        ({"ContrastBolusAgent": "NONE"}, {"ContrastBolusAgent": "Omnipaque"}, r"\(without .*\(with contrast agent\)"),
    ],
    ids=["kernel", "tube voltage", "contrast"],
)
def test_interleaved_scans_of_other_settings_are_refused(
    tmp_path: Path, elements: dict[str, str], others: dict[str, str], told: str
) -> None:
    files = write_scan(tmp_path)
    set_elements(files[::2], **elements)
    set_elements(files[1::2], **others)
    with pytest.raises(VolumeError, match=rf"holds two scans, one between .*{told}.*as its own series"):
        read_volume(tmp_path)


def test_another_kernel_from_the_skull_base_upwards_is_one_scan(tmp_path: Path) -> None:
    files = write_scan(tmp_path)
    set_elements(files[:6], ConvolutionKernel="H40s", KVP="140", AcquisitionNumber=1)
    set_elements(files[6:], ConvolutionKernel="H31s", KVP="120", AcquisitionNumber=2)
    assert read_volume(tmp_path).source.warnings == ()


def test_two_blocks_that_overlap_where_they_meet_are_one_scan(tmp_path: Path) -> None:
    files = write_scan(tmp_path)
    set_elements([*files[:7], files[8]], AcquisitionNumber=1)
    set_elements([files[7], *files[9:]], AcquisitionNumber=2)
    assert read_volume(tmp_path).source.warnings == ()


def test_a_few_repeated_slices_are_no_second_pass(tmp_path: Path) -> None:
    files = write_scan(tmp_path)
    set_elements(files, AcquisitionNumber=1)
    set_elements(files[6:8], AcquisitionNumber=2)
    assert read_volume(tmp_path).source.warnings == ()


def test_images_numbered_without_order_say_nothing_of_passes(tmp_path: Path) -> None:
    files = write_scan(tmp_path)
    number([files[(5 * n) % 16] for n in range(16)])
    assert read_volume(tmp_path).source.warnings == ()


def test_slices_that_do_not_tell_their_kernel_are_no_other_scan(tmp_path: Path) -> None:
    files = write_scan(tmp_path)
    set_elements(files[::2], ConvolutionKernel="")
    assert read_volume(tmp_path).source.warnings == ()


def test_a_head_in_two_blocks_is_one_pass(head_scan: Path) -> None:
    assert read_volume(head_scan).source.warnings == (
        "Unequal slice spacing: steps of 1.08 to 7.00 mm. Positions and volumes take it into account.",
    )
