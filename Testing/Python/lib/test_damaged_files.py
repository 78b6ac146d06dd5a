"""Damaged tables, weights, shards, recipes and requests are typed errors, and take no memory for what they promise."""

import contextlib
import io
import json
import pickle
import random
import struct
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from ICHSegmenterLib.datasets import physionet, prepare, shards
from ICHSegmenterLib.datasets.rsna import headers as rsna_headers
from ICHSegmenterLib.datasets.rsna import layout as rsna
from ICHSegmenterLib.datasets.shards import ShardReader, write_shard
from ICHSegmenterLib.datasets.slices import SliceItem, read_table, write_rows
from ICHSegmenterLib.datasets.sources import ReadOptions
from ICHSegmenterLib.datasets.splits import Split, load_split, save_split
from ICHSegmenterLib.datasets.stored_hu import encode_hu, encode_png
from ICHSegmenterLib.errors import EvaluationError, ICHSegmenterError, RecipeError, TrainingDataError, VolumeError
from ICHSegmenterLib.evaluation import cases
from ICHSegmenterLib.evaluation.rsna import csv_files
from ICHSegmenterLib.evaluation.thresholds import read_folds
from ICHSegmenterLib.learning.recipe_file import load_recipe, recipe_text
from ICHSegmenterLib.worker.channel import Channel
from ICHSegmenterLib.worker.server import Server

torch = pytest.importorskip("torch")

from ICHSegmenterLib.checkpoints.checkpoint import read_state
from ICHSegmenterLib.checkpoints.pdparams import read_pdparams
from ICHSegmenterLib.errors import WeightsError

SEED = 20
MUTATIONS = 150
BYTES_FOR_HARM = (b"\x00", b"\xff\xfe", b'"', b",", b"\n", b"[" * 3000, b"9" * 400, b"-", b"{", b": &a *a", b"1e999")


def mutations(content):
    """Some damaged forms of a file: bits, bytes, cuts, doublings and insertions."""
    draw = random.Random(SEED)
    yield b""
    for _ in range(MUTATIONS):
        damaged = bytearray(content)
        for _ in range(draw.randint(1, 3)):
            at, kind = draw.randrange(len(damaged) + 1), draw.randrange(4)
            if kind == 0:
                del damaged[at : at + draw.randint(1, 40)]
            elif kind == 1:
                damaged[at:at] = draw.choice(BYTES_FOR_HARM)
            elif kind == 2:
                damaged[at : at + 1] = bytes([draw.randrange(256)])
            else:
                damaged[at:at] = damaged[: draw.randint(1, 60)]
        yield bytes(damaged)


ITEM = SliceItem("a-000", "p", "a", 0, np.zeros((16, 16), np.int16), None, (0,) * 6, (0.5, 0.5))
DIAGNOSES = (
    b"PatientNumber,SliceNumber,Intraventricular,Intraparenchymal,Subarachnoid,Epidural,Subdural,No_Hemorrhage\n"
)
KINDS = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")
LABELS = "ID,Label\n" + "".join(f"ID_1_{kind},0\n" for kind in KINDS)


def index(path):
    rows = write_shard([ITEM], path.with_name("shard-000000.tar"))
    write_rows(rows, path)


def split(path):
    save_split(Split(("a",), ("b",), (), 0, 0, 0), path)


