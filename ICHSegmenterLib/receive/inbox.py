"""Received studies on the disk: written whole or not at all, for their owner only, deleted after their time.

Below the folder: `incoming/` holds studies that may still grow, `ready/` those that are complete, a folder each. Names
are keyed digests: nothing of a patient stands in a path. The key lies beside them and never leaves the folder.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from ICHSegmenterLib.errors import OutputError, ReceiverError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.receive.config import IntakeLimits

logger = logging.getLogger(__name__)

KEY_FILE, KEY_BYTES = "names.key", 32
DIGITS = 24
SUFFIX = ".dcm"


class FullError(ReceiverError):
    """More came than the limits allow."""


@dataclass
class _Study:
    """A study that may still grow; `last` is the monotonic time of its last instance."""

    instances: int
    bytes: int
    last: float


class Inbox:
    """The folder; safe for several threads.

    Args:
        folder: Made if absent, then for its owner only.
        limits: What is taken.

    Raises:
        ReceiverError: The folder cannot be made, or belongs to someone else.
    """

    def __init__(self, folder: Path, limits: IntakeLimits) -> None:
        self._limits, self._lock = limits, threading.Lock()
        self.incoming, self.ready = folder / "incoming", folder / "ready"
        for path in (folder, self.incoming, self.ready):
            make_private(path)
        self._key = _key_in(folder)
        for draft in self.incoming.glob("*/.*"):  # of a process that was killed
            draft.unlink(missing_ok=True)
        now = time.monotonic()
        self._studies = {path.name: _Study(*size_of(path), now) for path in self.incoming.iterdir() if path.is_dir()}
        self._ready_bytes = sum(size_of(path)[1] for path in self.ready.iterdir())

    def store(self, study_uid: str, instance_uid: str, content: bytes) -> None:
        """Keep an instance; a second copy takes the place of the first.

        Args:
            study_uid, instance_uid: Of the DICOM object.
            content: The whole file.

        Raises:
            FullError: A limit is reached.
            OutputError: The disk is full, or has gone.
        """
        name = self._name(study_uid)
        path = self.incoming / name / (self._name(instance_uid) + SUFFIX)
        with self._lock:
            study = self._studies.get(name) or _Study(0, 0, 0.0)
            self._check_limits(study, len(content))
            make_private(path.parent)
            before = path.stat().st_size if path.exists() else None
            with replacing(path) as draft:
                draft.chmod(0o600)
                draft.write_bytes(content)
            study.instances += before is None
            study.bytes += len(content) - (before or 0)
            study.last = time.monotonic()
            self._studies[name] = study

    def release(self, idle_s: float) -> int:
        """Move the studies to `ready/` that nothing came for in so many seconds; returns how many."""
        now, released = time.monotonic(), 0
        with self._lock:
            for name in [name for name, study in self._studies.items() if now - study.last >= idle_s]:
                study = self._studies.pop(name)
                _move(self.incoming / name, self.ready / name)
                self._ready_bytes += study.bytes
                released += 1
                logger.info("a study of %d instances is complete", study.instances)
        return released

    def expire(self, older_than_s: float, studies: set[str]) -> int:
        """Delete those of the named studies in `ready/` whose last instance is older; returns how many."""
        expired = 0
        for path in [path for path in self.ready.iterdir() if path.name in studies]:
            youngest = max((file.stat().st_mtime for file in path.iterdir()), default=0.0)
            if time.time() - youngest > older_than_s:
                _, size = size_of(path)
                shutil.rmtree(path)
                with self._lock:
                    self._ready_bytes -= size
                expired += 1
        if expired:
            logger.info("%d studies were deleted after their time", expired)
        return expired

    def ready_studies(self) -> set[str]:
        """Names of the studies that are complete."""
        return {path.name for path in self.ready.iterdir()}

    def _check_limits(self, study: _Study, size: int) -> None:
        limits = self._limits
        if study.instances >= limits.study_instances:
            raise FullError(f"A study has more than {limits.study_instances} instances (limits.study_instances).")
        if study.bytes + size > limits.study_mb * 1e6:
            raise FullError(f"A study has more than {limits.study_mb} MB (limits.study_mb).")
        kept = self._ready_bytes + sum(other.bytes for other in self._studies.values())
        if kept + size > limits.folder_gb * 1e9:
            raise FullError(f"The folder of received studies holds {limits.folder_gb} GB (limits.folder_gb).")

    def _name(self, uid: str) -> str:
        return hmac.new(self._key, uid.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:DIGITS]


def make_private(folder: Path) -> None:
    """A folder that only its owner may enter.

    Raises:
        ReceiverError: It cannot be made, or belongs to someone else.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix":
            if folder.stat().st_uid != os.getuid():
                raise ReceiverError(f"{folder} belongs to another user; name a folder of your own.")
            folder.chmod(0o700)
    except OSError as error:
        raise ReceiverError(f"{folder} cannot be made ({error.strerror}). Name another folder.") from error


def size_of(folder: Path) -> tuple[int, int]:
    """Number and bytes of the files in a folder."""
    sizes = [file.stat().st_size for file in folder.iterdir() if file.is_file()]
    return len(sizes), sum(sizes)


def _move(study: Path, target: Path) -> None:
    """A complete study, or the rest of one that was taken for complete too early."""
    if not target.exists():
        study.rename(target)
        return
    for file in study.iterdir():
        file.replace(target / file.name)
    study.rmdir()


def _key_in(folder: Path) -> bytes:
    path = folder / KEY_FILE
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = b""
    except OSError as error:
        raise ReceiverError(f"{path} cannot be read ({error.strerror}). Check the rights.") from error
    if len(key) == KEY_BYTES:
        return key
    key = secrets.token_bytes(KEY_BYTES)
    try:
        with replacing(path) as draft:
            draft.chmod(0o600)
            draft.write_bytes(key)
    except OutputError as error:
        raise ReceiverError(str(error)) from error
    return key
