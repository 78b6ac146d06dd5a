"""The receiver as a whole: takes studies, analyzes what is complete as `batch --watch` does, sends, deletes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from ICHSegmenterLib.batch.engines.engine import Analyze
from ICHSegmenterLib.batch.exam import ExamOutcome
from ICHSegmenterLib.errors import ICHSegmenterError
from ICHSegmenterLib.receive.config import ReceiverConfig
from ICHSegmenterLib.receive.inbox import Inbox
from ICHSegmenterLib.receive.outbox import Outbox
from ICHSegmenterLib.receive.server import Server
from ICHSegmenterLib.receive.watch import Watch, WatchedFolder
from ICHSegmenterLib.request import AnalysisRequest

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks for studies that are complete and results that wait."""


def _silent(text: str) -> None:
    """Say nothing."""


@dataclass
class Receiver:
    """One receiver.

    Attributes:
        config: Of it.
        analyze: Volume to result by `request`.
        request: What is asked of each exam; its outputs are those of the configuration.
        announce: Called with the name of each exam that is begun.
        after: Called with the outcome of each.
        listening: Called with the port when it listens.
    """

    config: ReceiverConfig
    analyze: Analyze
    request: AnalysisRequest
    announce: Callable[[str], None] = _silent
    after: Callable[[ExamOutcome], None] = lambda outcome: None
    listening: Callable[[int], None] = lambda port: None
    _seen: set[str] = field(default_factory=set)

    def run(self, stop: threading.Event) -> dict[str, int]:
        """Serve until `stop` is set; returns how many exams had which status.

        Raises:
            DependencyError: pynetdicom is not installed.
            ReceiverError: The folder or the port cannot be had.
            OutputError: As of a batch.
        """
        config = self.config
        inbox = Inbox(config.folder, config.limits)
        outbox = Outbox(config.folder / "outbox", config.send_to, config.ae_title)
        retention_s = 3600 * config.retention_hours

        def ended(outcome: ExamOutcome) -> None:
            if outcome.status == "done":
                outbox.put(config.output / outcome.exam.name)
            self.after(outcome)

        def looked() -> None:
            """A study is deleted at the second look behind it, when all its exams were analyzed or refused."""
            if not watch.is_waiting:
                inbox.expire(retention_s, self._seen)
            outbox.expire(retention_s)
            self._seen = inbox.ready_studies()

        folder = WatchedFolder(inbox.ready, config.output, quiet_s=0.0)
        watch = Watch(
            folder, config.output, self.analyze, self.request, LOOK_S, self.announce, after=ended, between=looked
        )
        server = Server(config, inbox)
        housekeeping = threading.Thread(target=self._keep_house, args=(inbox, outbox, stop), name="outbox", daemon=True)
        housekeeping.start()
        try:
            self.listening(server.port)
            return watch.run(stop)
        finally:
            stop.set()
            server.close()
            housekeeping.join()

    def _keep_house(self, inbox: Inbox, outbox: Outbox, stop: threading.Event) -> None:
        while not stop.wait(min(LOOK_S, self.config.complete_after_s)):
            try:
                inbox.release(self.config.complete_after_s)
                outbox.flush()
            except (ICHSegmenterError, OSError) as error:
                logger.error("%s", getattr(error, "strerror", None) or error)
            except Exception as error:  # what a peer answers may fail in any way; the next look goes on
                logger.error("unexpected %s", type(error).__name__)
