"""What a process runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable


class Service(Protocol):
    """A loop with a status. `status` and `ready` are called from other threads while `run` runs."""

    name: str
    """The process's word for itself: capture, follower, lag."""

    status: Callable[[], dict[str, object]]
    """JSON-able."""

    def ready(self, max_lag_s: float | None = None) -> tuple[bool, str]:
        """Progress, not mere liveness; with `max_lag_s`, also that there is not more lag than that. The sentence says why."""
        ...

    def run(self, stop: threading.Event) -> None:
        """Return when `stop` is set. Raises StrettoError to end the process with its exit code."""


@runtime_checkable
class Viewed(Protocol):
    """A service with more to show than its status."""

    summary: Callable[[], dict[str, object]]
    """What the page at `/` shows, where /status would be too much for it."""

    pages: Mapping[str, Callable[[str], bytes]]
    """By path: from the query string to JSON. Raises UsageError, which is answered with 400 and its sentence."""
