"""When a growing LSN was first seen to have passed a place: seconds for stages that know bytes only."""

from __future__ import annotations

from collections import deque


class LsnClock:
    """When a growing LSN was first seen to have passed a place: seconds for stages that know bytes only."""

    def __init__(self, samples: int = 4096) -> None:
        """Of more than so many samples every second one goes: an age may then be a little too small."""
        self._samples: deque[tuple[int, float]] = deque()
        self._most = samples

    def note(self, lsn: int, now: float) -> None:
        """The place stands at `lsn` at time `now` (any monotonic clock, seconds)."""
        if not self._samples or lsn > self._samples[-1][0]:
            if len(self._samples) >= self._most:
                kept = list(self._samples)
                self._samples = deque([kept[0], *kept[2::2]])
            self._samples.append((lsn, now))

    def age(self, lsn: int, now: float) -> float:
        """Seconds since something beyond `lsn` was first seen; 0 when nothing is beyond it."""
        samples = self._samples
        while len(samples) > 1 and samples[0][0] <= lsn:
            samples.popleft()
        if not samples or samples[0][0] <= lsn:
            return 0.0
        return now - samples[0][1]
