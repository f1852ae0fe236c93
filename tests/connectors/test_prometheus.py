"""A follower's state as metrics."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_open_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from stretto_connectors.prometheus import FollowerCollector, LagCollector
from stretto_schemas import metrics
from stretto_schemas.follower_state import FollowerState, Quantiles
from stretto_schemas.lag.stages import StageLag
from stretto_schemas.metrics import MetricName

MINUTE = Quantiles(10, 0.01, 0.02, 0.03, 0.5)
STATE = FollowerState(
    "reports",
    "shop",
    epoch=1,
    term=2,
    end_lsn=100,
    commit_ts_us=0,
    visible_ts_us=0,
    transactions=5,
    rows=50,
    state="paused",
    delay_s=30.0,
    budget_s=5.0,
    skew_us=-1500,
    waiting_transactions=3,
    staged_rows=40,
    visible={"minute": MINUTE, "hour": Quantiles(0, 0.0, 0.0, 0.0, 0.0)},
)
OF_STATE = (
    metrics.VISIBLE_QUANTILE,
    metrics.CLOCK_SKEW,
    metrics.WAITING_TRANSACTIONS,
    metrics.STAGED_ROWS,
    metrics.APPLY_DELAY,
    metrics.LAG_BUDGET,
    metrics.PAUSED,
)


def registry(*states: FollowerState | None) -> CollectorRegistry:
    made = CollectorRegistry()
    for state in states:
        made.register(FollowerCollector(lambda state=state: state))  # type: ignore[misc]
    return made


def value(made: CollectorRegistry, name: MetricName, **labels: str) -> float | None:
    return made.get_sample_value(name.name, {"source": "shop", "follower": "reports", **labels})


def test_what_a_follower_says_is_what_is_exported() -> None:
    made = registry(STATE)
    assert value(made, metrics.WAITING_TRANSACTIONS) == 3
    assert value(made, metrics.STAGED_ROWS) == 40
    assert value(made, metrics.APPLY_DELAY) == 30
    assert value(made, metrics.LAG_BUDGET) == 5
    assert value(made, metrics.PAUSED) == 1
    assert value(made, metrics.CLOCK_SKEW, process="follower") == -0.0015
    quantiles = {q: value(made, metrics.VISIBLE_QUANTILE, window="minute", quantile=q) for q in ("0.5", "0.95", "0.99")}
    assert quantiles == {"0.5": 0.01, "0.95": 0.02, "0.99": 0.03}
    assert value(made, metrics.VISIBLE_QUANTILE, window="minute", quantile="1") == 0.5


def test_what_nobody_knows_has_no_sample() -> None:
    made = registry(FollowerState("reports", "shop", 1, 2, 100, 0, 0, 5, 50))
    assert value(made, metrics.CLOCK_SKEW, process="follower") is None
    assert value(made, metrics.PAUSED) == 0
    assert value(registry(STATE), metrics.VISIBLE_QUANTILE, window="hour", quantile="0.5") is None


def test_a_process_that_does_not_apply_says_nothing() -> None:
    families = {family.name: family.samples for family in registry(None).collect()}
    assert families == {name.name: [] for name in OF_STATE}


@pytest.mark.parametrize("name", OF_STATE, ids=lambda name: name.name)
def test_both_formats_have_help_type_and_unit_of_the_declaration(name: MetricName) -> None:
    made = registry(STATE)
    text = {family.name: family for family in parse_text(generate_latest(made).decode())}
    said = generate_open_metrics(made).decode()  # type: ignore[no-untyped-call]
    opened = {family.name: family for family in parse_open_metrics(said)}  # type: ignore[no-untyped-call]
    for family in (text[name.name], opened[name.name]):
        assert (family.type, family.documentation) == (name.kind, name.help)
        assert {frozenset(sample.labels) for sample in family.samples} == {frozenset(name.labels)}
    assert opened[name.name].unit == name.unit


def test_a_stage_whose_records_nobody_counted_has_no_number_of_records() -> None:
    made = CollectorRegistry()
    stages = {"wal": StageLag(10, 0, 1.0, counted=False), "capture": StageLag(20, 5, 2.0)}
    made.register(LagCollector("shop", "", lambda: stages))
    assert made.get_sample_value(metrics.LAG_RECORDS.name, {"source": "shop", "follower": "", "stage": "wal"}) is None
    assert made.get_sample_value(metrics.LAG_RECORDS.name, {"source": "shop", "follower": "", "stage": "capture"}) == 5
    assert made.get_sample_value(metrics.LAG_SECONDS.name, {"source": "shop", "follower": "", "stage": "wal"}) == 1.0
