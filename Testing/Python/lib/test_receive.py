"""The storage receiver: from named peers only, within limits, nothing of a patient shown, deleted after its time."""

import logging
import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

pynetdicom = pytest.importorskip("pynetdicom")

from batch_inputs import analyze, small_head, summary
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import DependencyError, ReceiverConfigError, ReceiverError
from ICHSegmenterLib.receive import guard, outbox
from ICHSegmenterLib.receive.config import Destination, IntakeLimits, Peer, ReceiverConfig, read_config
from ICHSegmenterLib.receive.inbox import FullError, Inbox
from ICHSegmenterLib.receive.outbox import Outbox
from ICHSegmenterLib.receive.server import Server, study_uid_of
from ICHSegmenterLib.receive.service import Receiver
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series

pytestmark = pytest.mark.usefixtures("impatient")

REPOSITORY = Path(__file__).resolve().parents[3]
NAME = "SMITH^JOHN"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
needs_dcmtk = pytest.mark.skipif(
    not (shutil.which("storescu") and shutil.which("storescp")), reason="needs DCMTK (storescu, storescp)"
)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """A series of a named patient."""
    files = write_dicom_series(small_head(), tmp_path_factory.mktemp("sent"), seed=1)
    for path in files:
        item = pydicom.dcmread(path)
        item.PatientName, item.PatientID = NAME, "HOSPITAL-4711"
        item.save_as(path)
    return files


@pytest.fixture
def config(tmp_path):
    return ReceiverConfig(
        folder=tmp_path / "received",
        output=tmp_path / "results",
        peers=(Peer("PACS", "127.0.0.1"),),
        port=0,
        complete_after_s=0.2,
    )


@contextmanager
def running(config, **options):
    """A receiver in a thread; yields its port and what it counted, filled at the end."""
    stop, listens, port, counts = threading.Event(), threading.Event(), [], {}
    request = AnalysisRequest("hu-threshold", outputs=config.outputs)

    def listening(number):
        port.append(number)
        listens.set()

    receiver = Receiver(config, analyze, request, listening=listening, **options)

    def serve():
        try:
            counts.update(receiver.run(stop))
        finally:
            listens.set()

    thread = threading.Thread(target=serve)
    thread.start()
    listens.wait(60)
    try:
        yield port[0], counts
    finally:
        stop.set()
        thread.join(60)


def send(files, port, *, calling="PACS", called="ICHSEGMENTER"):
    """Statuses of the objects, or None if there was no association."""
    entity = pynetdicom.AE(ae_title=calling)
    for path in files[:1]:
        item = pydicom.dcmread(path, stop_before_pixels=True)
        entity.add_requested_context(item.SOPClassUID, item.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    if not association.is_established:
        return None
    statuses = [association.send_c_store(path).get("Status") for path in files]
    if association.is_established:
        association.release()
    return statuses


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


def results_in(config):
    return sorted(config.output.glob("*/result.json"))


def test_a_study_that_comes_is_analyzed_as_by_a_batch(series, config):
    with running(config) as (port, counts):
        assert send(series, port) == [0] * 16
        until(lambda: results_in(config))
    (row,) = summary(config.output).values()
    assert (row["status"], row["slices"], counts["done"]) == ("done", "16", 1)
    assert (results_in(config)[0].parent / "segmentation.seg.nrrd").is_file()


def test_another_start_does_not_analyze_a_study_again(series, config):
    with running(config) as (port, counts):
        send(series, port)
        until(lambda: results_in(config))
    with running(config) as (port, counts):
        send(series, port)  # a PACS that sends once more
        time.sleep(1.5)
    assert counts == {"done": 0, "failed": 0}
    assert [row["status"] for row in summary(config.output).values()] == ["skipped"]


def test_a_study_that_was_received_before_a_stop_is_analyzed_after_it(series, config):
    inbox = Inbox(config.folder, config.limits)
    for path in series:
        inbox.store("1.2.3", path.name, path.read_bytes())
    with running(config) as (_, counts):
        until(lambda: results_in(config))
    assert counts["done"] == 1


def test_nothing_of_a_patient_is_in_a_path_a_log_or_a_result(series, config, caplog, capfd):
    with caplog.at_level(logging.DEBUG), running(config) as (port, _):
        send(series, port)
        until(lambda: results_in(config))
    written = [path for path in config.output.rglob("*") if path.is_file()]
    shown = [*map(str, config.folder.rglob("*")), *map(str, written), caplog.text, *capfd.readouterr()]
    shown += [path.read_bytes().decode("latin-1") for path in written]
    uid = pydicom.dcmread(series[0]).StudyInstanceUID
    for text in shown:
        assert "SMITH" not in text
        assert "4711" not in text
    assert not any(uid in text for text in map(str, config.folder.rglob("*")))
    assert uid not in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="other rights elsewhere")
