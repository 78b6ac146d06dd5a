"""What both sides of the pipe must read alike: version, progress, geometry, phases."""

import json

import numpy as np
import pytest

from head_volumes import gantry_geometry
from ICHSegmenterLib.cli.progress import PHASE_TEXTS, stage_text
from ICHSegmenterLib.errors import VolumeError, WorkerError
from ICHSegmenterLib.protocol import (
    PROTOCOL_VERSION,
    Phase,
    Stage,
    check_version,
    exam_message,
    progress_message,
    read_geometry,
    read_progress,
    read_source,
)
from ICHSegmenterLib.volume.reader.reader_warning import SENTENCES, ReaderCode, ReaderWarning
from ICHSegmenterLib.volume.volume import VolumeSource


def sent(message):
    return json.loads(json.dumps(message))


@pytest.mark.parametrize("version", [None, 1, PROTOCOL_VERSION + 1, str(PROTOCOL_VERSION)])
def test_a_worker_of_another_version_is_refused_with_what_to_do(version):
    with pytest.raises(WorkerError, match=f"protocol {version}, this panel {PROTOCOL_VERSION}.*Reinstall"):
        check_version({"type": "hello", "protocol": version})


def test_a_worker_of_this_version_is_accepted():
    check_version({"type": "hello", "protocol": PROTOCOL_VERSION})


def test_every_bit_of_a_tilted_geometry_survives_the_pipe(tmp_path):
    geometry = gantry_geometry(slices=7, size=16)
    back = read_geometry(sent(exam_message(tmp_path, geometry, VolumeSource(format="DICOM")))["geometry"])
    assert back.shape == geometry.shape
    for name in ("column_step", "row_step", "slice_origins"):
        np.testing.assert_array_equal(getattr(back, name), getattr(geometry, name))


WARNINGS = (
    ReaderWarning(ReaderCode.LOSSY),
    ReaderWarning(ReaderCode.MISSING_SLICES, {"count": 2, "gaps": [[10.0, 20.0], [40.0, 50.0]]}),
)


def test_the_origin_of_an_exam_survives_the_pipe(tmp_path):
    source = VolumeSource(format="DICOM", series_uid="1.2.3", kernel="H31s", reader_warnings=WARNINGS)
    message = sent(exam_message(tmp_path, gantry_geometry(slices=7, size=16), source))
    assert read_source(message["source"]) == source
    assert message["job"] == str(tmp_path)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("method", ["", "hu-threshold"])
def test_progress_names_its_phase_for_the_machine_and_each_side_has_a_text(phase, method):
    stage = Stage(phase, method)
    assert read_progress(sent(progress_message("a", 3, 10, stage))) == (3, 10, stage)
    assert stage_text(stage) == (f"HU threshold: {PHASE_TEXTS[phase]}" if method else PHASE_TEXTS[phase])


def test_no_text_for_people_travels():
    message = sent(progress_message("a", 3, 10, Stage(Phase.FINDING_BRAIN, "unet")))
    assert message == {
        "type": "progress",
        "id": "a",
        "done": 3,
        "total": 10,
        "phase": "finding_brain",
        "method": "unet",
    }


@pytest.mark.parametrize("source", [1, "text", ["list"], {"warnings": 3.5}, {"warnings": [1]}])
def test_an_origin_that_makes_no_sense_is_a_wrong_value(source):
    with pytest.raises(ValueError, match="must be"):
        read_source(source)


def test_sizes_without_end_are_an_impossible_geometry():
    steps = {"column_step": [1, 0, 0], "row_step": [0, 1, 0], "slice_origins": [[0, 0, 0]]}
    with pytest.raises(VolumeError, match="impossible"):
        read_geometry({"shape": [float("inf"), 2, 2], **steps})


def test_a_warning_of_an_older_scene_stays_a_sentence():
    source = read_source({"warnings": ["Contrast was {given}."]})
    assert source.warnings == ("Contrast was {given}.",)


@pytest.mark.parametrize(
    "warnings", [3, [3], [{"code": "unheard"}], [{"code": "unequal_steps", "parameters": {}}], [{"parameters": {}}]]
)
def test_what_is_no_warning_of_a_reader_is_refused(warnings):
    with pytest.raises(ValueError, match="[Ww]arning|unheard"):
        read_source({"warnings": warnings})


def test_every_code_of_a_reader_has_a_sentence():
    assert set(SENTENCES) == set(ReaderCode)
