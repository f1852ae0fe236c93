"""Health, status and metrics of one process over HTTP: /livez, /readyz, /status, /metrics, a page at /. Nothing here changes anything."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from stretto.process.page import render
from stretto.process.service import Service, Viewed
from stretto_schemas.errors import SettingsError, UsageError

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 10
"""A client that sends nothing is dropped, so that it cannot hold a thread for ever."""

TEXT = "text/plain; charset=utf-8"

Answer = tuple[HTTPStatus, str, bytes]


class HealthServer:
    """Serves a service's health in threads of its own while the `with` block runs."""

    def __init__(self, service: Service, host: str, port: int, *, setting: str) -> None:
        """Listen at once, so that a taken port is an error before work begins. `setting` names the port's setting."""
        self._service = service
        pages: dict[str, Callable[[str], Answer]] = {
            "/": self._index,
            "/livez": self._live,
            "/readyz": self._ready,
            "/status": self._status,
            "/metrics": _metrics,
        }

        views = service.pages if isinstance(service, Viewed) else {}

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            protocol_version = "HTTP/1.1"
            timeout = REQUEST_TIMEOUT_S

            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                if path in views:
                    status, content_type, body = _viewed(views[path], query)
                else:
                    status, content_type, body = pages.get(path, _missing)(self.headers.get("Accept", ""))
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815  (the name is http.server's)

            def log_message(self, form: str, *args: object) -> None:
                """http.server's own access log, to where all lines go."""
                log.debug(form, *args)

        try:
            self._server = _Server((host, port), Handler)
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {host}:{port}: {error.strerror or error}",
                expected="a free port of this machine",
                fix=f"set `{setting}` in section [http] to another port, or to 0 for any free one",
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port in use; the chosen one where 0 was asked for."""
        return int(self._server.server_address[1])

    def __enter__(self) -> HealthServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _index(self, _: str) -> Answer:
        service = self._service
        shown = service.summary() if isinstance(service, Viewed) else service.status()
        page = render(service.name, shown, service.ready())
        return HTTPStatus.OK, "text/html; charset=utf-8", page.encode()

    def _live(self, _: str) -> Answer:
        return HTTPStatus.OK, TEXT, b"ok\n"

    def _ready(self, _: str) -> Answer:
        ready, why = self._service.ready()
        return HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, TEXT, f"{why}\n".encode()

    def _status(self, _: str) -> Answer:
        body = json.dumps(self._service.status(), ensure_ascii=False, indent=2)
        return HTTPStatus.OK, "application/json", body.encode() + b"\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no event; socketserver would print a traceback."""
        log.debug("request %r of %s ended early", request, client_address)


def _metrics(accept: str) -> Answer:
    """Prometheus text, or OpenMetrics where the scraper asks for it."""
    encode, content_type = choose_encoder(accept)
    return HTTPStatus.OK, content_type, encode(REGISTRY)


def _viewed(view: Callable[[str], bytes], query: str) -> Answer:
    try:
        return HTTPStatus.OK, "application/json", view(query)
    except UsageError as error:
        return HTTPStatus.BAD_REQUEST, TEXT, f"{error}\n".encode()


def _missing(_: str) -> Answer:
    return HTTPStatus.NOT_FOUND, TEXT, b"no such page; there are /livez /readyz /status /metrics\n"
