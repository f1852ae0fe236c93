"""A StatsD listener: a real UDP socket, and what came in read as the protocol says."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from stretto.embedded.processes import wait_until

HEARD_WITHIN_S = 30.0


@dataclass(frozen=True)
class Metric:
    """One line that came in."""

    name: str
    value: float
    kind: str
    tags: dict[str, str] = field(default_factory=dict)


class Listener:
    """Takes datagrams while the `with` block runs. The system holds what came in until `heard` asks."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.datagrams: list[bytes] = []

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def heard(self) -> list[Metric]:
        """Every line that came in so far."""
        while True:
            try:
                self.datagrams.append(self._socket.recv(65536))
            except BlockingIOError:
                return [parse(line) for datagram in self.datagrams for line in datagram.decode().split("\n")]

    def hears(self, name: str, **tags: str) -> list[Metric]:
        """Wait for a metric of this name with these tags; give all of them that came in."""
        found: list[Metric] = []

        def there() -> bool:
            found[:] = [each for each in self.heard() if each.name == name and tags.items() <= each.tags.items()]
            return bool(found)

        assert wait_until(there, HEARD_WITHIN_S), (
            f"no {name} {tags} among {sorted({each.name for each in self.heard()})}"
        )
        return found


def parse(line: str) -> Metric:
    """A line of either flavor. It must be a whole one."""
    metric, _, tags = line.partition("|#")
    name_and_value, _, kind = metric.partition("|")
    name, _, value = name_and_value.rpartition(":")
    assert name, line
    assert kind in ("g", "c"), line
    return Metric(name, float(value), kind, dict(tag.split(":", 1) for tag in tags.split(",")) if tags else {})
