"""How far two clocks are apart, from exchanges that bound it: Cristian's algorithm, the best of the last few.

Our own clock is the monotonic one: nobody sets it, so an offset stays right when the wall clock is set.
Source: F. Cristian, Probabilistic clock synchronization, Distributed Computing 3 (1989).
"""

from __future__ import annotations

from collections import deque
from typing import Final

EXCHANGES: Final = 32
"""Of so many the quickest is believed: one that took long says little. Few enough to follow clocks that drift."""

SET_US: Final = 100_000
"""An exchange that contradicts the best one by more than both their bounds and this: the other clock was set."""


class ClockOffset:
    """Another clock minus this machine's monotonic one. One writer; any thread may read `us`."""

    def __init__(self) -> None:
        self._exchanges: deque[tuple[int, int]] = deque(maxlen=EXCHANGES)
        self.us: int | None = None
        """Microseconds; None before the first exchange."""
        self.least_us: int | None = None
        """It is no less than this, whichever way took how long."""

    def exchange(self, sent_us: int, other_us: int, received_us: int) -> None:
        """The other clock showed `other_us` at some moment between these two of ours: wrong by half the time between at most."""
        took_us, offset_us = received_us - sent_us, other_us - (sent_us + received_us) // 2
        if self._exchanges:
            best_us, believed_us = min(self._exchanges)
            if abs(offset_us - believed_us) > (took_us + best_us) // 2 + SET_US:
                self._exchanges.clear()
        self._exchanges.append((took_us, offset_us))
        quickest_us, self.us = min(self._exchanges)
        self.least_us = self.us - (quickest_us + 1) // 2


class OneWayOffset:
    """One foreign clock minus another, from messages one way: by the quickest of the last few, as if it took no time.

    Too small by the time which that one took. Too large only after the sender's clock was set back, or the receiver's
    forward, until `EXCHANGES` messages have come since.
    """

    def __init__(self) -> None:
        self._seen: deque[int] = deque(maxlen=EXCHANGES)
        self.us: int | None = None
        """The sender's minus the receiver's, microseconds; None before the first message."""

    def message(self, sent_us: int, received_us: int) -> None:
        """Sent when the one clock showed this, received when the other showed that."""
        self._seen.append(sent_us - received_us)
        self.us = max(self._seen)
