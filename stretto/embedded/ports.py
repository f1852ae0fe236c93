"""Ports on the loopback address: choosing free ones, and saying who has a taken one."""

from __future__ import annotations

import random
import socket

import psutil

from stretto.embedded.errors import PortTaken

HOST = "127.0.0.1"
_RANGE = (20_000, 32_000)
"""Below the range that Linux (32768+) and others (49152+) give to outgoing connections: a remembered port stays free."""


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        # As servers do: connections of an earlier server that are not quite gone do not count.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError:
            return False
        return True


def choose(but: tuple[int, ...] = ()) -> int:
    """A port on which nobody listens now, none of `but`. Nothing reserves it."""
    for _ in range(1000):
        port = random.randint(*_RANGE)  # noqa: S311 - not a secret
        if port not in but and is_free(port):
            return port
    raise PortTaken(f"no free port found between {_RANGE[0]} and {_RANGE[1]}", fix="name the ports yourself")


def require_free(port: int, name: str) -> None:
    """Raise PortTaken, with the listener's name where the system tells it, when the server `name` could not listen."""
    if not is_free(port):
        raise taken(port, name)


def taken(port: int, name: str) -> PortTaken:
    """The error for a port that `name` wanted."""
    return PortTaken(
        f"port {port} of {HOST}, wanted by {name}, is taken{_listener(port)}",
        expected="a free port",
        fix=f"end that process, or choose another port: stretto up --{name}-port N",
    )


def _listener(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid is None:
                    break
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        pass  # other users' processes are not everybody's to see
    return ""
