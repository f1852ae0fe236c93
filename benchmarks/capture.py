"""Slot to committed in Kafka, beside pg_recvlogical writing to /dev/null, on one backlog per run.

A broker that has just started still compiles its own code, on the two cores that are measured: it takes 5 us a row then,
3 later. So one backlog goes through it before those that count.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.backlog import EVENTS, Load, backlog, drain_capture, drain_recvlogical
from benchmarks.servers import servers


def measure(repeat: int, scale: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """One result a case and run."""
    with servers() as box:
        warm_up = Load.events("insert", int(10_000 * scale))
        with backlog(box, EVENTS, warm_up) as made:
            drain_capture(made, warm_up)
        for kind in ("insert", "mixed"):
            load = Load.events(kind, int(10_000 * scale))
            for _ in range(repeat):
                with backlog(box, EVENTS, load) as made:
                    peer = drain_recvlogical(box, made, load)
                    mine = drain_capture(made, load)
                yield (
                    kind,
                    {
                        "rows_per_s": mine.rows_per_s,
                        "cpu_us_per_row": mine.cpu_us_per_row,
                        "peak_rss_mb": mine.peak_rss_mb,
                        "peer": "pg_recvlogical",
                        "peer_rows_per_s": peer.rows_per_s,
                        "ratio": mine.rows_per_s / peer.rows_per_s,
                    },
                )
