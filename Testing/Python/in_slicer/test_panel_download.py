"""The download button against a real server on this computer: fetched, checked, taken up again, refused, accepted."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

RUN_S = 120
CUT_AFTER = 1_000_000
FILES = ("blast_ct_v1_model_7.pt", "blast_ct_v1_model_5.pt")
"""Those that the method needs at least, in the order in which they are fetched."""

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


class Handler(BaseHTTPRequestHandler):
    """Sends the authors' files as `server.manner` says; a proxy for all other hosts, which it refuses."""

    def log_message(self, *arguments):
        pass

    def do_CONNECT(self):
        self.server.refused.append(self.path)
        self.send_error(403)

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        self.server.asked.append((name, self.headers.get("Range")))
        path = self.server.folder / name.replace("blast_ct_v1_", "")
        if self.server.manner == "absent" or not path.is_file():
            return self.send_error(404)
        content = path.read_bytes()
        if self.server.manner == "wrong":
            content = bytes(len(content))
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.manner == "breaks off":
            return self.wfile.write(body[:CUT_AFTER])
        if self.server.manner == "halts":
            self.wfile.write(body[:CUT_AFTER])
            self.server.halted.set()
            self.server.released.wait(RUN_S)
            return None
        return self.wfile.write(body)


@pytest.fixture(scope="module")
def running_server(one_worker):
    """One server for all tests: the worker, which stays, is told of it when it begins."""
    from conftest import shared_data

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.folder = shared_data("data/blast_ct_v1")
    server.asked, server.refused, server.manner = [], [], "good"
    server.halted, server.released = threading.Event(), threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    told = {"ICHSEGMENTER_MIRROR": address, "no_proxy": "127.0.0.1"}
    told |= {f"{kind}_proxy": address for kind in ("http", "https")}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    yield server
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def server(running_server, weights):
    """The server, with nothing downloaded so far."""
    for path in weights.iterdir():
        path.unlink()
    running_server.asked.clear()
    running_server.refused.clear()
    running_server.halted.clear()
    running_server.released.clear()
    running_server.manner = "good"
    yield running_server
    running_server.released.set()


@pytest.fixture
def chosen(server, panel):
    """The panel, with BLAST-CT chosen and none of its weights here."""
    return choose(panel, "blast-ct")


def choose(panel, method):
    panel.ui.methodComboBox.setCurrentIndex(panel.ui.methodComboBox.findData(method))
    return panel


def transferred(shell, panel):
    shell.waitUntil(lambda: panel.methods._requestId is None, RUN_S, "the end of the download")


def test_a_click_fetches_the_published_files_and_takes_broken_connections_up(shell, server, chosen, weights):
    server.manner = "breaks off"
    assert "Needs 2 weight files" in chosen.ui.needsLabel.text
    shell.click(chosen.ui.downloadButton)
    transferred(shell, chosen)
    for name in FILES:
        published = (server.folder / name.replace("blast_ct_v1_", "")).read_bytes()
        assert (weights / name).read_bytes() == published
        ranges = [begun for asked, begun in server.asked if asked == name]
        assert ranges[:2] == [None, f"bytes={CUT_AFTER}-"]
        assert len(ranges) == -(-len(published) // CUT_AFTER)
    assert {path.name for path in weights.iterdir() if path.suffix == ".pt"} == set(FILES)
    assert not chosen.ui.downloadButton.visible
    assert "weights present" in chosen.ui.methodInfoLabel.text
    assert server.refused == []  # nobody but the mirror was asked


def test_a_cancelled_download_is_taken_up_where_it_ended(shell, server, chosen, weights):
    server.manner = "halts"
    shell.click(chosen.ui.downloadButton)
    shell.waitUntil(server.halted.is_set, RUN_S, "the first half")
    part = weights / f"{FILES[0]}.part"
    shell.waitUntil(lambda: part.exists() and part.stat().st_size > CUT_AFTER // 2, RUN_S, "the part")
    shell.click(chosen.ui.downloadButton)
    transferred(shell, chosen)
    begun = part.stat().st_size
    assert CUT_AFTER // 2 < begun <= CUT_AFTER
    server.manner = "good"
    server.asked.clear()
    shell.click(chosen.ui.downloadButton)
    transferred(shell, chosen)
    assert server.asked == [(FILES[0], f"bytes={begun}-"), (FILES[1], None)]
    assert all((weights / name).is_file() for name in FILES)
    assert not part.exists()


def test_a_file_with_another_checksum_is_refused_and_thrown_away(shell, server, chosen, weights):
    server.manner = "wrong"
    shell.click(chosen.ui.downloadButton)
    transferred(shell, chosen)
    text = chosen.ui.statusLabel.text
    assert "could not be downloaded" in text
    assert "127.0.0.1: sends another file (wrong SHA-256)" in text
    assert server.refused  # the published addresses were tried next, by way of the proxy of this test
    assert [path.name for path in weights.iterdir() if ".pt" in path.name and not path.name.endswith(".lock")] == []
    assert chosen.ui.downloadButton.visible
    assert not chosen.ui.applyButton.enabled


@pytest.mark.parametrize("accepts", [False, True])
def test_nothing_is_asked_of_a_server_before_terms_are_accepted(shell, server, panel, monkeypatch, accepts):
    import slicer

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_, **__: accepts)
    server.manner = "absent"
    choose(panel, "swin-sam-multi")
    shell.click(panel.ui.downloadButton)
    transferred(shell, panel)
    assert bool(server.asked) == accepts
    assert ("the file is no longer there (HTTP 404)" in panel.ui.statusLabel.text) == accepts
