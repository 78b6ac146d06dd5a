"""Weight files on this computer: found by name and digest, imported under any name, verified and removed."""

import hashlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from conftest import shared_data
from ICHSegmenterLib.cards.calibration import Calibration, Cuts, LogisticModel
from ICHSegmenterLib.cards.published_files import WeightsFile
from ICHSegmenterLib.cards.table import ModelCard, get_card
from ICHSegmenterLib.errors import OutputError, WeightsCorruptError, WeightsError, WeightsMissingError
from ICHSegmenterLib.weights import cache, digests, store
from ICHSegmenterLib.weights.store import FileCondition

CONTENTS = (b"first weights " * 100, b"second weights" * 100, b"third weights " * 120)
FILES = tuple(
    WeightsFile(f"model_{n}.pt", ("http://localhost/a",), hashlib.sha256(data).hexdigest(), len(data), "MIT")
    for n, data in enumerate(CONTENTS, start=1)
)
CARD = replace(get_card("blast-ct"), weights=FILES, default_models=2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of a user whose name is not ASCII, and three published files."""
    folder = tmp_path / "Lékař 医" / "weights"
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(folder))
    monkeypatch.setattr(store, "bundled_folder", lambda: tmp_path / "bundled")
    monkeypatch.setattr(store, "weights_by_sha256", lambda: {file.sha256: file for file in FILES})
    monkeypatch.setattr(store, "method_cards", lambda: {CARD.name: CARD})
    monkeypatch.setattr(digests, "_remembered", {})
    return folder


def put(folder: Path, number: int, content: bytes | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILES[number - 1].name
    path.write_bytes(CONTENTS[number - 1] if content is None else content)
    return path


def test_classical_methods_need_no_file(folder: Path):
    assert store.find(get_card("hu-threshold")) == ()
    assert store.state(get_card("hu-threshold")).is_ready


def test_the_first_default_models_are_used(folder: Path):
    paths = [put(folder, n) for n in (3, 1, 2)]
    assert store.find(CARD) == (paths[1], paths[2])


def test_an_ensemble_runs_with_the_models_that_are_here(folder: Path):
    path = put(folder, 3)
    assert store.find(CARD) == (path,)
    state = store.state(CARD)
    assert state.is_ready
    assert state.present == FILES[2:]
    assert state.wanted == FILES[:2]
    assert state.download_bytes == len(CONTENTS[0]) + len(CONTENTS[1])


def test_a_calibration_holds_for_the_weights_that_it_was_made_with_under_any_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    exam = LogisticModel(0.0, MappingProxyType({"top_logit": 1.0}))
    digests_of_two = tuple(file.sha256 for file in FILES[:2])
    calibration = Calibration(exam, Cuts(0.2, 0.1), Cuts(0.8, 0.6), "two files", 60, 0.05, exam, weights=digests_of_two)
    card = replace(CARD, calibration=calibration)
    monkeypatch.setattr(store, "get_card", lambda name: card)
    renamed = [tmp_path / "a.pt", tmp_path / "b.pt"]
    for path, content in zip(renamed, CONTENTS, strict=False):
        path.write_bytes(content)
    assert store.card_of("blast-ct", renamed).calibration == calibration
    assert store.card_of("blast-ct", renamed[:1]).calibration is None  # an ensemble of one says other values
    put(folder, 1)
    assert store.card_of("blast-ct").calibration is None
    put(folder, 2)
    assert store.card_of("blast-ct").calibration == calibration
    renamed[1].write_bytes(b"trained at home")
    assert store.card_of("blast-ct", renamed).calibration is None


def test_explicit_files_win_and_may_be_any_file(folder: Path, tmp_path: Path):
    put(folder, 1)
    mine = tmp_path / "mine.ckpt"
    mine.write_bytes(b"trained at home")
    assert store.find(CARD, [mine]) == (mine,)
    assert store.find(CARD, [str(mine)]) == (mine,)


def test_bundled_files_are_found_without_a_cache(folder: Path, tmp_path: Path):
    path = put(tmp_path / "bundled", 1)
    assert store.find(CARD) == (path,)
    assert not folder.exists()


def test_missing_weights_say_file_size_license_and_both_ways_to_get_them(folder: Path):
    with pytest.raises(WeightsMissingError) as caught:
        store.find(get_card("hgi-sam"))
    text = str(caught.value)
    for part in (
        "SwinWeak_CrossEntropyLoss.pth",
        "361.2 MB",
        "Apache-2.0",
        "models download hgi-sam",
        "models import FILE",
        "Import from file…",
    ):
        assert part in text
    assert caught.value.kind == "weights_missing"


def test_of_two_missing_files_one_or_the_other_is_asked_for(folder: Path):
    with pytest.raises(WeightsMissingError, match=r"model_7\.pt or blast_ct_v1_model_5\.pt \(at least one\)"):
        store.find(get_card("blast-ct"))


def test_a_method_without_published_weights_says_so(folder: Path):
    with pytest.raises(WeightsMissingError, match="no published weights"):
        store.find(replace(CARD, weights=()))


def test_an_altered_file_is_refused_with_the_way_out(folder: Path):
    put(folder, 1, CONTENTS[0][:-1] + b"!")
    with pytest.raises(WeightsCorruptError, match=r"altered or is incomplete.*models remove model_1\.pt"):
        store.find(CARD)


def test_a_truncated_file_is_refused(folder: Path):
    put(folder, 1, CONTENTS[0][:50])
    with pytest.raises(WeightsCorruptError, match="incomplete"):
        store.find(CARD)


def test_the_digest_is_computed_once_and_again_after_a_change(folder: Path, monkeypatch: pytest.MonkeyPatch):
    hashed: list[str] = []
    compute = digests.hash_file
    monkeypatch.setattr(digests, "hash_file", lambda path: hashed.append(path.name) or compute(path))
    path = put(folder, 1)
    store.find(CARD)
    store.find(CARD)
    digests._remembered.clear()  # as another process
    store.find(CARD)
    assert hashed == ["model_1.pt"]
    os.utime(path, ns=(1, 1))
    store.find(CARD)
    assert hashed == ["model_1.pt"] * 2


def test_a_broken_memory_of_digests_is_ignored(folder: Path):
    path = put(folder, 1)
    for nonsense in ("{", "[]", '{"a": 1}', '{"a": [1]}'):
        (folder / digests.MEMORY_FILE).write_text(nonsense)
        digests._remembered.clear()
        assert store.find(CARD) == (path,)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"])
def test_an_empty_file_or_lfs_pointer_is_no_weights(folder: Path, tmp_path: Path, content: bytes):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsCorruptError, match="not weights"):
        store.find(CARD, [path])


def test_an_explicit_file_that_does_not_exist_is_named(folder: Path, tmp_path: Path):
    with pytest.raises(WeightsMissingError, match=r"nowhere\.pt does not exist"):
        store.find(CARD, [tmp_path / "nowhere.pt"])


def test_files_are_imported_by_digest_under_any_name(folder: Path, tmp_path: Path):
    source = tmp_path / "Kopie von modèle (2).bin"
    source.write_bytes(CONTENTS[1])
    assert store.import_files([source]) == [FILES[1]]
    assert store.find(CARD) == (folder / "model_2.pt",)
    assert source.read_bytes() == CONTENTS[1]


def test_a_folder_gives_all_that_is_known_in_it(folder: Path, tmp_path: Path):
    stick = tmp_path / "usb"
    put(stick, 1).rename(stick / "a")
    put(stick, 3)
    (stick / "LICENSE.txt").write_text("terms")
    assert store.import_files([stick]) == [FILES[0], FILES[2]]


def test_importing_repairs_an_altered_file(folder: Path, tmp_path: Path):
    put(folder, 1, b"x" * len(CONTENTS[0]))
    store.import_files([put(tmp_path / "good", 1)])
    assert store.find(CARD) == (folder / "model_1.pt",)


def test_importing_the_cached_file_itself_keeps_it(folder: Path):
    path = put(folder, 1)
    assert store.import_files([path]) == [FILES[0]]
    assert path.read_bytes() == CONTENTS[0]


def test_an_unknown_file_is_refused_but_the_others_are_imported(folder: Path, tmp_path: Path):
    strange = tmp_path / "strange.pt"
    strange.write_bytes(b"?" * len(CONTENTS[0]))
    with pytest.raises(WeightsError, match=r"strange\.pt.*none of the.*--weights FILE.*Imported: model_2\.pt"):
        store.import_files([strange, put(tmp_path, 2)])
    assert store.find(CARD) == (folder / "model_2.pt",)


def test_importing_a_pointer_file_says_what_it_is(folder: Path, tmp_path: Path):
    pointer = tmp_path / "model_1.pt"
    pointer.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(WeightsError, match="Git LFS pointer"):
        store.import_files([pointer])


def test_verify_tells_intact_corrupt_unknown_and_unfinished_files_apart(folder: Path):
    good, bad = put(folder, 1), put(folder, 2, b"x" * len(CONTENTS[1]))
    part, own = folder / "model_3.pt.part", folder / "own.pt"
    part.write_bytes(b"half")
    own.write_bytes(b"own")
    assert dict(store.verify()) == {
        good: FileCondition.INTACT,
        bad: FileCondition.CORRUPT,
        part: FileCondition.UNFINISHED,
        own: FileCondition.UNKNOWN,
    }


def test_verify_notices_an_alteration_that_kept_size_and_time(folder: Path):
    path = put(folder, 1)
    store.find(CARD)
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert store.verify() == [(path, FileCondition.CORRUPT)]
    with pytest.raises(WeightsCorruptError):
        store.find(CARD)


def test_verify_of_an_absent_cache_is_empty(folder: Path):
    assert store.verify() == []


def test_files_are_removed_by_name_and_by_method(folder: Path):
    first, second, third = (put(folder, n) for n in (1, 2, 3))
    part = folder / "model_3.pt.part"
    part.write_bytes(b"half")
    assert store.remove(["model_1.pt"]) == [first]
    assert set(store.remove([CARD.name])) == {second, third, part}
    with pytest.raises(WeightsMissingError, match="Nothing to remove"):
        store.remove(["model_1.pt"])


def test_remove_cannot_leave_the_weights_folder(folder: Path):
    outside = put(folder.parent, 1)
    folder.mkdir()
    with pytest.raises(WeightsMissingError):
        store.remove(["../model_1.pt"])
    assert outside.exists()


def test_a_folder_that_cannot_be_made_says_which_variable_to_set(folder: Path, tmp_path: Path, monkeypatch):
    blocker = tmp_path / "a file"
    blocker.write_text("")
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(blocker / "weights"))
    with pytest.raises(OutputError, match=f"cannot be written.*{cache.FOLDER_VARIABLE}"):
        cache.writable_weights_folder()


def test_a_full_disk_is_noticed_before_the_copy(folder: Path):
    with pytest.raises(OutputError, match="are needed"):
        cache.writable_weights_folder(needed_bytes=10**18)


@pytest.mark.parametrize(
    ("platform", "variable", "tail"),
    [
        ("linux", "XDG_DATA_HOME", "ICHSegmenter/weights"),
        ("win32", "LOCALAPPDATA", "ICHSegmenter/weights"),
        ("darwin", "HOME", "Library/Application Support/ICHSegmenter/weights"),
    ],
)
def test_the_default_folder_belongs_to_the_user_of_each_system(tmp_path: Path, monkeypatch, platform, variable, tail):
    monkeypatch.delenv(cache.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache.weights_folder() == tmp_path / tail


def test_the_bundled_folder_stands_beside_the_library():
    assert cache.bundled_folder().parent.name == "Resources"
    assert (cache.bundled_folder().parents[1] / "ICHSegmenterLib").is_dir()


def test_every_published_file_has_one_name_and_one_digest():
    from ICHSegmenterLib.cards.table import MODEL_CARDS

    files = {file for card in MODEL_CARDS.values() for file in card.weights}
    assert len({file.name for file in files}) == len({file.sha256 for file in files}) == len(files)
    assert all(len(bytes.fromhex(file.sha256)) == 32 and file.size > 1000 and file.license for file in files)


def test_the_released_blast_ct_files_are_known_by_their_digest(folder: Path, monkeypatch: pytest.MonkeyPatch):
    shared = shared_data("data/blast_ct_v1")
    monkeypatch.undo()
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(folder))
    card: ModelCard = get_card("blast-ct")
    assert len(store.import_files(sorted(shared.glob("*.pt")))) == 12
    assert store.find(card) == tuple(folder / file.name for file in card.weights[: card.default_models])
    assert not store.state(card).missing
