"""Downloads against a real server on this computer: resumed, checked, from mirrors in order, cancelled, refused."""

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ICHSegmenterLib.cards.published_files import WeightsFile
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.errors import CancelledError, DownloadError, OutputError
from ICHSegmenterLib.weights import cache, download, store
from ICHSegmenterLib.weights import lock as turns
from ICHSegmenterLib.weights.download import MIRROR_VARIABLE, Transfer

CONTENT = os.urandom(3_000_000)
WRONG = os.urandom(len(CONTENT))
CUT_AFTER = 1_000_000


class Handler(BaseHTTPRequestHandler):
    """What a path does: /good/ knows ranges, /plain/ does not, /cut/ breaks off after 1 MB, and so on."""

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        kind = self.path.split("/")[1]
        if kind in ("404", "403", "407"):
            return self.send_error(int(kind))
        if kind == "silent":
            self.server.released.wait(10)
            return None
        if kind == "moved":
            self.send_response(302)
            self.send_header("Location", "/good/model.pt")
            return self.end_headers()
        if kind == "portal":
            return self._answer(200, b"<html>please log in</html>")
        content = WRONG if kind == "wrong" else CONTENT
        if kind == "slow":
            return self._halting(content)
        start = 0
        if kind != "plain" and (requested := self.headers.get("Range")):
            start = int(requested.removeprefix("bytes=").rstrip("-"))
        body = content[start:]
        return self._answer(206 if start else 200, body, body[:CUT_AFTER] if kind == "cut" else body)

    def _halting(self, content: bytes):
        """Half of the file, the rest when the test says so."""
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        body = content[start:]
        self._answer(206 if start else 200, body, body[:CUT_AFTER])
        self.server.halted.set()
        self.server.released.wait(10)
        return self.wfile.write(body[CUT_AFTER:])

    def _answer(self, status: int, announced: bytes, sent: bytes | None = None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(announced)))
        self.end_headers()
        self.wfile.write(announced if sent is None else sent)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.asked, server.released, server.halted = [], threading.Event(), threading.Event()
    server.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "Lékař"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "no_proxy", MIRROR_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


def weights_at(server, *kinds: str) -> WeightsFile:
    urls = tuple(f"{server.address}/{kind}/model.pt" for kind in kinds)
    return WeightsFile("model.pt", urls, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), "MIT")


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    while not true() and (seconds := seconds - 0.02) > 0:
        time.sleep(0.02)


def part_file() -> Path:
    return cache.writable_weights_folder() / "model.pt.part"


def test_a_file_arrives_whole_and_progress_is_told_in_bytes(server):
    told = []
    path = download.download(weights_at(server, "good"), Transfer(progress=lambda *step: told.append(step)))
    assert path == cache.weights_folder() / "model.pt"
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT), "Downloading model.pt")
    assert [step[0] for step in told] == sorted({step[0] for step in told})
    assert not part_file().exists()


def test_a_file_that_is_here_is_not_downloaded_again(server):
    file = weights_at(server, "good")
    assert download.download(file) == download.download(file)
    assert len(server.asked) == 1


def test_a_broken_connection_is_taken_up_where_it_broke(server):
    assert download.download(weights_at(server, "cut")).read_bytes() == CONTENT
    assert [requested for _, requested in server.asked] == [None, "bytes=1000000-", "bytes=2000000-"]


def test_a_download_of_yesterday_is_resumed(server):
    part_file().write_bytes(CONTENT[:2_500_000])
    assert download.download(weights_at(server, "good")).read_bytes() == CONTENT
    assert [requested for _, requested in server.asked] == ["bytes=2500000-"]


def test_a_server_that_sends_us_elsewhere_is_followed_and_resumed(server):
    part_file().write_bytes(CONTENT[:2_500_000])
    assert download.download(weights_at(server, "moved")).read_bytes() == CONTENT
    assert server.asked[-1] == ("/good/model.pt", "bytes=2500000-")


def test_a_server_without_ranges_starts_anew(server):
    part_file().write_bytes(CONTENT[:2_500_000])
    assert download.download(weights_at(server, "plain")).read_bytes() == CONTENT


