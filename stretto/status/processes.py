"""What the processes of a pipeline say about themselves, over their HTTP servers."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any

from stretto_schemas.lag.stages import StageLag
from stretto_schemas.settings import Settings

TIMEOUT_S = 2.0

EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  (what a listener is told, not where to listen)
"""An address to listen on is none to connect to."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process's answer. Without one, `said` tells why."""

    name: str
    state: str
    said: str
    lag: dict[str, StageLag] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """For `status -f json`."""
        return {"state": self.state, "said": self.said}


def ask(settings: Settings, name: str) -> Process:
    """Ask the process that the settings' address or port names; never raises."""
    served = settings.http
    port, address = (
        (served.follower_port, served.follower_address)
        if name == "follower"
        else (served.capture_port, served.capture_address)
    )
    host = EVERY_ADDRESS.get(served.host, served.host)
    if address:
        host, _, number = address.rpartition(":")
        host, port = host.strip("[]"), int(number)
    elif port == 0:
        return Process(name, "unknown", "its port is chosen at each start (0 in section [http])")
    try:
        said = _get(host, port)
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = "nothing listens" if isinstance(error, ConnectionRefusedError) else str(error) or type(error).__name__
        return Process(name, "unreachable", f"{why} on {host}:{port}")
    if said.get("process") != name or said.get("source") != settings.source.name:
        return Process(name, "unreachable", f"another process listens on {host}:{port}")
    words = str(said.get("said") or said.get("last_error") or "")
    return Process(name, str(said.get("state", "unknown")), words, _stages(said.get("lag")))


def _get(host: str, port: int) -> dict[str, Any]:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/status")
        answer = connection.getresponse()
        tree = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != http.client.OK or not isinstance(tree, dict):
        raise ValueError(f"HTTP {answer.status} instead of a status")
    return tree


def _stages(lag: object) -> dict[str, StageLag]:
    if not isinstance(lag, dict):
        return {}
    return {stage: StageLag.from_json(value) for stage, value in lag.items()}
