"""A TCP proxy in threads: cuts connections, delays what passes, or lets nobody in. And a port at which all packets are lost."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"
CHUNK = 64 * 1024


class Proxy:
    """Listens on `port` and passes everything on to `target`. Every method may be called at any time.

    With `advertised` it stands before a Kafka broker, whose clients it keeps.
    """

    def __init__(self, target: int, port: int = 0, *, advertised: bool = False) -> None:
        self._target = target
        self._listener = socket.create_server((HOST, port))
        self.port: int = self._listener.getsockname()[1]
        self.passed = 0
        """Bytes passed on, both ways."""
        self.delay_s = 0.0
        """Every chunk of up to 64 kB waits this long."""
        self.alter: Callable[[bytes, bool], bytes] = lambda data, _to_server: data
        """What becomes of a chunk; True for one of a client's."""
        # A broker tells its clients its own address, and they would go there. Host and port stand side by side in its
        # answers, so the port can be replaced in place.
        self._own = HOST.encode() + target.to_bytes(4, "big") if advertised else b""
        self._advertised = HOST.encode() + self.port.to_bytes(4, "big")
        self._closed = threading.Event()
        self._shut = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def cut(self) -> None:
        """Break every connection and refuse new ones, until `mend`."""
        self._shut.set()
        self._break()

    def mend(self) -> None:
        """Let connections in again."""
        self._shut.clear()

    def close(self) -> None:
        """End the proxy with all its connections."""
        self._closed.set()
        self._listener.close()
        self._break()

    def _break(self) -> None:
        with self._lock:
            broken, self._open = self._open, set()
        for each in broken:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._shut.is_set():
                    raise ConnectionRefusedError
                server = socket.create_connection((HOST, self._target), timeout=5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._pass, args=(client, server), name="proxy", daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, (server, b""))
            selector.register(server, selectors.EVENT_READ, (client, self._own))
            with contextlib.suppress(OSError):
                while self._pass_once(selector):
                    pass
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _pass_once(self, selector: selectors.BaseSelector) -> bool:
        for key, _ in selector.select(1.0):
            assert isinstance(key.fileobj, socket.socket)
            data = key.fileobj.recv(CHUNK)
            if not data:
                return False
            if self.delay_s:
                time.sleep(self.delay_s)  # this is the delay itself, not a wait for something
            to, own = key.data
            data = self.alter(data.replace(own, self._advertised) if own else data, to.getpeername()[1] == self._target)
            to.sendall(data)
            self.passed += len(data)
        return True


@contextmanager
def proxy_to(target: int, port: int = 0, *, advertised: bool = False) -> Iterator[Proxy]:
    """A proxy that is gone at the end."""
    made = Proxy(target, port, advertised=advertised)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that answers nobody, not even that it is closed: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((HOST, 0))
        listener.listen(0)
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filling.connect(listener.getsockname())
        yield listener.getsockname()[1]
