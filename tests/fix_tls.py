"""TLS before a PostgreSQL server that was built without it, so that libpq's side of TLS is the real one."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"
CHUNK = 64 * 1024
SSL_REQUEST = bytes.fromhex("0000000804d2162f")


def self_signed(folder: Path, *names: str) -> tuple[Path, Path]:
    """A server's certificate for these names (`IP:127.0.0.1`, `DNS:db1`), signed by itself, and its key: files in PEM."""
    certificate, key = folder / "server.crt", folder / "server.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", f"subjectAltName={','.join(names)}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


class TlsFront:
    """Answers the SSLRequest, ends TLS and passes everything on to `target`. Every method may be called from any thread."""

    def __init__(self, target: int, folder: Path) -> None:
        self._target = target
        self.certificate, key = self_signed(folder, f"IP:{HOST}")
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(self.certificate, key)
        self._open: set[asyncio.StreamWriter] = set()
        self._shut = False
        self.encrypted = 0
        """Sessions that came about under TLS."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tls", daemon=True)
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, HOST, 0), self._loop)
        self._server = starting.result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """End every connection, as a server does that stops, and let no new one in, until `mend`."""
        self._shut = True
        self._loop.call_soon_threadsafe(self._break)

    def mend(self) -> None:
        """Let connections in again."""
        self._shut = False

    def close(self) -> None:
        """End it with all its connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        self._break()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=5)

    def _break(self) -> None:
        for writer in self._open:
            writer.close()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._open.add(to_client)
        try:
            if self._shut:
                return
            assert await client.readexactly(8) == SSL_REQUEST
            to_client.write(b"S")
            await to_client.start_tls(self._context)
            server, to_server = await asyncio.open_connection(HOST, self._target)
            self._open.add(to_server)
            self.encrypted += 1
            try:
                await asyncio.gather(self._pass(client, to_server), self._pass(server, to_client))
            finally:
                self._open.discard(to_server)
                to_server.transport.abort()
        except (OSError, EOFError):
            pass  # a client that did not like the certificate, or an end
        finally:
            self._open.discard(to_client)
            to_client.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK):
            to.write(data)
            await to.drain()
        raise EOFError


@contextmanager
def tls_front(target: int, folder: Path) -> Iterator[TlsFront]:
    """A front that is gone at the end."""
    made = TlsFront(target, folder)
    try:
        yield made
    finally:
        made.close()
