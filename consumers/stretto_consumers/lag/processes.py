"""What the processes of a pipeline say about themselves, over their HTTP servers."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from stretto_consumers.lag.asking import PATIENCE_S, Question
from stretto_schemas.follower_state import FollowerState
from stretto_schemas.lag.facts import CaptureFacts
from stretto_schemas.lag.view import ProcessView
from stretto_schemas.settings import Settings

T = TypeVar("T")

TIMEOUT_S = 2.0

EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  (what a listener is told, not where to listen)
"""An address to listen on is none to connect to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one process answered. Without an answer, `view` tells why and `status` is empty."""

    view: ProcessView
    status: dict[str, Any] = field(default_factory=dict)


def place(settings: Settings, name: str) -> tuple[str, int] | None:
    """Host and port of process capture, follower or lag by its address in the settings, else by its port; None: not known."""
    served = settings.http
    port, address = {
        "capture": (served.capture_port, served.capture_address),
        "follower": (served.follower_port, served.follower_address),
        "lag": (served.lag_port, served.lag_address),
    }[name]
    if address:
        host, _, number = address.rpartition(":")
        return host.strip("[]"), int(number)
    return (EVERY_ADDRESS.get(served.host, served.host), port) if port else None


def ask(settings: Settings, name: str) -> Question[Answer]:
    """Ask the process that the settings' address or port names; the answer raises nothing."""
    return Question(lambda _: _answer(settings, name), lambda: _no_answer(settings, name))


def _answer(settings: Settings, name: str) -> Answer:
    found = place(settings, name)
    if found is None:
        return Answer(ProcessView(name, "unknown", "its port is chosen at each start (0 in section [http])"))
    host, port = found
    where = f"{host}:{port}"
    try:
        said = _status(host, port)
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = "nothing listens" if isinstance(error, ConnectionRefusedError) else str(error) or type(error).__name__
        return Answer(ProcessView(name, "unreachable", f"{why} on {where}", where))
    if said.get("process") != name or said.get("source") != settings.source.name:
        return Answer(ProcessView(name, "unreachable", f"another process listens on {where}", where))
    words = str(said.get("said") or said.get("last_error") or "")
    return Answer(ProcessView(name, str(said.get("state", "unknown")), words, where), said)


def captured(answer: Answer) -> CaptureFacts | None:
    """What capture's answer says of its places; None when it says nothing that can be used."""
    return _convert(answer.status.get("facts"), CaptureFacts)


def recorded(answer: Answer) -> FollowerState | None:
    """The follower's own record in its answer; None for a stand-by."""
    return _convert(answer.status.get("record"), FollowerState)


def _no_answer(settings: Settings, name: str) -> Answer:
    found = place(settings, name)
    where = f"{found[0]}:{found[1]}" if found is not None else ""
    return Answer(ProcessView(name, "unreachable", f"no answer within {PATIENCE_S:g} s on {where}", where))


def _convert(tree: object, kind: type[T]) -> T | None:
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError:
        return None


def get(host: str, port: int, page: str, timeout_s: float = TIMEOUT_S) -> bytes:
    """A page of a process. Raises OSError, HTTPException, or ValueError for another status than 200."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", page)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ValueError(f"HTTP {answer.status} to {page}")
    return body


def _status(host: str, port: int) -> dict[str, Any]:
    tree = json.loads(get(host, port, "/status"))
    if not isinstance(tree, dict):
        raise ValueError("no status")
    return tree
