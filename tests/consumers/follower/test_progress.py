"""What a follower knows of the source's clock."""

from __future__ import annotations

import time

from stretto_consumers.follower.progress import BROKER_TICK_US, Progress
from stretto_schemas.settings import load

COMMITTED_US = 1_000_000_000_000
"""By the source's clock, which is decades behind ours."""


def monotonic_us() -> int:
    return time.monotonic_ns() // 1000


def test_while_nothing_is_known_of_the_sources_clock_it_shows_nothing_at_least() -> None:
    progress = Progress(load(None, {}))
    assert progress.source_at_least_us == 0
    progress.source_clock.message(COMMITTED_US, COMMITTED_US)
    assert progress.source_at_least_us == 0, "the broker's clock is not known"


def test_without_the_brokers_clock_the_logs_newest_frontier_and_the_time_since_count() -> None:
    progress = Progress(load(None, {}))
    came_us = monotonic_us() - 5_000_000
    progress.log_clock.message(COMMITTED_US, came_us)
    least_us = progress.source_at_least_us
    assert COMMITTED_US + 5_000_000 <= least_us <= COMMITTED_US + monotonic_us() - came_us
    progress.log_clock.message(COMMITTED_US - 3_600_000_000, came_us)  # the same frontier, after an hour on its way
    assert progress.source_at_least_us >= least_us


def test_with_the_brokers_clock_the_way_by_it_counts_and_the_log_is_not_asked() -> None:
    progress = Progress(load(None, {}))
    progress.delay_s = 3.0
    assert progress.asks_log_clock
    now_us = monotonic_us()
    progress.log_clock.message(COMMITTED_US, now_us)
    progress.source_clock.message(COMMITTED_US, COMMITTED_US + 7_000_000)  # the broker's is seven seconds ahead
    progress.broker_clock.exchange(now_us - 2000, COMMITTED_US + 60_000_000, now_us)
    least_us = COMMITTED_US + 53_000_000 - BROKER_TICK_US
    assert least_us <= progress.source_at_least_us <= least_us + monotonic_us() - now_us
    assert not progress.asks_log_clock


def test_without_a_delay_the_log_is_not_asked() -> None:
    assert not Progress(load(None, {})).asks_log_clock