def test_received_images_are_for_their_owner_only(series, config):
    old = os.umask(0)
    try:
        inbox = Inbox(config.folder, config.limits)
        inbox.store("1.2.3", "1", series[0].read_bytes())
        inbox.release(0.0)
        inbox.store("1.2.3", "2", series[0].read_bytes())
        Outbox(config.folder / "outbox", (Destination("A", "127.0.0.1", 1),), "X")
    finally:
        os.umask(old)
    assert {stat.S_IMODE(path.stat().st_mode) for path in [config.folder, *config.folder.rglob("*")]} == {0o700, 0o600}
    assert len(list(config.folder.rglob("*.dcm"))) == 2


@pytest.mark.parametrize("call", [{"calling": "STRANGER"}, {"called": "OTHER"}])
def test_strangers_and_wrong_calls_are_refused(call, series, config):
    server = Server(config, Inbox(config.folder, config.limits))
    try:
        assert send(series[:1], server.port, **call) is None
        assert send(series[:1], server.port) == [0]
    finally:
        server.close()


def test_a_named_peer_at_another_address_is_refused(series, config):
    config = replace(config, peers=(Peer("PACS", "127.0.0.2"), Peer("OTHER")))
    server = Server(config, Inbox(config.folder, config.limits))
    try:
        assert send(series[:1], server.port) == [0x0124]
        assert send(series[:1], server.port, calling="OTHER") == [0]
    finally:
        server.close()
    server = Server(replace(config, peers=config.peers[:1]), Inbox(config.folder, config.limits))
    try:
        assert send(series[:1], server.port) is None
    finally:
        server.close()


def test_what_is_no_ct_image_is_not_taken(series, config, tmp_path):
    item = pydicom.dcmread(series[0])
    item.SOPClassUID = item.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    item.save_as(tmp_path / "mr.dcm")
    server = Server(config, Inbox(config.folder, config.limits))
    try:
        assert send([tmp_path / "mr.dcm"], server.port) is None
    finally:
        server.close()


