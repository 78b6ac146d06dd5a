"""Names of exams in an output folder: keyed digests, from which nobody without the key gets to a file or a patient.

A plain digest of a file name can be guessed by trying names. The key lies in the user's own folder, not beside the
results, which are shared. It stays until it is deleted; without it a batch cannot go on, and the names mean nothing.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import os
import re
import secrets
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ICHSegmenterLib.batch.exam import Exam
from ICHSegmenterLib.batch.summary import as_cell
from ICHSegmenterLib.cards.folders import user_folder
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.outputs.result_json import DONE_FILE

IDENTITY_FILE = ".ichsegmenter.json"
"""In the output: its id, by which the key is found."""
KEYS_VARIABLE = "ICHSEGMENTER_KEYS"
"""Environment variable that names another folder of keys, for several computers that work for one person."""
KEY_BYTES = 32
DIGITS = 16
"""Of a name: 64 bits, so that a billion exams do not collide."""

_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')


def named_exams(exams: Sequence[Exam], output: Path) -> list[Exam]:
    """Exams with the names of their results in this output, each name once, sorted by it.

    An output that was begun before there were keys keeps names of files, as far as they are safe.

    Raises:
        OutputError: The key cannot be written, or is not on this computer.
    """
    identity = output / IDENTITY_FILE
    if not identity.exists() and any(output.glob(f"*/{DONE_FILE}")):
        return sorted(_safe(exams), key=lambda exam: exam.name)
    key = _key_of(output) if identity.exists() else _new_key(output)
    series = Counter(exam.series_uid for exam in exams)
    named = [
        replace(exam, name=_name(key, exam.path, exam.series_uid, is_alone=series[exam.series_uid] == 1))
        for exam in exams
    ]
    return sorted(named, key=lambda exam: exam.name)


def result_name(output: Path, name: str, path: Path, series_uid: str | None) -> str:
    """Folder name of the results of one exam that a batch wrote to this output, or may write under its own name.

    Args:
        output: Where results lie.
        name: The exam's own name.
        path: File, or one of the files, that it is read from.
        series_uid: Of a DICOM series.

    Raises:
        OutputError: The key is not on this computer.
    """
    if (output / name).is_dir() or not (output / IDENTITY_FILE).exists():
        return name
    return _name(_key_of(output), path, series_uid, is_alone=True)


def write_map(exams: Sequence[Exam], path: Path, output: Path) -> None:
    """A table of names, paths and series UIDs, readable by its owner only.

    Raises:
        OutputError: It would lie among the results, which are shared, or cannot be written.
    """
    if path.resolve().is_relative_to(output.resolve()):
        raise OutputError(f"{path.name} says which exam is whose; name a file outside of the results for --map.")
    with replacing(path) as draft:
        draft.chmod(0o600)
        with draft.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.writer(file)
            writer.writerow(("exam", "path", "series_uid"))
            writer.writerows((exam.name, as_cell(str(exam.path)), exam.series_uid or "") for exam in exams)


def index_folder(output: Path) -> Path:
    """Folder for the index of an output: with the keys, since an index holds paths, which may name patients."""
    return _keys_folder() / f"index-{hashlib.sha256(os.fsencode(output.resolve())).hexdigest()[:DIGITS]}"


def is_safe_name(name: str) -> bool:
    """True for a folder name that every system takes as it is, below the folder that it is put in."""
    if not name or name.strip(" .") != name or _FORBIDDEN.search(name) or _RESERVED.fullmatch(name):
        return False
    return not any("\ud800" <= character <= "\udfff" for character in name)  # bytes of a name that is no UTF-8


def _name(key: bytes, path: Path, series_uid: str | None, *, is_alone: bool) -> str:
    """A series keeps its name when its folder moves, unless copies of it lie in several folders."""
    address = os.fsencode(path.resolve())
    if series_uid is None:
        identity = b"file\0" + address
    else:
        identity = b"series\0" + series_uid.encode("utf-8", "surrogateescape") + (b"" if is_alone else b"\0" + address)
    return "exam-" + hmac.new(key, identity, hashlib.sha256).hexdigest()[:DIGITS]


def _safe(exams: Sequence[Exam]) -> list[Exam]:
    """Names of before; unsafe ones, and those that differ only in their case, get a digest of their path."""
    count = Counter(exam.name.casefold() for exam in exams)
    return [
        exam
        if is_safe_name(exam.name) and count[exam.name.casefold()] == 1
        else replace(exam, name="exam-" + hashlib.sha256(os.fsencode(exam.path.resolve())).hexdigest()[:DIGITS])
        for exam in exams
    ]


def _key_of(output: Path) -> bytes:
    identity = output / IDENTITY_FILE
    try:
        number = str(uuid.UUID(json.loads(identity.read_text(encoding="utf-8"))["id"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise OutputError(
            f"{identity} is damaged: the names in this output have no key. Name another --output."
        ) from error
    path = _keys_folder() / f"{number}.json"
    try:
        return bytes.fromhex(json.loads(path.read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise OutputError(
            f"The key to the names in {output} is not here: {path} cannot be read. Copy it from the computer and user "
            "that began this batch, or name another --output folder."
        ) from error


def _new_key(output: Path) -> bytes:
    """The key is on the disk before the output names it."""
    key, number, folder = secrets.token_bytes(KEY_BYTES), str(uuid.uuid4()), _keys_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder of keys {folder} cannot be made ({error.strerror}). Set {KEYS_VARIABLE} to another folder."
        ) from error
    with replacing(folder / f"{number}.json") as draft:
        draft.chmod(0o600)
        draft.write_text(json.dumps({"key": key.hex(), "output": str(output.resolve())}) + "\n", encoding="utf-8")
    with replacing(output / IDENTITY_FILE) as draft:
        draft.write_text(json.dumps({"id": number}) + "\n", encoding="utf-8")
    return key


def _keys_folder() -> Path:
    named = os.environ.get(KEYS_VARIABLE, "").strip()
    return Path(named).expanduser() if named else user_folder() / "batches"
