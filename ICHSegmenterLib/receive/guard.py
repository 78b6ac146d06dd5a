"""Guards of the port: who may connect, how many at a time, and how much one may send before it is cut off.

pynetdicom takes what a peer announces: a PDU of 4 GB, an object without end, a byte an hour. Its socket is replaced by
one that does not.
"""

from __future__ import annotations

import socket
import time
from socketserver import BaseServer
from typing import Any

from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

MAX_PDU_BYTES = 1 << 20
"""More than any association request has; data come in pieces of at most `PDU_BYTES`."""
PDU_BYTES = 1 << 16
"""What is negotiated."""
PDU_S = 30.0
"""For one PDU, however slowly it comes."""
SPARE_CONNECTIONS = 4
"""Beyond the associations: those that are being refused."""


class GuardedSocket(AssociationSocket):
    """A connection with an end to what it takes.

    Attributes:
        max_bytes: Between two calls of `object_ended`.
    """

    max_bytes = 0
    _taken = 0

    def object_ended(self) -> None:
        """Count anew: an object was taken."""
        self._taken = 0

    def recv(self, nr_bytes: int) -> bytearray:
        """So many bytes, fewer at the end of the connection.

        Raises:
            OSError: Too much is announced or came, or it takes too long; pynetdicom closes the connection.
        """
        if self.socket is None:
            raise OSError("the connection is closed")
        self._taken += nr_bytes
        if nr_bytes > MAX_PDU_BYTES or self._taken > self.max_bytes:
            raise OSError("more than the receiver takes")
        content, until = bytearray(), time.monotonic() + PDU_S
        while len(content) < nr_bytes:
            left = until - time.monotonic()
            if left <= 0:
                raise OSError("too slow")
            self.socket.settimeout(left)
            piece = self.socket.recv(min(nr_bytes - len(content), 1 << 16))
            if not piece:
                break
            content += piece
        return content


class GuardedHandler(RequestHandler):
    """Gives each association a guarded socket."""

    def _create_association(self) -> Any:
        association = super()._create_association()
        guarded = association.dul.socket
        guarded.__class__ = GuardedSocket  # pynetdicom makes its own and leaves no place for another
        guarded.max_bytes = self.server.max_object_bytes
        return association


class GuardedServer(ThreadedAssociationServer):
    """Connections of known addresses, as many as there may be.

    Attributes:
        hosts: Addresses; any if empty.
        max_connections: At a time.
        max_object_bytes: Of one object with its commands.
    """

    hosts: frozenset[str] = frozenset()
    max_connections = 0
    max_object_bytes = 0

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """False closes the connection before a byte is read."""
        if self.hosts and client_address[0] not in self.hosts:
            return False
        return len(self.active_associations) < self.max_connections

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing is printed: a trace may show what was sent."""

    def close(self) -> None:
        """Take no more, and end what runs."""
        BaseServer.shutdown(self)  # pynetdicom's own also takes it from a list that it is not in
        self.server_close()
        for association in self.active_associations:
            association.abort()


def addresses_of(hosts: set[str]) -> frozenset[str]:
    """The addresses that the names of computers stand for.

    Raises:
        OSError: A name is unknown.
    """
    return frozenset(str(found[4][0]) for host in hosts for found in socket.getaddrinfo(host, None))
