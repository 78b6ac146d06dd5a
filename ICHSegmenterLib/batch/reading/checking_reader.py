"""The reader process of a batch from outside: it also finds brain, noise and faults of the scan that it has read."""

from __future__ import annotations

import logging

from ICHSegmenterLib.errors import DependencyError, VolumeError
from ICHSegmenterLib.preprocessing.checked_scan import CheckedScan
from ICHSegmenterLib.volume.reader.process import ReaderProcess
from ICHSegmenterLib.volume.volume import Volume

CHECK = "check"
BRAIN_FILE = "brain.npy"

logger = logging.getLogger(__name__)


class CheckingReader(ReaderProcess):
    """A reader of exams that checks them while a network works on others."""

    module = "ICHSegmenterLib.batch.reading"

    def checked(self, volume: Volume) -> CheckedScan | None:
        """What is found about the volume that was read last.

        None of a scan that an analysis refuses, and if the process came to its limits: then the analysis itself looks.

        Raises:
            CancelledError: The reader was closed meanwhile.
            OSError: The reader cannot be started.
        """
        try:
            answer = self._ask({"kind": CHECK, "path": ""}, "", volume.hu.nbytes)
        except (VolumeError, DependencyError) as error:
            logger.info("the reader could not check the scan: %s", error)
            return None
        if answer["checked"] is None:
            return None
        return CheckedScan.from_json(answer["checked"], self._values(BRAIN_FILE))
