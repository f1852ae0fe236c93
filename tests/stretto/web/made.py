"""A pipeline that a test makes up: what the page shows of it is known to the last figure."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stretto.web.serve import listening, serving
from stretto.web.site import site
from stretto.web.watching import Watching
from stretto_consumers.lag.past import Past
from stretto_consumers.lag.shown_alerts import ShownAlerts
from stretto_schemas.follower_state import Quantiles, TableCopy
from stretto_schemas.lag.stages import StageLag
from stretto_schemas.lag.view import (
    Alert,
    FollowerView,
    PipelineView,
    Point,
    ProblemView,
    ProcessView,
    SlotView,
    SourceView,
)

MB = 1024 * 1024


def stages(wal: float = 0.0, capture: float = 0.0, log: float = 0.0, apply: float = 0.0) -> dict[str, StageLag | None]:
    """Seconds, with bytes and records to match."""
    parts = {"wal": wal, "capture": capture, "log": log, "apply": apply}
    found: dict[str, StageLag | None] = {
        stage: StageLag(round(s * 40_000), round(s * 300), s, counted=stage != "wal") for stage, s in parts.items()
    }
    total = sum(parts.values())
    found["total"] = StageLag(round(total * 40_000), round(total * 300), total)
    return found


def follower(
    name: str, status: str = "OK", reason: str = "nothing waits", likely: str = "", **seconds: float
) -> FollowerView:
    """One that has been running for long."""
    lag = stages(**seconds)
    total = lag["total"]
    assert total is not None
    return FollowerView(
        name=name,
        source="shop",
        state="running",
        status=status,
        rule=7,
        reason=reason,
        stage=max(("wal", "capture", "log", "apply"), key=lambda stage: (lag[stage] or total).seconds),
        likely=likely,
        lag=lag,
        slope=0.0 if total.seconds < 1 else 0.8,
        rows_per_s=1240.0,
        bytes_per_s=310_000.0,
        visible={
            "minute": Quantiles(2_900, 0.011, 0.024, 0.041, 0.3),
            "hour": Quantiles(171_000, 0.012, 0.031, 0.094, 2.1),
            "day": Quantiles(3_800_000, 0.012, 0.029, 0.082, 12.4),
        },
        end_lsn=0x3A_4F00_1A28,
        commit_ts_us=time.time_ns() // 1000 - round(total.seconds * 1e6),
        transactions=18_231_044,
        rows=91_722_310,
        heard_s=0.7,
        skew_s=0.0,
        address="127.0.0.1:9189",
    )


def pipeline(followers: list[FollowerView], **changed: object) -> PipelineView:
    """A look at a leader that is well."""
    slot = SlotView("stretto_shop", True, 0x3A_4F00_0000, 48 * MB, "reserved")
    source = SourceView(
        name="shop",
        wal_lsn=0x3A_4F20_0000,
        slot=slot,
        frontier_lsn=0x3A_4F00_1A28,
        frontier_sequence=812_340,
        frontier_commit_us=time.time_ns() // 1000,
        capture=ProcessView("capture", "running", "", "127.0.0.1:9188"),
        safe_wal_bytes=976 * MB,
        lag={"wal": StageLag(2_000, 0, 0.05, counted=False), "capture": StageLag(1_000, 12, 0.02)},
        bytes_per_s=310_000.0,
    )
    view = PipelineView(at_us=time.time_ns() // 1000, prefix="shop", sources=[source], followers=followers)
    for name, value in changed.items():
        setattr(view, name, value)
    return view


BLOCKED = (
    "pid 4711 (nightly report) holds a lock on public.orders that it waits for; end that transaction, or wait for it"
)


def busy() -> PipelineView:
    """Much at once: one that stalls, one in copy, one that is paused, a broker that answers slowly."""
    stalled = follower(
        "warehouse",
        "STALLED",
        "42 s behind (1.6 MB of WAL, 12,600 records), most of it in apply (read, not committed); its place has been the same for 42 s",
        BLOCKED,
        log=3.1,
        apply=38.9,
        wal=0.05,
        capture=0.02,
    )
    stalled.budget_s, stalled.over_budget, stalled.catch_up_s = 10.0, True, None
    stalled.waiting_transactions, stalled.staged_rows = 310, 12_600
    paused = follower(
        "reporting", "STOPPED", "it is paused; 4 min behind", "it was paused (month end); `stretto follower resume` lets it go on",
        log=240.0, wal=0.05, capture=0.02,
    )  # fmt: skip
    paused.state = "paused"
    copying = follower("search", "CATCHING_UP", "its first copy is under way: 43 %", log=95.0, wal=0.05, capture=0.02)
    copying.state, copying.copied = "copying", 0.43
    copying.catch_up_s, copying.catch_up_sure = 420.0, 0.8
    copying.copying = [
        TableCopy("public.orders", 4_210_000, 9_800_000),
        TableCopy("public.order_lines", 12_400_000, 31_000_000),
        TableCopy("public.products", 82_000, 82_500),
    ]
    calm = follower("europe", wal=0.05, capture=0.02, log=0.02, apply=0.03)
    delayed = follower(
        "yesterday", "OK", "1.0 h behind, as its delay asks for", apply=3600.0, wal=0.05, capture=0.02, log=0.01
    )
    delayed.delay_s, delayed.budget_s = 3600.0, 30.0
    return pipeline(
        [calm, paused, copying, stalled, delayed],
        problems=[
            ProblemView(
                "Kafka at 10.0.4.17:9092 (broker 3) does not answer",
                "three brokers",
                "start it, or see its log; the other two go on",
            )
        ],
    )


def hour(now_us: int) -> list[Point]:
    """An hour of the stalled follower and of the calm one."""
    found = []
    for step in range(1200, 0, -1):
        at_us = now_us - step * 3_000_000
        minute = (3600 - step * 3) / 60
        wave = 0.4 + 0.3 * math.sin(minute / 2.3) + 0.2 * math.sin(minute * 1.7)
        load = max(0.0, 14 - abs(minute - 22)) / 14
        stall = max(0.0, 42 - step * 3)
        seconds = {
            "wal": 0.05 + 0.4 * wave * load,
            "capture": 0.1 + 1.8 * wave * load,
            "log": 0.1 + 6.0 * load**2 + 0.4 * wave,
            "apply": 0.2 + 11.0 * load**2 * (0.8 + 0.4 * wave) + 0.3 * wave + stall,
        }
        seconds["total"] = sum(seconds.values())
        found.append(Point(at_us, "warehouse", "shop", seconds))
        calm = {"wal": 0.05, "capture": 0.03, "log": 0.05, "apply": 0.05 + 0.1 * wave, "total": 0.18 + 0.1 * wave}
        found.append(Point(at_us, "europe", "shop", calm))
    return found


def told(now_us: int) -> list[Alert]:
    """What a monitor tells of that hour, as it lists it."""
    minute_us = 60_000_000
    alerts = [
        Alert("status", "warehouse", "shop", "STALLED", "OK", now_us - 34_000_000, now_us - 42_000_000, False,
              "8.0 s behind (320 kB of WAL), most of it in apply (read, not committed)", "apply", BLOCKED, 8.0),
        Alert("budget", "warehouse", "shop", "exceeded", "kept", now_us - 29_000_000, now_us - 32_000_000, False,
              "13.0 s of lag, more than its budget of 10 s; 13.0 s behind, most of it in apply", "apply", BLOCKED, 13.0),
        Alert("status", "reporting", "shop", "STOPPED", "OK", now_us - 4 * minute_us, now_us - 4 * minute_us, False,
              "it is paused", "log", "it was paused (month end); `stretto follower resume` lets it go on", 3.0),
        Alert("status", "warehouse", "shop", "OK", "WARNING", now_us - 31 * minute_us, now_us - 43 * minute_us, True,
              "0.4 s behind", "", "", 0.4, ("STALLED", "WARNING"), now_us - 32 * minute_us),
        Alert("budget", "warehouse", "shop", "kept", "exceeded", now_us - 33 * minute_us, now_us - 42 * minute_us, True,
              "0.4 s behind", "", "", 0.4, ("exceeded",), now_us - 34 * minute_us),
    ]  # fmt: skip
    return sorted(alerts, key=lambda alert: (alert.recovered, -alert.at_us))


class Made:
    """A server whose looks a test makes."""

    def __init__(self, port: int, watching: Watching) -> None:
        self.port = port
        self.watching = watching
        self.board = watching.board

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self.port}"

    def show(self, view: PipelineView) -> None:
        """A look that found this, now."""
        view.at_us = time.time_ns() // 1000
        points = [
            Point(view.at_us, each.name, each.source, {stage: lag.seconds for stage, lag in each.lag.items() if lag})
            for each in view.followers
        ]
        self.watching.take(view, points, time.monotonic())


@contextmanager
def made(past: Past | None = None, port: int = 0, *, alerts: list[Alert] | None = None) -> Iterator[Made]:
    """Serve the page on a port, by default any free one; `alerts` are a monitor's, None without one."""
    watching = Watching(ShownAlerts(3.0, lambda: alerts), past)
    with listening("127.0.0.1", port) as listener, serving(site(watching, "127.0.0.1"), listener):
        try:
            yield Made(listener.getsockname()[1], watching)
        finally:
            watching.board.close()
