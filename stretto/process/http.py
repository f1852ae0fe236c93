"""Health, status and metrics of one process over HTTP: /livez, /readyz, /status, /metrics, a page at /. Nothing here changes anything.

`/readyz?max_lag=5s` asks more: 503 also when there is more lag than that. What the query may not say is answered 400. A page
that cannot be made is answered 500 with a sentence, and told in the log once.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from stretto.process.page import render
from stretto.process.ready import ReadyCollector
from stretto.process.service import Service, Viewed
from stretto_schemas.duration import parse_duration
from stretto_schemas.errors import SettingsError, UsageError

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 10
"""A client that sends nothing is dropped, so that it cannot hold a thread for ever."""

MOST_PARAMETERS = 8
"""In one query; a page takes one."""

TEXT = "text/plain; charset=utf-8"

FAILED = b"this page cannot be made now; the log of this process says why\n"

Answer = tuple[HTTPStatus, str, bytes]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked of a page."""

    accept: str
    """Its Accept header."""
    query: str
    """What stood behind the question mark."""

    def parameter(self, name: str) -> str | None:
        """The one parameter that the page takes. Raises UsageError when there are others, or it comes twice."""
        try:
            given = parse_qs(self.query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
        except ValueError:
            raise UsageError(f"there are more than {MOST_PARAMETERS} parameters", expected=f"{name}, or none") from None
        for other in given.keys() - {name}:
            raise UsageError(f"there is no parameter {other[:40]!a}", expected=f"{name}, or none")
        values = given.get(name, [])
        if len(values) > 1:
            raise UsageError(f"{name} is given {len(values)} times", expected="once")
        return values[0] if values else None


class HealthServer:
    """Serves a service's health in threads of its own while the `with` block runs."""

    def __init__(self, service: Service, host: str, port: int, *, setting: str) -> None:
        """Listen at once, so that a taken port is an error before work begins. `setting` names the port's setting."""
        self._service = service
        pages: dict[str, Callable[[Request], Answer]] = {
            "/": self._index,
            "/livez": self._live,
            "/readyz": self._ready,
            "/status": self._status,
            "/metrics": _metrics,
        }
        if isinstance(service, Viewed):
            pages |= {path: _viewed(view) for path, view in service.pages.items()}

        failures = _Failures()

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            protocol_version = "HTTP/1.1"
            timeout = REQUEST_TIMEOUT_S

            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                page = pages.get(path, _missing)
                try:
                    status, content_type, body = page(Request(self.headers.get("Accept", ""), query))
                except UsageError as error:
                    status, content_type, body = HTTPStatus.BAD_REQUEST, TEXT, f"{error}\n".encode()
                except Exception as error:  # noqa: BLE001 - a client that gets no answer learns nothing
                    failures.tell(path, error)
                    status, content_type, body = HTTPStatus.INTERNAL_SERVER_ERROR, TEXT, FAILED
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
            raise not_listening(host, port, error, setting=setting) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self._readiness = ReadyCollector(service)

    @property
    def port(self) -> int:
        """The port in use; the chosen one where 0 was asked for."""
        return int(self._server.server_address[1])

    def __enter__(self) -> HealthServer:
        REGISTRY.register(self._readiness)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        REGISTRY.unregister(self._readiness)

    def _index(self, _: Request) -> Answer:
        service = self._service
        shown = service.summary() if isinstance(service, Viewed) else service.status()
        page = render(service.name, shown, service.ready())
        return HTTPStatus.OK, "text/html; charset=utf-8", page.encode()

    def _live(self, _: Request) -> Answer:
        return HTTPStatus.OK, TEXT, b"ok\n"

    def _ready(self, request: Request) -> Answer:
        max_lag = request.parameter("max_lag")
        ready, why = self._service.ready(None if max_lag is None else parse_duration("max_lag", max_lag))
        return HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, TEXT, f"{why}\n".encode()

    def _status(self, _: Request) -> Answer:
        body = json.dumps(self._service.status(), ensure_ascii=False, indent=2)
        return HTTPStatus.OK, "application/json", body.encode() + b"\n"


def not_listening(host: str, port: int, error: OSError, *, setting: str) -> SettingsError:
    """The error of a server whose address cannot be had."""
    return SettingsError(
        f"cannot listen on {host}:{port}: {error.strerror or error}",
        expected="a free port of this machine",
        fix=f"set `{setting}` in section [http] to another port, or to 0 for any free one",
    )


class _Failures:
    """Pages that could not be made: each is told once, for whoever asks will ask again every few seconds."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def tell(self, path: str, error: Exception) -> None:
        """A page failed with this."""
        with self._lock:
            first = path not in self._told
            self._told.add(path)
        level = logging.WARNING if first else logging.DEBUG
        log.log(level, "page %s cannot be made: %s: %s", path, type(error).__name__, error)
        log.debug("page %s", path, exc_info=error)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no event; socketserver would print a traceback."""
        log.debug("request %r of %s ended early", request, client_address)


def _metrics(request: Request) -> Answer:
    """Prometheus text, or OpenMetrics where the scraper asks for it."""
    encode, content_type = choose_encoder(request.accept)
    return HTTPStatus.OK, content_type, encode(REGISTRY)


def _viewed(view: Callable[[str], bytes]) -> Callable[[Request], Answer]:
    return lambda request: (HTTPStatus.OK, "application/json", view(request.query))


def _missing(_: Request) -> Answer:
    return HTTPStatus.NOT_FOUND, TEXT, b"no such page; there are /livez /readyz /status /metrics\n"
