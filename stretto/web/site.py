"""The addresses that browsers ask: the page, its data, and health for who supervises. All are read-only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from stretto.web.board import Board, Browser, TooManyBrowsers
from stretto.web.document import page
from stretto.web.guard import Guard, is_loopback
from stretto.web.watching import Watching
from stretto_schemas.lag.view import encode_points

BEAT_S: Final = 5.0
"""Without a look the page hears so often that the server lives; a proxy may close what is silent for longer than some ten."""

JSON: Final = "application/json"


def site(watching: Watching, host: str) -> ASGIApp:
    """The application, to be served on `host`."""
    shown = page()

    async def index(_: Request) -> Response:
        return Response(shown.html, media_type="text/html")

    async def view(_: Request) -> Response:
        newest = watching.board.newest
        return Response(newest, media_type=JSON) if newest else PlainTextResponse("no look yet\n", status_code=503)

    async def events(_: Request) -> Response:
        return Events(watching.board)

    def history(request: Request) -> Response:
        """In a thread of Starlette's, for it looks through an hour."""
        asked = request.query_params
        for name in asked:
            if name not in ("follower", "source"):
                return _wrong(f"there is no parameter {name[:40]!a}")
        if not ("follower" in asked and "source" in asked):
            return _wrong("a follower's name and its source's are needed")
        return Response(encode_points(watching.history(asked["follower"], asked["source"])), media_type=JSON)

    async def live(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        good, why = watching.ready()
        return PlainTextResponse(f"{why}\n", status_code=200 if good else 503)

    routes = {
        "/": index,
        "/view": view,
        "/events": events,
        "/history": history,
        "/livez": live,
        "/readyz": ready,
    }
    app = Starlette(
        routes=[Route(path, answer, methods=["GET"]) for path, answer in routes.items()],
        exception_handlers={404: _missing},
    )
    return Guard(app, policy=shown.policy, local=is_loopback(host))


class Events(StreamingResponse):
    """Server-sent events: `view`, each look as JSON; `beat` when none came for a while."""

    def __init__(self, board: Board) -> None:
        self._board = board
        super().__init__(iter(()), media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the browser goes away or the board closes."""
        try:
            with self._board.watching() as browser:
                self.body_iterator = _events(browser)
                await super().__call__(scope, receive, send)
        except TooManyBrowsers:
            busy = PlainTextResponse("too many browsers watch\n", status_code=503, headers={"Retry-After": "10"})
            await busy(scope, receive, send)


async def _events(browser: Browser) -> AsyncIterator[bytes]:
    yield b": a view with each look\n\n"
    while (look := await browser.next(BEAT_S)) is not None:
        yield b"event: view\ndata: " + look + b"\n\n" if look else b"event: beat\ndata:\n\n"


def _wrong(what: str) -> Response:
    return PlainTextResponse(f"{what}\nexpected: /history?follower=NAME&source=NAME\n", status_code=400)


async def _missing(_: Request, error: Exception) -> Response:
    del error
    return PlainTextResponse("no such page; there are / /view /events /history /livez /readyz\n", status_code=404)
