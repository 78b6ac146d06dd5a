"""The port: CT images of named peers are taken, checked and kept; nothing else is answered but an echo."""

from __future__ import annotations

import io
import logging
import threading
import warnings
from typing import Any

from pydicom.filereader import read_partial
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)

from ICHSegmenterLib.errors import DependencyError, OutputError, ReceiverError
from ICHSegmenterLib.receive.config import ReceiverConfig
from ICHSegmenterLib.receive.inbox import FullError, Inbox

logger = logging.getLogger(__name__)

SUCCESS, NOT_AUTHORIZED, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0x0124, 0xA700, 0xC000
"""Statuses of C-STORE (PS3.4, Annex B.2.3)."""
STORAGE_CLASSES = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
TRANSFER_SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEGLosslessSV1,
    JPEGLossless,
    JPEGLSLossless,
    JPEG2000Lossless,
    RLELossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
)
"""All that is read, but the deflated one: a small object of it may become a large one."""
VERIFICATION = "1.2.840.10008.1.1"
STUDY_INSTANCE_UID = 0x0020000D
GREETING_S = 10.0
"""For the request of an association after the connection, and for the end of one that was refused."""
_COMMAND_BYTES = 1 << 20
MAX_UID = 64

MISSING = "The receiver needs pynetdicom: pip install 'ichsegmenter[receive]'"


class Server:
    """A storage service that listens until it is closed.

    Args:
        config: Where, for whom, and how much.
        inbox: Where images go.

    Raises:
        DependencyError: pynetdicom is not installed.
        ReceiverError: The port is taken, or the address is not this computer's.
    """

    def __init__(self, config: ReceiverConfig, inbox: Inbox) -> None:
        self._config, self._inbox = config, inbox
        try:
            from pynetdicom import AE, _config, evt  # optional

            from ICHSegmenterLib.receive.guard import (
                PDU_BYTES,
                SPARE_CONNECTIONS,
                GuardedHandler,
                GuardedServer,
                addresses_of,
            )
        except ImportError as error:
            raise DependencyError(MISSING) from error
        silence()
        _config.LOG_HANDLER_LEVEL = "none"
        entity = AE(ae_title=config.ae_title)
        entity.require_called_aet = True
        entity.require_calling_aet = [peer.ae_title for peer in config.peers]
        entity.maximum_associations = config.limits.associations
        entity.maximum_pdu_size = PDU_BYTES
        entity.acse_timeout = GREETING_S
        entity.add_supported_context(VERIFICATION)
        for storage_class in STORAGE_CLASSES:
            entity.add_supported_context(storage_class, list(TRANSFER_SYNTAXES))
        handlers = [(evt.EVT_C_STORE, self._store)]
        try:
            self._addresses = {
                (peer.ae_title, address)
                for peer in config.peers
                for address in (addresses_of({peer.host}) if peer.host else ("",))
            }
            self._server = entity.make_server(
                (config.host, config.port),
                evt_handlers=handlers,
                server_class=GuardedServer,
                request_handler=GuardedHandler,
            )
        except OSError as error:
            raise ReceiverError(
                f"The receiver cannot listen on {config.host}, port {config.port} ({error.strerror or error}). Choose "
                "another port, or end the program that has it."
            ) from error
        hosts = {address for _, address in self._addresses}
        self._server.hosts = frozenset() if "" in hosts else frozenset(hosts)
        self._server.max_connections = config.limits.associations + SPARE_CONNECTIONS
        self._server.max_object_bytes = int(config.limits.object_mb * 1e6) + _COMMAND_BYTES
        self._thread = threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Take no more; what is being sent is cut off, and its sender knows."""
        self._server.close()
        self._thread.join()

    def _store(self, event: Any) -> int:
        """Take one object; returns its status."""
        event.assoc.dul.socket.object_ended()
        requestor = event.assoc.requestor
        titles = {(requestor.ae_title, requestor.address), (requestor.ae_title, "")}
        if self._addresses.isdisjoint(titles):
            return NOT_AUTHORIZED
        try:
            content = event.encoded_dataset()
            study, instance = study_uid_of(content), str(event.request.AffectedSOPInstanceUID)
            self._inbox.store(study, instance, content)
        except FullError as error:
            logger.warning("an image was refused: %s", error)
            return OUT_OF_RESOURCES
        except OutputError as error:
            logger.error("an image could not be kept: %s", error)
            return OUT_OF_RESOURCES
        except Exception as error:  # what was sent may fail in any way; its text might show it
            logger.warning("an image was refused: %s", type(error).__name__)
            return CANNOT_UNDERSTAND
        return SUCCESS


def study_uid_of(content: bytes) -> str:
    """StudyInstanceUID of a DICOM file; nothing behind it is read.

    Raises:
        ValueError: There is none.
    """
    header = read_partial(
        io.BytesIO(content), lambda tag, vr, length: tag > STUDY_INSTANCE_UID, specific_tags=[STUDY_INSTANCE_UID]
    )
    uid = str(header.get("StudyInstanceUID", ""))
    if not 0 < len(uid) <= MAX_UID:
        raise ValueError("no StudyInstanceUID")
    return uid


def silence() -> None:
    """No library logs what was sent, or warns with its values."""
    for library in ("pynetdicom", "pydicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    warnings.simplefilter("ignore")
