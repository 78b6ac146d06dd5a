"""A short run of the fuzzer over every reader: only results and typed errors. Testing/fuzz.py runs for longer.

No input's time is judged here, where the clock also counts what the process of all tests does beside it, such as going
through its garbage: an input that never ends is ended with its test, by pytest's timeout.
"""

import gc
import math
import random
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pynetdicom")
sys.path.append(str(Path(__file__).parents[2]))

from fuzzing import child, readers
from fuzzing.campaign import HARM, Tally, fuzz, shares
from fuzzing.mutations import mutated
from fuzzing.readers import READERS, Reader

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.receive import server

SEED = 12
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(autouse=True)
def any_time_will_do(monkeypatch):
    monkeypatch.setattr(child, "SECONDS", math.inf)


@pytest.fixture(scope="module", autouse=True)
def what_other_tests_hold_is_no_garbage():
    """After each request the worker looks for garbage, which takes long among all that tests before have made."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module", autouse=True)
def no_reader_stays():
    greeting_s = server.GREETING_S
    yield
    while child._reader:
        child._reader.pop().close()
    while readers._servers:
        readers._servers.pop().close()
    server.GREETING_S = greeting_s


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_input_is_read_or_is_a_typed_error(name, tmp_path):
    reader = READERS[name]
    seeds = reader.seeds(tmp_path)
    child.load(reader, tmp_path)
    harm = {}
    for number in range(len(seeds) + (8 if name == "port" else 25)):  # a connection takes half a second
        content = child.input_of(name, reader, seeds, SEED, number)
        outcome, detail = child.read(reader, tmp_path, content)
        if outcome in HARM and outcome != "memory":  # the peak is that of all tests of this process
            harm[number] = (outcome, detail)
    assert not harm


@pytest.mark.parametrize("name", [name for name in READERS if name not in ("dicom",)])
def test_the_inputs_that_are_damaged_are_valid_before(name, tmp_path):
    reader = READERS[name]
    seeds = reader.seeds(tmp_path)
    child.load(reader, tmp_path)
    for content in seeds:
        assert child.read(reader, tmp_path, content) == ("read", "")


def test_a_seed_and_a_number_give_the_same_input_again():
    content = bytes(range(256)) * 4
    first = [mutated(content, random.Random(f"1/{number}")) for number in range(50)]
    again = [mutated(content, random.Random(f"1/{number}")) for number in range(50)]
    other = [mutated(content, random.Random(f"2/{number}")) for number in range(50)]
    assert first == again
    assert first != other
    assert sum(damaged == content for damaged in first) < 5


def test_every_harm_is_counted_and_the_run_goes_on(tmp_path, monkeypatch):
    def harmful(path):
        content = path.read_text()
        if content == "untyped":
            raise KeyError("x")
        if content == "typed":
            raise VolumeError("x")
        if content == "memory":
            raise MemoryError

    reader = Reader("text", "x.txt", 1, lambda folder: [], harmful)
    outcomes = [child.read(reader, tmp_path, text.encode())[0] for text in ("untyped", "typed", "memory", "fine")]
    assert outcomes[0] == "untyped"
    assert outcomes[1] == "typed"
    assert outcomes[2] == "memory"
    monkeypatch.setattr(child, "SECONDS", -1.0)
    assert child.read(reader, tmp_path, b"fine")[0] in ("hang", "memory")


def test_what_a_reader_imports_is_no_time_of_an_input(tmp_path, monkeypatch):
    spent_s = [0.0]
    loaded = []

    def importing(path):
        spent_s[0] += 0.1 if loaded else 10.0
        loaded.append(path.read_bytes())

    monkeypatch.setattr(child, "SECONDS", 5.0)
    monkeypatch.setattr(child, "_spent_s", lambda: spent_s[0])
    reader = Reader("text", "x.txt", 1, lambda folder: [], importing)
    child.load(reader, tmp_path)
    assert loaded == [b""]
    assert child.read(reader, tmp_path, b"fine") in (("read", ""), ("memory", ""))
    loaded.clear()
    assert child.read(reader, tmp_path, b"slow") in (("hang", ""), ("memory", ""))


def test_an_input_that_ends_the_process_is_a_crash_and_the_next_ones_are_read(tmp_path, monkeypatch):
    """The reader of batch states is replaced by one that ends the process, by a file of the same name on the path."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, pathlib\n"
        "original = pathlib.Path.read_bytes\n"
        "def dying(self):\n"
        "    if self.name == 'state.json' and b'unfinished' in original(self):\n"
        "        os.abort()\n"
        "    return original(self)\n"
        "pathlib.Path.read_bytes = dying\n"
    )
    monkeypatch.setattr("fuzzing.campaign.EXTRA_PATHS", (str(tmp_path),))
    tally = fuzz("batch-state", len(readers.STATE), SEED)
    assert tally.counts == {"crash": 1, "read": 2}
    assert tally.harm == 1


def test_the_inputs_of_a_run_are_shared_among_the_readers():
    numbers = shares(100_000, list(READERS))
    assert sum(numbers.values()) >= 100_000
    assert min(numbers.values()) > 400
    assert Tally().harm == 0
