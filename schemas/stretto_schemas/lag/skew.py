"""How far two clocks are apart, from exchanges that bound it: Cristian's algorithm, the best of the last few.

Source: F. Cristian, Probabilistic clock synchronization, Distributed Computing 3 (1989).
"""

from __future__ import annotations

from collections import deque

EXCHANGES = 32
"""Of so many the quickest is believed: one that took long says little. Few enough to follow a clock that is set."""


class ClockOffset:
    """Another clock minus this one. One writer; any thread may read `us`."""

    def __init__(self) -> None:
        self._exchanges: deque[tuple[int, int]] = deque(maxlen=EXCHANGES)
        self.us: int | None = None
        """Microseconds; None before the first exchange."""

    def exchange(self, sent_us: int, other_us: int, received_us: int) -> None:
        """The other clock showed `other_us` at some moment between these two of our clock. Not later than half of the time between."""
        if received_us < sent_us:
            return  # our clock was set back meanwhile
        self._exchanges.append((received_us - sent_us, other_us - (sent_us + received_us) // 2))
        self.us = min(self._exchanges)[1]


class OneWayOffset:
    """Another clock minus this one, from messages that go one way only: the quickest of the last few, as if it took no time.

    Wrong by that message's time, some milliseconds, and towards a clock of ours that is ahead.
    """

    def __init__(self) -> None:
        self._seen: deque[int] = deque(maxlen=EXCHANGES)
        self.us: int | None = None

    def message(self, sent_us: int, received_us: int) -> None:
        """Sent when the other clock showed the one, received when ours showed the other."""
        self._seen.append(sent_us - received_us)
        self.us = max(self._seen)
