"""A monitor that answers what a test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from stretto_schemas.settings import Settings, load


@contextmanager
def answering(pages: dict[str, bytes]) -> Iterator[Settings]:
    """Settings of a monitor that answers this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield load(None, {"STRETTO_HTTP__LAG_ADDRESS": f"127.0.0.1:{server.server_address[1]}"})
        finally:
            server.shutdown()
            thread.join()
