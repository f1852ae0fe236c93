"""A group's offsets as kafka_exporter has them, from what is applied and what the broker says."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry

from stretto_connectors.kafka import group_lag
from stretto_connectors.kafka.group_lag import GroupLagCollector, Place
from stretto_schemas import metrics
from stretto_schemas.errors import Unreachable


class Broker:
    """Says where partitions end, or nothing."""

    def __init__(self, ends: dict[Place, int]) -> None:
        self.ends = ends
        self.asked = 0
        self.away = False

    def __call__(self, places: Iterable[Place]) -> dict[Place, int]:
        self.asked += 1
        if self.away:
            raise Unreachable("Kafka at nowhere:1 does not answer")
        return {place: self.ends[place] for place in places}


class Group:
    """A registry with one group in it."""

    def __init__(self, broker: Broker, applied: dict[Place, int] | None) -> None:
        self.applied = applied
        self._registry = CollectorRegistry()
        self._registry.register(GroupLagCollector("cdc.shop.reports", lambda: self.applied, broker))

    def samples(self) -> dict[str, dict[tuple[str, ...], float]]:
        return {
            family.name: {tuple(each.labels.values()): each.value for each in family.samples}
            for family in self._registry.collect()
        }


@pytest.fixture
def every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered."""
    monkeypatch.setattr(group_lag, "ASK_AGAIN_S", 0.0)


LAG, OFFSET, END = metrics.CONSUMERGROUP_LAG.name, metrics.CONSUMERGROUP_OFFSET.name, metrics.PARTITION_OFFSET.name


def test_lag_is_what_lies_between_the_end_and_what_is_applied() -> None:
    group = Group(Broker({("item", 0): 10, ("item", 1): 7}), {("item", 0): 4, ("item", 1): 7})
    assert group.samples() == {
        LAG: {("cdc.shop.reports", "item", "0"): 6.0, ("cdc.shop.reports", "item", "1"): 0.0},
        OFFSET: {("cdc.shop.reports", "item", "0"): 4.0, ("cdc.shop.reports", "item", "1"): 7.0},
        END: {("item", "0"): 10.0, ("item", "1"): 7.0},
    }


def test_an_end_that_was_passed_meanwhile_is_no_negative_lag() -> None:
    group = Group(Broker({("item", 0): 3}), {("item", 0): 5})
    assert group.samples()[LAG] == {("cdc.shop.reports", "item", "0"): 0.0}


def test_a_process_that_does_not_apply_has_no_samples_and_asks_nobody() -> None:
    broker = Broker({})
    assert Group(broker, None).samples() == {LAG: {}, OFFSET: {}, END: {}}
    assert broker.asked == 0


def test_many_scrapes_ask_once_and_a_partition_that_is_new_waits() -> None:
    broker = Broker({("item", 0): 10, ("item", 1): 7})
    group = Group(broker, {("item", 0): 4})
    assert group.samples()[LAG] == {("cdc.shop.reports", "item", "0"): 6.0}
    group.applied = {("item", 0): 8, ("item", 1): 0}
    assert group.samples()[LAG] == {("cdc.shop.reports", "item", "0"): 2.0}
    assert broker.asked == 1


@pytest.mark.usefixtures("every_time")
def test_a_broker_that_is_away_is_said_once_and_nothing_stale_is_told(caplog: pytest.LogCaptureFixture) -> None:
    broker = Broker({("item", 0): 10})
    group = Group(broker, {("item", 0): 4})
    assert group.samples()[LAG] != {}
    broker.away = True
    for _ in range(3):
        told = group.samples()
        assert told[LAG] == told[END] == {}
        assert told[OFFSET] == {("cdc.shop.reports", "item", "0"): 4.0}
    assert [record.getMessage() for record in caplog.records] == [
        "kafka_consumergroup_lag has no samples for now: Kafka at nowhere:1 does not answer"
    ]
    broker.away = False
    assert group.samples()[LAG] == {("cdc.shop.reports", "item", "0"): 6.0}
