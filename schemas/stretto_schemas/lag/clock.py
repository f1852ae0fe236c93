"""When a growing LSN passed a place: seconds for stages that know bytes only."""

from __future__ import annotations

import threading
from collections import deque


class LsnClock:
    """Times at which places of the WAL were reached, in order. Any thread may note and ask.

    Of more than `samples` that are not forgotten yet every second one goes: an age is then a little too small.
    """

    def __init__(self, samples: int = 4096) -> None:
        self._samples: deque[tuple[int, float]] = deque()
        self._most = samples
        self._lock = threading.Lock()

    def note(self, lsn: int, at: float) -> None:
        """The place stood at `lsn` at time `at` (of one clock, seconds). A place that did not move keeps its first time."""
        with self._lock:
            samples = self._samples
            if samples and lsn <= samples[-1][0]:
                return
            if len(samples) >= self._most:
                kept = list(samples)
                self._samples = samples = deque([kept[0], *kept[2::2]])
            samples.append((lsn, at))

    def first_beyond(self, lsn: int) -> float | None:
        """When the first place beyond `lsn` was noted; None when nothing is beyond it. What is not beyond it is forgotten."""
        with self._lock:
            samples = self._samples
            while len(samples) > 1 and samples[0][0] <= lsn:
                samples.popleft()
            if not samples or samples[0][0] <= lsn:
                return None
            return samples[0][1]
