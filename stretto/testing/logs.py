"""What containers said during a test, shown when it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from testcontainers.core.container import DockerContainer

TAIL = 200
"""Lines of each container, at most."""

Read = Callable[[float], str]
"""Gives what was said since a time, in seconds since 1970."""

_watched: list[tuple[str, Read]] = []


@contextmanager
def watched(name: str, read: Read) -> Iterator[None]:
    """Until the block ends, failing tests show what `read` gives, under this name."""
    entry = (name, read)
    _watched.append(entry)
    try:
        yield
    finally:
        _watched.remove(entry)


@contextmanager
def running(name: str, container: DockerContainer) -> Iterator[DockerContainer]:
    """Start a container, watch it, and remove it in the end."""

    def read(since: float) -> str:
        said = container.get_wrapped_container().logs(since=since, tail=TAIL)
        return bytes(said).decode(errors="replace")

    with container, watched(f"{name} ({container.image})", read):
        yield container


def since(began: float) -> list[tuple[str, str]]:
    """Name and words of every watched container that said something since a time, or why that could not be had."""
    said = [(name, _read(read, began)) for name, read in _watched]
    return [(name, words) for name, words in said if words.strip()]


def _read(read: Read, began: float) -> str:
    try:
        return read(began)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not hide the test's own failure
        return f"not to be had: {error!r}"
