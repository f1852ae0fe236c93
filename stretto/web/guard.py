"""What every answer carries, and whom the server answers."""

from __future__ import annotations

import ipaddress

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Guard:
    """Around the application: security headers, and no answer to a name that somebody else made point here.

    A page of a hostile site could have its own name resolved to 127.0.0.1 and then read this server as if it were its own
    (DNS rebinding). So while only this machine is listened to, the Host header must be an address or localhost.
    """

    def __init__(self, app: ASGIApp, *, policy: str, local: bool) -> None:
        self._app = app
        self._local = local
        self._headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": policy,
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        app = self._app
        if self._local and not is_local(Headers(scope=scope).get("host", "")):
            app = PlainTextResponse(
                "this server listens on this machine only, and answers to localhost and to addresses, not to other names\n"
                "fix: call it by its address, let a proxy send `Host: localhost`, or set `host` in section [http]\n",
                status_code=421,
            )
        await app(scope, receive, with_headers)


def is_local(host: str) -> bool:
    """Whether a Host header is an address or localhost, with or without a port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower() == "localhost" or _is_address(name)


def is_loopback(host: str) -> bool:
    """Whether who listens on this host is reached from this machine only."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