def test_a_beginning_of_another_file_is_thrown_away(server):
    part_file().write_bytes(WRONG[:2_500_000])
    assert download.download(weights_at(server, "good")).read_bytes() == CONTENT
    assert [requested for _, requested in server.asked] == ["bytes=2500000-", None]


def test_a_complete_part_with_wrong_content_is_loaded_anew(server):
    part_file().write_bytes(WRONG)
    assert download.download(weights_at(server, "good")).read_bytes() == CONTENT


def test_mirrors_are_tried_in_order(server):
    assert download.download(weights_at(server, "404", "portal", "wrong", "good")).read_bytes() == CONTENT
    assert [path.split("/")[1] for path, _ in server.asked] == ["404", "portal", "wrong", "good"]


def test_the_mirror_of_the_environment_is_asked_first(server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(MIRROR_VARIABLE, f"{server.address}/good/")
    download.download(weights_at(server, "404"))
    assert [path for path, _ in server.asked] == ["/good/model.pt"]


def test_a_mirror_may_be_a_folder_on_a_share(server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / "model.pt").write_bytes(CONTENT)
    monkeypatch.setenv(MIRROR_VARIABLE, (tmp_path / "share").as_uri())
    assert download.download(weights_at(server, "404")).read_bytes() == CONTENT
    assert server.asked == []


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("404", r"no longer there \(HTTP 404\)"),
        ("403", r"refused \(HTTP 403"),
        ("407", "the proxy wants a name and password"),
        ("wrong", "another file .wrong SHA-256"),
        ("portal", "sends 26 bytes instead of 3000000"),
    ],
)
def test_a_refusal_says_why_and_how_to_go_on(server, kind: str, reason: str):
    with pytest.raises(DownloadError, match=reason) as caught:
        download.download(weights_at(server, kind))
    text = str(caught.value)
    assert "models import FILE" in text
    assert hashlib.sha256(CONTENT).hexdigest() in text
    assert not (cache.weights_folder() / "model.pt").exists()
    assert not part_file().exists()


def test_a_login_page_does_not_spoil_what_was_begun(server):
    part_file().write_bytes(CONTENT[:2_500_000])
    with pytest.raises(DownloadError):
        download.download(weights_at(server, "portal"))
    assert part_file().read_bytes() == CONTENT[:2_500_000]


def test_a_silent_server_is_given_up(server):
    with pytest.raises(DownloadError, match=r"no answer for 0\.2 s"):
        download.download(weights_at(server, "silent"), Transfer(timeout_s=0.2))