READERS = {
    "index": (index, lambda path: read_table([path]), TrainingDataError),
    "split": (split, load_split, TrainingDataError),
    "labels": (lambda path: path.write_text(LABELS), rsna.read_labels, TrainingDataError),
    "diagnoses": (
        lambda path: path.write_bytes(DIAGNOSES + b"1,1,0,0,0,0,0,1\n1,2,0,1,0,0,0,0\n"),
        physionet.read_diagnoses,
        TrainingDataError,
    ),
    "plan": (
        lambda path: path.write_text('{"layout": "rsna", "shards": [["a", 1]]}'),
        prepare._read_plan,
        TrainingDataError,
    ),
    "headers": (
        lambda path: path.write_text("a.dcm,p,s,1.0" + ",1.0" * 10 + ",40,80\nb.dcm,broken\n"),
        rsna_headers._read_part,
        TrainingDataError,
    ),
    "folds": (lambda path: path.write_text("patient,fold\na,1\nb,2\n"), read_folds, EvaluationError),
    "patients": (lambda path: path.write_text("exam,patient\na,1\nb,2\n"), cases._read_patients, EvaluationError),
    "submission": (lambda path: path.write_text("ID,Label\na,0.5\n"), csv_files.read_submission, VolumeError),
    "predictions": (lambda path: path.write_text("1,0 0 0 0 0 1\n"), csv_files.read_predictions, VolumeError),
    "slices": (lambda path: path.write_text("slice_id,x\na,0.5\n"), csv_files.read_slice_ids, VolumeError),
    "recipe": (lambda path: path.write_text(recipe_text(load_recipe("unet"))), load_recipe, RecipeError),
}


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_table_is_read_or_is_a_typed_error(name, tmp_path):
    write, read, error_class = READERS[name]
    path = tmp_path / ("file.yaml" if name == "recipe" else "file.csv")
    write(path)
    read(path)
    for damaged in mutations(path.read_bytes()):
        path.write_bytes(damaged)
        with contextlib.suppress(error_class):
            read(path)
    path.unlink()
    with pytest.raises(error_class):
        read(path)


def test_a_change_of_a_recipe_that_is_no_yaml_is_a_typed_error():
    for change in ("data.fold=[", "data.fold=2001-99-99", "data.fold=" + "[" * 3000, "data.fold=\x00"):
        with pytest.raises(RecipeError):
            load_recipe("unet", [change])


def test_a_damaged_cache_of_headers_is_read_anew(tmp_path):
    (tmp_path / "headers").mkdir()
    (tmp_path / "headers" / "00000.csv").write_bytes(b"\xff\x00,\n")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.dcm").write_bytes(b"no DICOM")
    headers, bad = rsna_headers.read_headers(tmp_path / "images", ["a.dcm"], ReadOptions(tmp_path))
    assert (headers, [file.name for file in bad]) == ([], ["a.dcm"])


NOISE = np.random.default_rng(0).integers(-1024, 3072, (32, 32)).astype(np.int16)
RAMP = np.arange(1024, dtype=np.int16).reshape(32, 32)


def as_png(hu):
    """How earlier versions stored a slice: 16 bits of HU + 1024."""
    return encode_png((hu.astype(np.int32) + 1024).astype(np.uint16))


@pytest.mark.parametrize("hu", [NOISE, RAMP], ids=["noise", "ramp"])  # low bytes as they are, and compressed
@pytest.mark.parametrize("encode", [encode_hu, as_png])
def test_no_damage_of_a_slice_in_a_shard_changes_it_unseen(encode, hu, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "encode_hu", encode)
    item = SliceItem("a-000", "p", "a", 0, hu, None, (0,) * 6, (0.5, 0.5))
    (row,) = write_shard([item], tmp_path / "s.tar")
    content = (tmp_path / "s.tar").read_bytes()
    draw, seen = random.Random(SEED), 0
    for _ in range(200):
        damaged = bytearray(content)
        damaged[row.offset + draw.randrange(row.size)] ^= 1 << draw.randrange(8)
        (tmp_path / "s.tar").write_bytes(damaged)
        try:
            read = ShardReader(tmp_path).hu("s.tar", row.offset, row.size)
        except TrainingDataError:
            seen += 1
        else:  # a zip archive has a date and other fields that change nothing
            assert np.array_equal(read, hu)
    assert seen > 100
    (tmp_path / "s.tar").write_bytes(content)
    assert np.array_equal(ShardReader(tmp_path).hu("s.tar", row.offset, row.size), hu)
    for cut in (row.size - 12, row.size // 2, 1):
        with pytest.raises(TrainingDataError, match="s.tar is absent or damaged"):
            ShardReader(tmp_path).hu("s.tar", row.offset, cut)


def answers_of(lines):
    """What the worker answers to lines, in the order of its answers."""
    stream = io.BytesIO()
    Server(Channel(stream), {}).read(io.BytesIO(b"\n".join(lines) + b"\n"), lambda: None)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "line", [b"[" * 100000, b'{"type":' * 50000, b"\xff\xff", b"9" * 5000, b'{"type": []}', b"nul"]
)
def test_the_worker_still_listens_after_a_line_that_it_does_not_understand(line):
    answers = answers_of([line, b'{"type": "ping"}'])
    assert [answer["type"] for answer in answers] == ["error", "pong"]
    assert "did not understand" in answers[0]["message"]


