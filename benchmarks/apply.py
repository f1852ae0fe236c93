"""Kafka to follower, beside PostgreSQL's own logical replication of the same backlog on the same servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.backlog import EVENTS, Load, backlog, drain_capture, drain_follower, drain_native
from benchmarks.servers import servers


def measure(repeat: int, scale: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """One result a case and run."""
    loads = {
        "insert": Load.events("insert", int(10_000 * scale)),
        "mixed": Load.events("mixed", int(10_000 * scale)),
        "tpcb": Load.pgbench(int(200_000 * scale)),
    }
    with servers() as box:
        for name, load in loads.items():
            for _ in range(repeat):
                with backlog(box, EVENTS, load) as made:
                    drain_capture(made, load)
                    peer = drain_native(box, made, load)
                    mine = drain_follower(made, load)
                yield (
                    name,
                    {
                        "rows_per_s": mine.rows_per_s,
                        "cpu_us_per_row": mine.cpu_us_per_row,
                        "peak_rss_mb": mine.peak_rss_mb,
                        "peer": "native subscription",
                        "peer_rows_per_s": peer.rows_per_s,
                        "ratio": mine.rows_per_s / peer.rows_per_s,
                    },
                )