def test_no_network_asks_for_the_proxy(server, monkeypatch: pytest.MonkeyPatch):
    def not_found(*arguments, **options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", not_found)
    with pytest.raises(DownloadError, match=r"seems to be offline.*https_proxy"):
        download.download(weights_at(server, "good"))


def test_the_same_reason_of_two_mirrors_is_told_once(server):
    with pytest.raises(DownloadError) as caught:
        download.download(weights_at(server, "404", "404"))
    assert str(caught.value).count("HTTP 404") == 1


def test_a_proxy_that_is_down_is_named(server, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    with pytest.raises(DownloadError, match=rf"refused \(through the proxy 127\.0\.0\.1:{port}\)"):
        download.download(weights_at(server, "good"))
    assert server.asked == []


def test_the_password_of_a_proxy_stays_secret(server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://anna:geheim@127.0.0.1:9")
    with pytest.raises(DownloadError, match=r"proxy 127\.0\.0\.1:9\)") as caught:
        download.download(weights_at(server, "good"))
    assert "geheim" not in str(caught.value)


def test_the_proxy_of_the_environment_is_used(server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", server.address)
    file = replace(weights_at(server), urls=("http://weights.invalid/model.pt",))
    assert download.download(file).read_bytes() == CONTENT
    assert server.asked == [("http://weights.invalid/model.pt", None)]


def test_a_file_without_any_server_names_the_mirror_variable(server):
    with pytest.raises(DownloadError, match=MIRROR_VARIABLE):
        download.download(weights_at(server))


def test_cancelling_stops_and_the_next_download_resumes(server):
    done = []
    transfer = Transfer(progress=lambda step, *_: done.append(step), cancelled=lambda: sum(done) > 500_000)
    with pytest.raises(CancelledError):
        download.download(weights_at(server, "good"), transfer)
    begun = part_file().stat().st_size
    assert 0 < begun < len(CONTENT)
    assert download.download(weights_at(server, "good")).read_bytes() == CONTENT
    assert server.asked[-1][1] == f"bytes={begun}-"


def test_two_downloads_of_one_file_are_one_and_both_succeed(server):
    file = weights_at(server, "slow")
    waited = threading.Event()
    told = []

    def second(done: int, total: int, message: str) -> None:
        told.append((done, total, message))
        waited.set()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(download.download, file)
        server.halted.wait(10)
        other = pool.submit(download.download, file, Transfer(progress=second))
        waited.wait(10)
        server.released.set()
        assert first.result(10) == other.result(10)
    assert first.result().read_bytes() == CONTENT
    assert len(server.asked) == 1
    assert told[0][1:] == (len(CONTENT), "Downloading model.pt")  # who waits sees the other one's progress
    assert sorted(path.name for path in cache.weights_folder().glob("*model*")) == ["model.pt"]


def test_many_downloads_at_once_leave_one_whole_file(server):
    file = weights_at(server, "cut")
    with ThreadPoolExecutor(6) as pool:
        paths = set(pool.map(lambda _: download.download(file), range(6)))
    assert [path.read_bytes() for path in paths] == [CONTENT]
    assert [requested for _, requested in server.asked] == [None, "bytes=1000000-", "bytes=2000000-"]


def test_waiting_for_another_download_can_be_cancelled(server):
    file = weights_at(server, "slow")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(download.download, file)
        server.halted.wait(10)
        with pytest.raises(CancelledError, match=r"model\.pt was cancelled"):
            download.download(file, Transfer(cancelled=lambda: True))
        server.released.set()
        assert first.result(10).read_bytes() == CONTENT


def test_a_download_goes_on_where_a_killed_process_left_it(server):
    file = weights_at(server, "slow")
    code = (
        "import sys; from ICHSegmenterLib.cards.published_files import WeightsFile; "
        "from ICHSegmenterLib.weights.download import download; "
        "download(WeightsFile(sys.argv[1], (sys.argv[2],), sys.argv[3], int(sys.argv[4]), 'MIT'))"
    )
    arguments = [sys.executable, "-c", code, file.name, file.urls[0], file.sha256, str(file.size)]
    process = subprocess.Popen(arguments, cwd=Path(cache.__file__).parents[2])
    wait_until(lambda: part_file().exists() and part_file().stat().st_size >= CUT_AFTER // 2)
    process.kill()
    process.wait()
    begun = part_file().stat().st_size
    assert download.download(weights_at(server, "good")).read_bytes() == CONTENT
    assert server.asked[-1][1] == f"bytes={begun}-"


def test_a_disk_without_locks_gives_each_process_its_own_beginning(server, monkeypatch: pytest.MonkeyPatch):
    def no_locks(lock: Path) -> int:
        raise turns.LockingUnknownError("Function not implemented")

    monkeypatch.setattr(turns, "_take", no_locks)
    part_file().write_bytes(CONTENT[:2_500_000])  # of another process, which may be writing
    assert download.download(weights_at(server, "good")).read_bytes() == CONTENT
    assert [requested for _, requested in server.asked] == [None]
    assert part_file().read_bytes() == CONTENT[:2_500_000]


def test_a_full_disk_is_no_network_error(server, monkeypatch: pytest.MonkeyPatch):
    class FullDisk:
        name = "model.pt.part"

        def write(self, chunk):
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="Is the disk full"):
        download._write(FullDisk(), b"x")


def test_a_method_gets_its_default_models_or_all(server, monkeypatch: pytest.MonkeyPatch):
    file = weights_at(server, "good")
    files = tuple(replace(file, name=f"model_{n}.pt") for n in range(3))
    card = replace(get_card("blast-ct"), weights=files, default_models=2)
    assert [path.name for path in download.download_model(card)] == ["model_0.pt", "model_1.pt"]
    assert store.state(card).is_ready
    assert download.download_model(card) == []
    assert [path.name for path in download.download_model(card, all_files=True)] == ["model_2.pt"]
