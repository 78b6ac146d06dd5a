"""Results that go to named peers: kept on the disk until they are taken, tried again, given up after a time."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

import pydicom
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ICHSegmenterLib.errors import DependencyError, ReceiverError
from ICHSegmenterLib.outputs.table import OUTPUTS
from ICHSegmenterLib.receive.config import Destination
from ICHSegmenterLib.receive.inbox import SUFFIX, make_private

logger = logging.getLogger(__name__)

RETRY_S = 60.0
"""Between two attempts at a destination that did not answer."""
ANSWER_S = 30.0
MAX_AT_ONCE = 50
"""Objects of one association."""


class Outbox:
    """The folder of what is to be sent, one below it for each destination.

    Args:
        folder: Made if absent, for its owner only.
        destinations: From the configuration; what waits for others is left until its time is over.
        ae_title: Of the receiver.
    """

    def __init__(self, folder: Path, destinations: Sequence[Destination], ae_title: str) -> None:
        self._folder, self._ae_title = folder, ae_title
        self._destinations = {destination: folder / _name(destination) for destination in destinations}
        self._not_before = dict.fromkeys(destinations, 0.0)
        self._refused: set[Path] = set()  # tried after the others, which are not to wait for them
        for path in (folder, *self._destinations.values()):
            make_private(path)

    def put(self, results: Path) -> int:
        """Keep copies of an exam's results for their destinations; returns how many.

        Args:
            results: Folder of the exam; an output that it does not have, as there was nothing to outline, is left out.
        """
        copies = 0
        for destination, folder in self._destinations.items():
            for file in (results / name for output in destination.outputs for name in OUTPUTS[output].files):
                if file.is_file():
                    draft = folder / f".{uuid.uuid4().hex}"
                    shutil.copyfile(file, draft)
                    draft.chmod(0o600)
                    draft.rename(draft.with_name(draft.name[1:] + SUFFIX))
                    copies += 1
        return copies

    def flush(self) -> int:
        """Send what waits; returns how many objects were taken. A destination that fails is tried again later."""
        sent = 0
        for destination, folder in self._destinations.items():
            waiting = sorted(folder.glob(f"*{SUFFIX}"), key=lambda file: (file in self._refused, file.stat().st_mtime))
            files = waiting[:MAX_AT_ONCE]
            if not files or time.monotonic() < self._not_before[destination]:
                continue
            try:
                for file in send(files, destination, self._ae_title):
                    file.unlink()
                    sent += 1
            except ReceiverError as error:
                self._not_before[destination] = time.monotonic() + RETRY_S
                self._refused.update(file for file in files if file.exists())
                logger.warning("%s", error)
        return sent

    def expire(self, older_than_s: float) -> int:
        """Delete what nobody took in time; returns how many objects."""
        old = [file for file in self._folder.glob("*/*") if time.time() - file.stat().st_mtime > older_than_s]
        for file in old:
            file.unlink(missing_ok=True)
        if old:
            logger.warning("%d results were given up: no destination took them in time", len(old))
        return len(old)


def send(files: Iterable[Path], destination: Destination, ae_title: str) -> Iterable[Path]:
    """Send DICOM files in one association; yields each that was taken.

    Raises:
        ReceiverError: The destination does not answer, refuses the kind of object, or did not take one.
    """
    try:
        from pynetdicom import AE
    except ImportError as error:
        raise DependencyError("Sending needs pynetdicom: pip install 'ichsegmenter[receive]'") from error
    files = list(files)
    where = f"{destination.ae_title} at {destination.host}, port {destination.port},"
    entity = AE(ae_title=ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = ANSWER_S
    for sop_class in sorted({_sop_class(file) for file in files}):
        entity.add_requested_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    association = entity.associate(destination.host, destination.port, ae_title=destination.ae_title)
    if not association.is_established:
        raise ReceiverError(f"{where} does not answer, or refuses {ae_title}. Results wait for it.")
    refused = ""
    try:
        for file in files:
            try:
                status = association.send_c_store(file)
            except ValueError as error:  # none of those behind it is to wait for it
                refused = f"{where} takes no such object ({type(error).__name__})."
                continue
            except RuntimeError as error:
                raise ReceiverError(f"{where} ended the association. Results wait for it.") from error
            code = status.get("Status")
            if code is None or not (code == 0 or 0xB000 <= code <= 0xBFFF):  # warnings are taken
                answer = "nothing" if code is None else f"{code:#06x}"
                refused = f"{where} answered {answer} to a result. It is sent again."
                continue
            yield file
        if refused:
            raise ReceiverError(refused)
    finally:
        if association.is_established:
            association.release()


def _sop_class(file: Path) -> str:
    return str(pydicom.dcmread(file, specific_tags=["SOPClassUID"], stop_before_pixels=True).SOPClassUID)


def _name(destination: Destination) -> str:
    """A title may hold signs that are none of a file name."""
    identity = f"{destination.ae_title}\0{destination.host}\0{destination.port}"
    return hashlib.sha256(identity.encode()).hexdigest()[:16]
