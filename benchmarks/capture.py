"""Slot to committed in Kafka, beside pg_recvlogical writing to /dev/null, on one backlog per run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.backlog import EVENTS, Load, backlog, drain_capture, drain_recvlogical
from benchmarks.servers import servers


def measure(repeat: int, scale: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """One result a case and run."""
    with servers() as box:
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