def write_weights(path):
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.bias": torch.ones(2)}
    if path.suffix == ".npz":
        np.savez(path, **{key: tensor.numpy() for key, tensor in state.items()})
    elif path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(state, path)
    elif path.suffix == ".pdparams":
        with path.open("wb") as file:
            pickle.dump({key: tensor.numpy() for key, tensor in state.items()}, file, protocol=2)
    else:
        torch.save(state, path)


@pytest.mark.parametrize("suffix", [".pth", ".npz", ".safetensors", ".pdparams"])
def test_a_damaged_weight_file_is_read_or_is_a_typed_error(suffix, tmp_path):
    path = tmp_path / f"w{suffix}"
    write_weights(path)
    assert read_state(path)["a.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    for damaged in mutations(path.read_bytes()):
        path.write_bytes(damaged)
        with contextlib.suppress(WeightsError):
            read_state(path)


def test_a_damaged_kind_of_number_does_not_crash_numpy(tmp_path):
    """The state of a dtype with two fields too few is a segmentation fault in NumPy 2.4."""
    path = tmp_path / "w.pdparams"
    write_weights(path)
    content = path.read_bytes()
    state = content.index(b"NNNJ")
    path.write_bytes(content[:state] + content[state + 2 :])
    with pytest.raises(WeightsError, match="w.pdparams"):
        read_state(path)


def test_arrays_of_every_kind_of_number_and_order_are_read_from_pdparams(tmp_path):
    arrays = {
        "half": np.arange(6, dtype=">f2").reshape(2, 3),
        "double": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "bytes": np.arange(4, dtype=np.uint8),
        "flags": np.array([True, False]),
        "one": np.array(3.5, np.float32),
    }
    for protocol in (2, 4):
        (tmp_path / "w.pdparams").write_bytes(pickle.dumps(arrays, protocol=protocol))
        read = read_pdparams(tmp_path / "w.pdparams")
        for name, array in arrays.items():
            assert np.array_equal(read[name], array)
            assert read[name].dtype == array.dtype


def promised_arrays():
    """Pickles of a few bytes that ask for gigabytes: an array, a memo, a string."""
    shape = pickle.dumps((1 << 31,), protocol=2)[2:-1]
    array = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + shape + b"U\x01b\x87R."
    memo = b"\x80\x02}r" + struct.pack("<I", 100_000_000) + b"."
    text = b"\x80\x04\x8e" + struct.pack("<Q", 1 << 31) + b"a."
    return {"array": array, "memo": memo, "text": text}


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
@pytest.mark.parametrize("kind", promised_arrays())
def test_a_pdparams_file_takes_no_memory_for_what_it_promises(kind, tmp_path):
    path = tmp_path / "w.pdparams"
    path.write_bytes(promised_arrays()[kind])
    code = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from ICHSegmenterLib.checkpoints.pdparams import read_pdparams\n"
        "from ICHSegmenterLib.errors import WeightsCorruptError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    read_pdparams(Path(sys.argv[1]))\nexcept WeightsCorruptError:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) * (1 if sys.platform == "darwin" else 1024) < 100 << 20


def test_an_archive_that_grows_beyond_measure_is_refused(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w") as member,
    ):
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (50 << 20,)})
        for _ in range(200):
            member.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(WeightsError, match="weights do not compress so well"):
        read_state(tmp_path / "w.npz")
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def test_a_mapping_that_holds_itself_ends(tmp_path):
    content = {}
    content["model"] = content
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="holds no weights"):
        read_state(tmp_path / "w.pth")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_full_disk_leaves_the_checkpoint_of_before(tmp_path):
    """The largest size of a file stands for a full disk: the system ends the write in the middle."""
    pytest.importorskip("lightning")
    import resource
    import signal

    from ICHSegmenterLib.training.callbacks import WholeCheckpoints

    best = tmp_path / "best.ckpt"
    WholeCheckpoints().save_checkpoint({"step": 1}, best)
    before = best.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(ICHSegmenterError, match=r"best.ckpt cannot be written"):
            WholeCheckpoints().save_checkpoint({"step": 2, "weights": torch.zeros(100_000)}, best)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert best.read_bytes() == before
    assert list(tmp_path.iterdir()) == [best]