@pytest.mark.parametrize(
    ("limits", "taken"),
    [(IntakeLimits(study_instances=3), 3), (IntakeLimits(study_mb=0.1), None), (IntakeLimits(folder_gb=1e-4), None)],
)
def test_more_than_the_limits_is_refused_and_the_rest_is_kept(limits, taken, series, config):
    inbox = Inbox(config.folder, limits)
    server = Server(replace(config, limits=limits), inbox)
    try:
        statuses = send(series, server.port)
    finally:
        server.close()
    kept = sum(status == 0 for status in statuses)
    size = series[0].stat().st_size
    assert kept == (taken or int(0.1e6 // size))
    assert set(statuses[kept:]) == {0xA700}
    assert len(list(config.folder.rglob("*.dcm"))) == kept


def test_an_object_that_is_too_large_is_cut_off_and_the_port_stays_open(series, config, tmp_path, monkeypatch):
    monkeypatch.setattr("ICHSegmenterLib.receive.server._COMMAND_BYTES", 20_000)
    config = replace(config, limits=IntakeLimits(object_mb=0.1))
    item = pydicom.dcmread(series[0])
    item.Rows, item.Columns, item.PixelData = 2048, 2048, bytes(2 * 2048 * 2048)
    item.save_as(tmp_path / "large.dcm")
    server = Server(config, Inbox(config.folder, config.limits))
    try:
        assert send([tmp_path / "large.dcm"], server.port) != [0]
        assert send(series, server.port) == [0] * 16
    finally:
        server.close()
    assert len(list(config.folder.rglob("*.dcm"))) == 16


def test_a_study_uid_is_read_without_what_lies_behind_it(series):
    content = series[0].read_bytes()
    assert study_uid_of(content) == pydicom.dcmread(series[0]).StudyInstanceUID
    at = content.index(b"\x20\x00\x0d\x00")
    assert study_uid_of(content[: at + 80] + b"\xff" * 50) == study_uid_of(content)
    for damaged in (b"", content[:200], content[:at], b"\0" * 500):
        with pytest.raises(Exception):  # noqa: B017, PT011 (the server takes any for "cannot understand")
            study_uid_of(damaged)


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\n\r\n", struct.pack(">BBL", 1, 0, 0xFFFFFFFF), struct.pack(">BBL", 4, 0, 1 << 21), bytes(4000)],
    ids=["another protocol", "4 GB announced", "2 MB announced", "zeros"],
)
def test_a_connection_that_sends_nonsense_is_closed_and_the_port_stays_open(sent, series, config, monkeypatch):
    monkeypatch.setattr("ICHSegmenterLib.receive.server.GREETING_S", 0.5)
    monkeypatch.setattr(guard, "PDU_S", 2.0)
    server = Server(config, Inbox(config.folder, config.limits))
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(sent)
            while connection.recv(1 << 16):  # an abort, then the end
                pass
        assert send(series[:1], server.port) == [0]
    except ConnectionError:  # the end came at once
        assert send(series[:1], server.port) == [0]
    finally:
        server.close()


def drip(connection):
    """How many single bytes a connection takes before it is closed, 200 at most."""
    for count in range(200):
        try:
            connection.sendall(b"y")
        except ConnectionError:
            return count
        time.sleep(0.1)
    return 200


def test_a_peer_that_is_too_slow_is_cut_off(config, monkeypatch):
    monkeypatch.setattr(guard, "PDU_S", 0.5)
    server = Server(config, Inbox(config.folder, config.limits))
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(struct.pack(">BBL", 1, 0, 500) + b"x")
            assert drip(connection) < 200
    finally:
        server.close()


def test_only_so_many_connections_are_held(config):
    config = replace(config, limits=IntakeLimits(associations=1))
    server = Server(config, Inbox(config.folder, config.limits))
    connections = []
    try:
        for _ in range(1 + guard.SPARE_CONNECTIONS + 3):
            connections.append(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            time.sleep(0.1)
        connections[-1].settimeout(20)
        assert connections[-1].recv(10) == b""
        assert len(server._server.active_associations) <= 1 + guard.SPARE_CONNECTIONS
    finally:
        for connection in connections:
            connection.close()
        server.close()


def test_a_port_that_is_taken_is_a_typed_error(config):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ReceiverError, match="Choose another port"):
            Server(replace(config, port=taken.getsockname()[1]), Inbox(config.folder, config.limits))


def test_a_study_is_complete_when_nothing_came_for_a_while(series, config):
    inbox = Inbox(config.folder, config.limits)
    inbox.store("1.2.3", "1", series[0].read_bytes())
    assert inbox.release(60.0) == 0
    assert inbox.release(0.0) == 1
    (ready,) = inbox.ready.iterdir()
    inbox.store("1.2.3", "2", series[1].read_bytes())  # a straggler
    assert len(list(ready.iterdir())) == 1
    inbox.release(0.0)
    assert len(list(ready.iterdir())) == 2
    assert list(inbox.incoming.iterdir()) == []


def test_what_a_kill_left_half_written_is_removed_and_the_rest_counts(series, config):
    inbox = Inbox(config.folder, config.limits)
    inbox.store("1.2.3", "1", series[0].read_bytes())
    (study,) = inbox.incoming.iterdir()
    (study / ".writing-x.dcm").write_bytes(b"half")
    again = Inbox(config.folder, IntakeLimits(study_instances=1))
    assert [path.suffix for path in study.iterdir()] == [".dcm"]
    assert not (study / ".writing-x.dcm").exists()
    with pytest.raises(FullError, match="study_instances"):
        again.store("1.2.3", "2", series[1].read_bytes())


def test_images_are_deleted_after_their_time_and_results_stay(series, config):
    config = replace(config, retention_hours=1e-9)
    with running(config) as (port, _):
        send(series, port)
        until(lambda: results_in(config))
        until(lambda: not list(config.folder.rglob("*.dcm")))
    assert len(results_in(config)) == 1
    assert [row["status"] for row in summary(config.output).values()] == ["done"]


def test_a_study_within_its_time_is_kept(series, config):
    inbox = Inbox(config.folder, config.limits)
    inbox.store("1.2.3", "1", series[0].read_bytes())
    inbox.release(0.0)
    assert inbox.expire(3600, inbox.ready_studies()) == 0
    assert inbox.expire(-1, set()) == 0
    assert inbox.expire(-1, inbox.ready_studies()) == 1
    assert list(inbox.ready.iterdir()) == []


SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"


class Archive:
    """A storage service of tests that keeps what it gets."""

    def __init__(self, *, takes_reports=True):
        self.objects, self.status = [], 0
        entity = pynetdicom.AE(ae_title="ARCHIVE")
        for kind in (SEGMENTATION, COMPREHENSIVE_SR, CT_IMAGE)[: None if takes_reports else 1]:
            entity.add_supported_context(kind)
        handlers = [(pynetdicom.evt.EVT_C_STORE, self._take)]
        self._server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port = self._server.server_address[1]

    def _take(self, event):
        self.objects.append(event.dataset)
        return self.status

    def close(self):
        self._server.shutdown()


@pytest.fixture
def archive():
    service = Archive()
    yield service
    service.close()


def test_nothing_is_sent_unless_the_configuration_names_whom(series, config, archive, monkeypatch):
    monkeypatch.setattr(outbox, "send", None)
    with running(config) as (port, _):
        send(series, port)
        until(lambda: results_in(config))
    assert archive.objects == []
    assert not list((config.folder / "outbox").iterdir())


def test_segmentation_and_structured_report_go_back_to_the_archive(series, config, archive):
    pytest.importorskip("highdicom")
    destination = Destination("ARCHIVE", "127.0.0.1", archive.port, ("dicom_seg", "dicom_sr"))
    with running(replace(config, send_to=(destination,))) as (port, _):
        send(series, port)
        until(lambda: len(archive.objects) == 2)
        until(lambda: not list((config.folder / "outbox").glob("*/*")))
    source = pydicom.dcmread(series[0])
    assert sorted(result.Modality for result in archive.objects) == ["SEG", "SR"]
    assert {result.StudyInstanceUID for result in archive.objects} == {source.StudyInstanceUID}
    assert {result.PatientID for result in archive.objects} == {"HOSPITAL-4711"}


def test_an_object_that_an_archive_never_takes_holds_up_no_other(series, tmp_path, monkeypatch):
    monkeypatch.setattr(outbox, "RETRY_S", 0.0)
    monkeypatch.setattr(outbox, "MAX_AT_ONCE", 1)
    archive = Archive(takes_reports=False)
    kept = Outbox(tmp_path / "outbox", (Destination("ARCHIVE", "127.0.0.1", archive.port),), "X")
    for number, kind in enumerate((COMPREHENSIVE_SR, SEGMENTATION)):
        item = pydicom.dcmread(series[0])
        item.SOPClassUID = item.file_meta.MediaStorageSOPClassUID = kind
        (tmp_path / str(number)).mkdir()
        item.save_as(tmp_path / str(number) / "segmentation.dcm")
        kept.put(tmp_path / str(number))
    try:
        assert sum(kept.flush() for _ in range(2)) == 1
    finally:
        archive.close()
    assert [one.SOPClassUID for one in archive.objects] == [SEGMENTATION]


def test_a_result_waits_for_an_archive_that_does_not_answer(series, tmp_path, archive, monkeypatch):
    monkeypatch.setattr(outbox, "RETRY_S", 0.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    results = tmp_path / "exam"
    results.mkdir()
    shutil.copy(series[0], results / "segmentation.dcm")
    away = Outbox(tmp_path / "outbox", (Destination("ARCHIVE", "127.0.0.1", port),), "X")
    assert away.put(results) == 1
    assert away.flush() == 0
    assert len(list((tmp_path / "outbox").glob("*/*.dcm"))) == 1
    again = Outbox(tmp_path / "outbox", (Destination("ARCHIVE", "127.0.0.1", archive.port),), "X")
    assert again.put(results) == 1
    assert again.flush() == 1
    archive.status = 0xA700
    again.put(results)
    assert again.flush() == 0
    assert again.expire(3600) == 0
    assert again.expire(-1) == 2


def write_config(path, **changes):
    lines = {
        "folder": '"received"',
        "output": '"results"',
        "peers": '[{ae_title = "PACS", host = "127.0.0.1"}]',
        **changes,
    }
    path.write_text("".join(f"{key} = {value}\n" for key, value in lines.items() if value is not None))
    return path


def test_a_configuration_is_read_with_its_defaults(tmp_path):
    config = read_config(write_config(tmp_path / "receive.toml", send_to='[{ae_title="A", host="b", port=104}]'))
    assert (config.host, config.port, config.ae_title) == ("127.0.0.1", 11112, "ICHSEGMENTER")
    assert config.folder == tmp_path / "received"
    assert config.peers == (Peer("PACS", "127.0.0.1"),)
    assert config.send_to[0].outputs == ("dicom_seg",)
    assert "dicom_seg" in config.outputs
    assert "dicom_seg" not in read_config(write_config(tmp_path / "receive.toml")).outputs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folder": None}, "folder must be given"),
        ({"prot": "1"}, "unknown key 'prot'.*Did you mean 'port'"),
        ({"port": '"104"'}, "receiver.port: expected int"),
        ({"port": "70000"}, "70000 is no port"),
        ({"peers": "[]"}, "No peer may send"),
        ({"peers": '[{ae_title = "A\\\\B"}]'}, "is no AE title"),
        ({"ae_title": '"MORE THAN SIXTEEN"'}, "is no AE title"),
        ({"folder": '"results/received"'}, "must lie outside of output"),
        ({"limits": "{object_mb = 0}"}, "object_mb must be above 0"),
        ({"retention_hours": "inf"}, "retention_hours must be above 0"),
        ({"retention_hours": "-1"}, "retention_hours must be above 0"),
        ({"analysis": '{outputs = ["segg"]}'}, "there is no output 'segg'"),
        ({"send_to": '[{ae_title="A", host="b", port=1, outputs=["csv"]}]'}, "'csv' cannot be sent"),
        ({"send_to": '[{ae_title="A", host="b", port=1, outputs=["identity"]}]'}, "Choose of dicom_seg, dicom_sr"),
        ({"output": "["}, "no valid TOML"),
    ],
)
def test_a_wrong_configuration_says_what_to_do(changes, message, tmp_path, capsys):
    path = write_config(tmp_path / "receive.toml", **changes)
    with pytest.raises(ReceiverConfigError, match=message):
        read_config(path)
    assert main(["receive", "--config", str(path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_without_the_package_the_command_says_how_to_get_it(config, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "pynetdicom", None)
    with pytest.raises(DependencyError, match=r"pip install 'ichsegmenter\[receive\]'"):
        Server(config, Inbox(config.folder, config.limits))
    path = write_config(tmp_path / "receive.toml", analysis='{method = "hu-threshold"}')
    assert main(["receive", "--config", str(path)]) == 1
    assert "pynetdicom" in capsys.readouterr().err


@needs_dcmtk
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_dcmtk_sends_a_study_to_the_command_and_gets_the_segmentation(series, tmp_path):
    pytest.importorskip("highdicom")
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    (tmp_path / "archive").mkdir()
    write_config(
        tmp_path / "receive.toml",
        port=ports[0],
        complete_after_s="1.0",
        analysis='{method = "hu-threshold"}',
        send_to=f'[{{ae_title = "ARCHIVE", host = "127.0.0.1", port = {ports[1]}}}]',
    )
    words = [sys.executable, "-m", "ICHSegmenterLib", "receive", "--config", str(tmp_path / "receive.toml")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    service = subprocess.Popen(
        ["storescp", "--output-directory", str(tmp_path / "archive"), "--aetitle", "ARCHIVE", str(ports[1])]
    )
    receiver = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert f"port {ports[0]}" in receiver.stderr.readline()
        sender = ["storescu", "--aetitle", "PACS", "--call", "ICHSEGMENTER", "--scan-directories", "127.0.0.1"]
        stranger = ["storescu", "--aetitle", "OTHER", *sender[3:]]
        folder = str(series[0].parent)
        assert subprocess.run([*stranger, str(ports[0]), folder], capture_output=True).returncode != 0
        assert subprocess.run([*sender, str(ports[0]), folder], capture_output=True).returncode == 0
        until(lambda: any((tmp_path / "archive").iterdir()))
        receiver.terminate()
        output, errors = receiver.communicate(timeout=60)
    finally:
        for process in (receiver, service):
            process.kill()
            process.wait()
    assert (receiver.returncode, output.startswith("1 done, 0 failed")) == (0, True), errors
    assert "SMITH" not in output + errors
    (path,) = (tmp_path / "archive").iterdir()
    assert pydicom.dcmread(path).Modality == "SEG"
    assert len(summary(tmp_path / "results")) == 1
