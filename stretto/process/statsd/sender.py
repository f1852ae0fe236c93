"""Datagrams to a listener that may be there or not. Nothing that happens here is an error of the process."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterable

log = logging.getLogger(__name__)

LOOK_UP_AGAIN_S = 60.0
"""A listener may have moved to another address under its name, and what is sent by UDP to the old one is lost in silence."""

TIMEOUT_S = 1.0
GOOD_ROUNDS = 2
"""That nobody listens is told at the send after the one that was refused, so one good round says nothing."""


class Sender:
    """Sends by UDP, IPv4 or IPv6. One thread.

    Where a name has several addresses each is tried in turn. Trouble is said once, and once more when it is over.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._socket: socket.socket | None = None
        self._looked_up_at = 0.0
        self._turn = 0
        self._trouble = ""
        self._good = 0

    def send(self, datagrams: Iterable[bytes]) -> bool:
        """Send them all; False when one could not be sent, and then those before it may be lost as well."""
        try:
            connected = self._connected()
            for datagram in datagrams:
                connected.send(datagram)
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that cannot be one
            self.close()
            self._turn += 1
            self._failed(getattr(error, "strerror", None) or str(error))
            return False
        self._succeeded()
        return True

    def close(self) -> None:
        """Give the socket back; the next `send` makes another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        """Connected, for only then does the system say that nobody listens."""
        if self._socket is not None and time.monotonic() - self._looked_up_at < LOOK_UP_AGAIN_S:
            return self._socket
        self.close()
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[self._turn % len(found)]
        made = socket.socket(family, kind, protocol)
        made.settimeout(TIMEOUT_S)
        try:
            made.connect(address)
        except OSError:
            made.close()
            raise
        self._socket, self._looked_up_at = made, time.monotonic()
        return made

    def _failed(self, why: str) -> None:
        self._good = 0
        if not self._trouble:
            log.warning("StatsD at %s takes no metrics (%s); it is tried again and again", self._where, why)
        self._trouble = why

    def _succeeded(self) -> None:
        self._good += 1
        if self._trouble and self._good >= GOOD_ROUNDS:
            log.info("StatsD at %s takes metrics again", self._where)
            self._trouble = ""
