"""`stretto web` as a process: a socket, a server in a thread, looks in another."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from stretto.process.foreground import write_port
from stretto.process.http import not_listening
from stretto.process.signals import asked_to_stop, run_in_thread
from stretto.web.site import site
from stretto.web.watching import watching
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

LEAVE_S: Final = 3
"""Browsers that read nothing are left so long after the end was asked for."""

REQUEST_HEAD_BYTES: Final = 16 * 1024


def run_web(settings: Settings, *, port_file: Path | None = None) -> None:
    """Serve the page until SIGTERM or SIGINT. Raises SettingsError when its address cannot be had."""
    http = settings.http
    with asked_to_stop() as stop, listening(http.host, http.web_port) as listener:
        port = listener.getsockname()[1]
        write_port(port_file, port)
        log.info("web: the page is on http://%s:%d", f"[{http.host}]" if ":" in http.host else http.host, port)
        run_in_thread("web", lambda: _run(settings, listener, stop))
    log.info("web: stopped")


def _run(settings: Settings, listener: socket.socket, stop: threading.Event) -> None:
    shown = watching(settings)
    with serving(site(shown, settings.http.host), listener):
        try:
            shown.run(settings, stop)
        finally:
            shown.board.close()


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket, at once, so that a taken port is an error before work begins."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise not_listening(host, port, error, setting="web_port") from None
    with listener:
        yield listener


class _Server(uvicorn.Server):
    """Closes what is left of browsers that would not go; uvicorn leaves their sockets to the garbage collector."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # a transport closes its socket in the loop's next round


@contextmanager
def serving(app: ASGIApp, listener: socket.socket) -> Iterator[None]:
    """Answer HTTP in a thread while the block runs; afterwards no thread and no connection is left."""
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
    server = _Server(
        uvicorn.Config(
            app,
            access_log=False,
            h11_max_incomplete_event_size=REQUEST_HEAD_BYTES,
            http="h11",
            lifespan="off",
            log_config=None,
            loop="asyncio",
            server_header=False,
            timeout_graceful_shutdown=LEAVE_S,
            ws="none",
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
