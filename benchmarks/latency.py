"""Commit to visible: transactions of 10 row changes at a fixed rate, and probe rows that carry their commit's clock.

A probe's transaction sets the row's time as its last statement; the follower is polled every 2 ms, so a figure includes the
leader's commit and 1 ms of polling on average.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg

from benchmarks.backlog import EVENTS, Quiet
from benchmarks.servers import Pair, Process, cpu_seconds, pair, peak_rss_mb, running, servers
from stretto_consumers.follower.bootstrap import add_follower
from stretto_producers.source.init import init

RATES = (2_000, 5_000, 10_000)
ROWS = 10
CONNECTIONS = 4
PROBE_EVERY_S = 0.05
POLL_S = 0.002
SECONDS, WARM_SECONDS = 30.0, 8.0
PROBES = "create table probes (id bigint primary key, at timestamptz not null);"


def measure(repeat: int, scale: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """One result a rate and run; one pipeline a run, warmed up, lowest rate first."""
    with servers() as box:
        for _ in range(repeat):
            with pair(box) as made:
                made.leader(EVENTS + PROBES)
                init(made.settings, lambda _: None)
                add_follower(made.settings, progress=Quiet(), pg_bin=box.leader.bin_dir)
                with running(made, "run", "capture") as capture, running(made, "run", "follower") as follower:
                    _stage(made, RATES[0], WARM_SECONDS * scale, 0)
                    for number, rate in enumerate(RATES, 1):
                        yield f"{rate}/s", _figures(made, rate, SECONDS * scale, number, (capture, follower))


def _figures(made: Pair, rate: int, seconds: float, number: int, both: tuple[Process, Process]) -> dict[str, Any]:
    before = [cpu_seconds(process.pid) for process in both]
    got, offered = _stage(made, rate, seconds, number)
    got.sort()
    after = [cpu_seconds(process.pid) for process in both]
    rows = rate * seconds
    return {
        "rate": rate,
        "offered": offered,
        "p50_ms": statistics.median(got) * 1e3,
        "p99_ms": got[min(len(got) - 1, int(0.99 * len(got)))] * 1e3,
        "max_ms": got[-1] * 1e3,
        "capture_cpu_us_per_row": (after[0] - before[0]) / rows * 1e6,
        "follower_cpu_us_per_row": (after[1] - before[1]) / rows * 1e6,
        "capture_rss_mb": peak_rss_mb(both[0].pid),
        "follower_rss_mb": peak_rss_mb(both[1].pid),
    }


def _stage(made: Pair, rate: int, seconds: float, number: int) -> tuple[list[float], float]:
    """Write at a rate for some seconds; return the latency of each probe in seconds, and the rate that was reached."""
    first, begun = number * 1_000_000, time.monotonic()
    ended: list[float] = []
    writers = [
        threading.Thread(
            target=_write, args=(made.leader_dsn, rate / ROWS / CONNECTIONS, seconds, first + c * 100_000, ended)
        )
        for c in range(CONNECTIONS)
    ]
    count = int(seconds / PROBE_EVERY_S)
    prober = threading.Thread(target=_probe, args=(made.leader_dsn, count, first))
    for thread in (*writers, prober):
        thread.start()
    got = _watch(made.follower_dsn, first, count, seconds + 60)
    for thread in (*writers, prober):
        thread.join()
    if len(got) < count:
        raise RuntimeError(f"only {len(got)} of {count} probes arrived")
    return got, rate * seconds / (max(ended) - begun)


def _paced(rate: float, count: int, act: Callable[[int], object]) -> None:
    """Call `act(i)` at a steady rate, open loop: what is due is done, also when earlier calls were late."""
    start = time.monotonic()
    for i in range(count):
        wait = start + i / rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        act(i)


def _write(dsn: str, transactions_per_s: float, seconds: float, first: int, ended: list[float]) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        count = int(transactions_per_s * seconds)
        _paced(
            transactions_per_s,
            count,
            lambda i: conn.execute("call change_mixed(%s, %s)", (first + i, ROWS), prepare=True),
        )
    ended.append(time.monotonic())


def _probe(dsn: str, count: int, first: int) -> None:
    query = "insert into probes values (%s, clock_timestamp())"
    with psycopg.connect(dsn, autocommit=True) as conn:
        _paced(1 / PROBE_EVERY_S, count, lambda i: conn.execute(query, (first + i,), prepare=True))


def _watch(dsn: str, first: int, count: int, patience_s: float) -> list[float]:
    got: list[float] = []
    at, deadline = first - 1, time.monotonic() + patience_s
    query = "select id, extract(epoch from at)::float8 from probes where id > %s and id < %s order by id"
    with psycopg.connect(dsn, autocommit=True) as conn:
        while len(got) < count and time.monotonic() < deadline:
            rows = conn.execute(query, (at, first + count), prepare=True).fetchall()
            now = time.time()
            if rows:
                at = rows[-1][0]
                got += [now - sent for _, sent in rows]
            time.sleep(POLL_S)
    return got
