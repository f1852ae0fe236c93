"""One transaction of 1,000,000 rows: peak memory of capture and of the follower, and how long each took."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.backlog import EVENTS, Load, backlog, drain_capture, drain_follower
from benchmarks.servers import servers


def measure(repeat: int, scale: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """One result a process and run."""
    load = Load.one_transaction(int(1_000_000 * scale))
    with servers() as box:
        for _ in range(repeat):
            with backlog(box, EVENTS, load) as made:
                for name, mine in (("capture", drain_capture(made, load)), ("follower", drain_follower(made, load))):
                    yield (
                        name,
                        {
                            "rows_per_s": mine.rows_per_s,
                            "cpu_us_per_row": mine.cpu_us_per_row,
                            "peak_rss_mb": mine.peak_rss_mb,
                        },
                    )
