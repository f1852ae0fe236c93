"""What may be shown now: of a follower that is paused nothing new, of one with a delay nothing younger than that.

The rules, numbered as in the code:

1. Paused: no batch is begun. The one that is being applied is committed first.
2. A transaction is shown no earlier than its commit plus the delay, by what the source's clock shows at least. While
   nothing is known of that clock, none is shown.
3. The delay in `stretto.control` wins over `apply_delay_s` of the settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from stretto_connectors.postgres.control import NOTHING_WANTED, Control
from stretto_schemas.frontier import Transaction

LOOK_S: Final = 0.5
"""Between two looks: each takes less than a millisecond, and nobody waits longer for what was ordered."""


class Gate:
    """The thread that applies looks; the one that reads asks, too."""

    def __init__(
        self,
        read: Callable[[], Control] = lambda: NOTHING_WANTED,
        setting_delay_s: float = 0.0,
        source_us: Callable[[], int] = lambda: 0,
    ) -> None:
        """`read` gives what is wanted; `source_us` what the source's clock shows at least, in microseconds; 0: not known."""
        self._read = read
        self._setting_delay_s = setting_delay_s
        self._source_us = source_us
        self._looked_at = -LOOK_S
        self.control = NOTHING_WANTED
        """What was wanted at the last look."""
        self.holding = False
        """True while the reading thread has something whole that waits for nothing but the delay."""

    def look(self) -> bool:
        """Look again, unless that was just done; True when something else is wanted than before. Raises what reading raises."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_S:
            return False
        before, self.control = self.control, self._read()
        self._looked_at = now
        return self.control != before

    @property
    def paused(self) -> bool:
        """Rule 1."""
        return self.control.paused

    @property
    def delay_s(self) -> float:
        """Rule 3."""
        ordered_s = self.control.apply_delay_s
        return self._setting_delay_s if ordered_s is None else ordered_s

    @property
    def until_us(self) -> int | None:
        """Rule 2: what was committed later is not shown yet; None: all is."""
        delay_s = self.delay_s
        return self._source_us() - round(delay_s * 1e6) if delay_s else None

    def wait_s(self, transactions: list[Transaction]) -> float:
        """Rule 2: how long until all of them may be shown; 0: now."""
        until_us = self.until_us
        if until_us is None or not transactions:
            return 0.0
        return max(0.0, (max(each.commit_ts_us for each in transactions) - until_us) / 1e6)
