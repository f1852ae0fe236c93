"""The monitor's view as metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY

from stretto_consumers.lag.monitor.measures import VerdictCollector
from stretto_schemas import metrics
from stretto_schemas.lag.stages import StageLag
from stretto_schemas.lag.verdict import STATUSES
from stretto_schemas.lag.view import FollowerView, PipelineView, SlotView, SourceView
from stretto_schemas.metrics import MetricName

SLOT = SlotView("stretto_shop", True, 0, 4096, "reserved")


def view(*followers: FollowerView, safe_wal_bytes: int | None = None) -> PipelineView:
    return PipelineView(1, "stretto", [SourceView("shop", slot=SLOT, safe_wal_bytes=safe_wal_bytes)], list(followers))


def follower(**more: object) -> FollowerView:
    return FollowerView("eu", "shop", "running", "STALLED", 7, "", **more)  # type: ignore[arg-type]


@contextmanager
def exported(seen: PipelineView | None) -> Iterator[None]:
    collector = VerdictCollector(lambda: seen)
    try:
        yield
    finally:
        collector.close()


def value(name: MetricName, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name.name, {"source": "shop", "follower": "eu", **labels})


def test_a_follower_has_the_one_status_that_it_was_given() -> None:
    with exported(view(follower())):
        assert {status for status in STATUSES if value(metrics.MONITOR_STATUS, status=status)} == {"STALLED"}
        assert all(value(metrics.MONITOR_STATUS, status=status) is not None for status in STATUSES)


def test_stages_delay_and_budget_are_told_also_of_a_follower_that_is_silent() -> None:
    lag = {"apply": StageLag(10, 2, 7.5), "total": StageLag(20, 3, 9.0), "wal": None}
    with exported(view(follower(lag=lag, delay_s=5.0, budget_s=2.0))):
        assert value(metrics.MONITOR_STAGES, stage="apply") == 7.5
        assert value(metrics.MONITOR_STAGES, stage="total") == 9.0
        assert value(metrics.MONITOR_STAGES, stage="wal") is None
        assert value(metrics.APPLY_DELAY) == 5.0
        assert value(metrics.LAG_BUDGET) == 2.0


def test_a_copy_is_done_once_the_follower_has_a_place_in_the_log() -> None:
    for made, expected in (
        (follower(copied=0.25), 0.25),
        (follower(copied=0.0, end_lsn=9), 0.0),
        (follower(end_lsn=9), 1.0),
        (follower(), None),
    ):
        with exported(view(made)):
            assert value(metrics.COPY_RATIO) == expected


def test_the_slot_is_told_while_capture_is_silent() -> None:
    def slot(name: MetricName) -> float | None:
        return REGISTRY.get_sample_value(name.name, {"source": "shop"})

    with exported(view(safe_wal_bytes=100)):
        assert (slot(metrics.SLOT_RETAINED), slot(metrics.RETAINED_LIMIT)) == (4096, 100)
    with exported(view()):
        assert slot(metrics.RETAINED_LIMIT) is None
    with exported(None):
        assert value(metrics.MONITOR_STATUS, status="OK") is None
