"""Progress on standard error: a bar on a terminal, lines in a pipe, nothing where tests listen; with the time left."""

import io
import os
import subprocess
import sys

import pytest

from ICHSegmenterLib.cli.progress import LINE_SECONDS, QUIET_SECONDS, TerminalProgress, clock_text
from ICHSegmenterLib.protocol import Phase


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def log(tmp_path):
    with (tmp_path / "log.txt").open("w+", encoding="utf-8") as stream:
        yield stream


def text_of(stream):
    stream.flush()
    stream.seek(0)
    return stream.read()


def predict(progress, clock, slices, seconds_a_slice):
    run = progress.run()
    for done in range(slices + 1):
        run.report(done, slices, Phase.PREDICTING)
        clock.now += seconds_a_slice


def test_a_pipe_gets_plain_lines_with_the_time_left_every_few_seconds(log, clock):
    progress = TerminalProgress(log, clock)
    predict(progress, clock, slices=40, seconds_a_slice=1.0)
    progress.close()
    lines = text_of(log).splitlines()
    assert lines[0] == f"Predicting: {QUIET_SECONDS:.0f} of 40, 0:35 left"
    assert lines[1] == f"Predicting: {QUIET_SECONDS + LINE_SECONDS:.0f} of 40, 0:25 left"
    assert len(lines) == 4


def test_a_pipe_gets_no_carriage_return_and_no_escape(log, clock):
    predict(TerminalProgress(log, clock), clock, slices=40, seconds_a_slice=1.0)
    assert not set("\r\x1b") & set(text_of(log))


def test_a_pipe_gets_nothing_of_a_short_run(log, clock):
    predict(TerminalProgress(log, clock), clock, slices=4, seconds_a_slice=0.1)
    assert text_of(log) == ""


def test_each_later_phase_of_a_long_run_has_a_line(log, clock):
    progress = TerminalProgress(log, clock)
    progress.run().report(0, 1, Phase.LOADING)
    clock.now += QUIET_SECONDS
    progress.run().report(0, 1, Phase.FINDING_BRAIN)
    progress.run().report(0, 1, Phase.RESAMPLING)
    assert text_of(log).splitlines() == ["Finding the brain", "Resampling to 1 mm"]


def test_the_phases_of_a_short_item_of_a_list_are_not_logged(log, clock):
    progress = TerminalProgress(log, clock)
    for number in range(20):
        progress.announce(number, 20, "exam")
        predict(progress, clock, slices=3, seconds_a_slice=1.0)
    assert all(line.startswith("[") for line in text_of(log).splitlines())


def test_a_download_in_a_pipe_is_counted_in_megabytes(log, clock):
    progress = TerminalProgress(log, clock)
    progress.update(0, 40_000_000, "Downloading model.pt")
    clock.now += 10.0
    progress.update(10_000_000, 40_000_000, "Downloading model.pt")
    assert text_of(log) == "Downloading model.pt: 10 of 40 MB, 0:30 left\n"


def test_a_terminal_gets_a_bar_with_count_and_time_left_that_is_cleared_at_the_end(clock):
    terminal = Terminal()
    progress = TerminalProgress(terminal, clock)
    progress.update(0, 30, "Predicting")
    progress._bar.start_t -= 10.0  # tqdm has its own clock
    progress._bar.last_print_t -= 10.0
    progress.update(10, 30, "Predicting")
    drawn = terminal.getvalue()
    progress.close()
    assert "10 of 30" in drawn
    assert "00:2" in drawn.rpartition("10 of 30, ")[2]
    assert "left" in drawn
    assert terminal.getvalue().endswith("\r")


def test_the_bar_of_a_resumed_phase_does_not_count_what_was_done_before(clock):
    """100 of 200 were done; one more took ten seconds, so the rest takes sixteen minutes, not ten seconds."""
    terminal = Terminal()
    progress = TerminalProgress(terminal, clock)
    progress.update(100, 200, "Training")
    progress._bar.start_t -= 10.0
    progress._bar.last_print_t -= 10.0
    progress.update(101, 200, "Training")
    drawn = terminal.getvalue()
    progress.close()
    assert drawn.rpartition("101 of 200, ")[2].startswith("16:")


def test_a_captured_stream_stays_empty(clock):
    captured = io.StringIO()
    predict(TerminalProgress(captured, clock), clock, slices=40, seconds_a_slice=1.0)
    assert captured.getvalue() == ""


def test_items_of_a_list_are_announced_with_the_time_that_the_rest_takes(clock):
    captured = io.StringIO()
    progress = TerminalProgress(captured, clock)
    for done, name in enumerate(["a", "b", "c", ""]):
        progress.announce(done, 3, name)
        clock.now += 40.0
    assert captured.getvalue().splitlines() == ["[1/3] a", "[2/3] b, about 1:20 left", "[3/3] c, about 0:40 left"]


def test_items_that_were_done_before_do_not_shorten_the_time_left(clock):
    captured = io.StringIO()
    progress = TerminalProgress(captured, clock)
    for done, seconds in enumerate([0.0, 0.0, 60.0, 60.0]):
        progress.announce(done, 4, "exam")
        clock.now += seconds
    assert captured.getvalue().splitlines()[-2:] == ["[3/4] exam", "[4/4] exam, about 1:00 left"]


def test_exams_of_a_batch_are_announced_with_rate_failures_and_time_left(clock):
    captured = io.StringIO()
    progress = TerminalProgress(captured, clock)
    for done, (failed, seconds) in enumerate([(0, 0.0), (0, 30.0), (0, 60.0), (1, 30.0)]):
        progress.announce_exam(done, 4, failed, f"exam-{done}")
        clock.now += seconds
    progress.announce_exam(4, 4, 1, "")
    assert captured.getvalue().splitlines() == [
        "[1/4] exam-0",
        "[2/4] exam-1",
        "[3/4] exam-2, 120 an hour, about 1:00 left",
        "[4/4] exam-3, 80 an hour, 1 failed, about 0:45 left",
    ]


@pytest.mark.parametrize(("seconds", "text"), [(4.6, "0:05"), (65, "1:05"), (3605, "1:00:05")])
def test_times_are_hours_minutes_and_seconds(seconds, text):
    assert clock_text(seconds) == text


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_verify_shows_a_bar_on_a_real_terminal_and_none_in_a_pipe(tmp_path):
    import pty

    (tmp_path / "model.pt").write_bytes(b"0" * 2_000_000)
    command = [sys.executable, "-m", "ICHSegmenterLib", "models", "verify"]
    environment = {**os.environ, "ICHSEGMENTER_WEIGHTS": str(tmp_path)}
    ours, theirs = pty.openpty()  # it says that it has 0 columns
    os.set_blocking(ours, False)
    subprocess.run(command, stderr=theirs, stdout=subprocess.DEVNULL, env=environment, check=True)
    drawn = os.read(ours, 100_000).decode()
    os.close(theirs)
    os.close(ours)
    piped = subprocess.run(command, capture_output=True, env=environment, check=True, text=True)
    assert "Reading weight files" in drawn
    assert piped.stderr == ""
    assert "model.pt" in piped.stdout
