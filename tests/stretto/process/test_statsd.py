"""Metrics as StatsD datagrams: the lines, and what a listener that comes and goes gets."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily

from stretto.embedded.processes import wait_until
from stretto.process.foreground import run_service
from stretto.process.statsd.aliases import ALIASES, aliases
from stretto.process.statsd.exporter import Exporter
from stretto.process.statsd.lines import MOST_BYTES, datagrams, line, number
from stretto.process.statsd.reading import Deltas, Reading, dotted, readings
from stretto_connectors.prometheus import ACTIVE
from stretto_schemas import metrics
from stretto_schemas.errors import SettingsError
from stretto_schemas.metrics import MetricName
from stretto_schemas.settings import Settings, load
from tests.fix_statsd import Listener, Metric, parse


def settings(**metrics: str) -> Settings:
    given = {f"STRETTO_METRICS__{key.upper()}": value for key, value in metrics.items()}
    return load(
        None, {"STRETTO_PREFIX": "cdc", "STRETTO_SOURCE__NAME": "shop", "STRETTO_HTTP__CAPTURE_PORT": "0", **given}
    )


def lag(stage: str, seconds: float, follower: str = "reports") -> Reading:
    return Reading(dotted(metrics.LAG_SECONDS.name), {"source": "shop", "follower": follower, "stage": stage}, seconds)


def test_a_gauge_with_tags() -> None:
    said = "stretto.replication_lag_seconds:7.25|g|#source:shop,follower:reports,stage:apply"
    assert line(lag("apply", 7.25), "datadog") == said
    assert parse(said) == Metric(
        "stretto.replication_lag_seconds", 7.25, "g", {"source": "shop", "follower": "reports", "stage": "apply"}
    )


def test_a_gauge_without_tags_has_its_labels_in_its_name() -> None:
    assert line(lag("apply", 7.25), "statsd") == "stretto.replication_lag_seconds.shop.reports.apply:7.25|g"


def test_a_label_without_a_value_is_left_out() -> None:
    assert line(lag("wal", 1, ""), "datadog").endswith("|#source:shop,stage:wal")
    assert line(lag("wal", 1, ""), "statsd") == "stretto.replication_lag_seconds.shop.wal:1|g"
    assert line(Reading("a.b", {}, 1.0), "datadog") == "a.b:1|g"


def test_below_zero_is_a_value_and_no_decrement() -> None:
    assert line(Reading("a.b", {}, -2.5), "datadog") == "a.b:-2.5|g"
    assert line(Reading("a.b", {}, -2.5), "statsd") == "a.b:0|g\na.b:-2.5|g"
    assert line(Reading("a.b", {}, -0.0000001), "statsd") == "a.b:0|g"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (-0.0, "0"), (1.0, "1"), (0.000001, "0.000001"), (1e-9, "0"), (2.0**60, str(2**60))]
)
def test_numbers_have_no_exponent(value: float, text: str) -> None:
    assert number(value) == text


NASTY = st.text(min_size=0, max_size=300)


@given(NASTY, NASTY, st.sampled_from(["datadog", "statsd"]))
def test_no_label_breaks_a_line(one: str, other: str, flavor: str) -> None:
    text = line(Reading("a.b", {"source": one, "topic": other}, 1.0), flavor)
    assert "\n" not in text
    metric = parse(text)
    assert (metric.value, metric.kind) == (1.0, "g")
    if flavor == "datadog":
        assert metric.name == "a.b"
        assert set(metric.tags) == {label for label, given in (("source", one), ("topic", other)) if given}


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1, max_size=2000)))
def test_datagrams_hold_every_line_that_fits_in_order_and_are_small(lines: list[str]) -> None:
    made = list(datagrams(lines))
    assert all(0 < len(each) <= MOST_BYTES for each in made)
    fitting = [each for each in lines if len(each.encode()) <= MOST_BYTES]
    assert [text for each in made for text in each.decode().split("\n")] == fitting
    assert all(len(a) + 1 + len(b.split(b"\n")[0]) > MOST_BYTES for a, b in itertools.pairwise(made))


def test_of_the_registry_what_is_declared_is_taken_and_nothing_else() -> None:
    registry = CollectorRegistry()

    def made(kind: Callable[..., object], name: MetricName) -> object:
        return kind(name.name, name.help, name.labels, registry=registry)

    Gauge("python_something", "not ours", registry=registry).set(1)
    made(Gauge, metrics.SLOT_RETAINED).labels("shop").set(float("nan"))  # type: ignore[attr-defined]
    made(Gauge, metrics.ACTIVE).labels("follower", "shop").set(1)  # type: ignore[attr-defined]
    made(Counter, metrics.APPLIED_RECORDS).labels("shop", "reports").inc(7)  # type: ignore[attr-defined]
    made(Histogram, metrics.APPLY_SECONDS).labels("shop", "reports").observe(0.25)  # type: ignore[attr-defined]
    seen = {(each.name, each.value, each.counter) for each in readings(registry.collect())}
    assert seen == {
        ("stretto.active", 1.0, False),
        ("stretto.apply_records", 7.0, True),
        ("stretto.apply_batch_seconds.count", 1.0, True),
        ("stretto.apply_batch_seconds.sum", 0.25, True),
    }


def test_counters_go_out_as_what_they_grew_by() -> None:
    def rows(value: float, source: str = "shop") -> Reading:
        return Reading("stretto.apply_records", {"source": source}, value, counter=True)

    deltas = Deltas()
    gauge = lag("total", 3.0)
    assert deltas.of([rows(10), gauge]) == [rows(10), gauge]
    deltas.sent([rows(10), gauge])
    assert deltas.of([rows(25), rows(4, "other")]) == [rows(15), rows(4, "other")]
    assert deltas.of([rows(30)]) == [rows(20)], "what was not sent is sent with the next"


def test_lag_is_also_sent_under_the_names_of_datadogs_integrations() -> None:
    now = [lag("log", 1.5), lag("apply", 2.0), lag("total", 4.0)]
    now += [Reading(dotted(metrics.SLOT_RETAINED.name), {"source": "shop"}, 4096.0)]
    place = {"topic": "cdc.shop.public.item", "partition": "0"}
    now += [Reading(dotted(metrics.CONSUMERGROUP_LAG.name), {"consumergroup": "cdc.shop.reports", **place}, 9.0)]
    seen = {each.name: (each.value, each.labels) for each in aliases(now, settings())}
    of = {"source": "shop", "follower": "reports"}
    assert seen == {
        "postgresql.replication_delay": (4.0, of),
        "postgresql.replication_slot.restart_delay_bytes": (
            4096.0,
            {"source": "shop", "slot_name": "stretto_shop", "slot_type": "logical"},
        ),
        "kafka.consumer_lag_seconds": (3.5, {**of, "consumer_group": "cdc.shop.follower"}),
        "kafka.consumer_lag": (9.0, {"consumer_group": "cdc.shop.reports", **place}),
    }


def test_every_alias_is_of_a_metric_with_the_labels_that_it_needs() -> None:
    for alias in ALIASES:
        assert not alias.stages or "stage" in alias.of.labels
        assert set(alias.renamed) <= set(alias.of.labels)


class Rows:
    """A registry with one counter and one gauge of ours."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        name = metrics.APPLIED_RECORDS
        self.counter = Counter(name.name, name.help, name.labels, registry=self.registry).labels("shop", "reports")
        name = metrics.ACTIVE
        self.gauge = Gauge(name.name, name.help, name.labels, registry=self.registry).labels("follower", "shop")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listener_gets_every_row_once_up_to_the_last(host: str) -> None:
    rows = Rows()
    with Listener(host) as listener:
        asked = settings(statsd=listener.address, statsd_every_s="0.02")
        assert asked.metrics.listener == (host, listener.port)
        with Exporter(asked, host, listener.port, rows.registry):
            for _ in range(20):
                rows.counter.inc(5)
                listener.hears("stretto.active")
            rows.counter.inc(3)
        assert sum(each.value for each in listener.heard() if each.name == "stretto.apply_records") == 103
        assert all(len(each) <= MOST_BYTES for each in listener.datagrams)


def closed_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_nobody_listens_is_said_once_and_what_was_counted_meanwhile_comes_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows, port = Rows(), closed_port()
    with caplog.at_level(logging.INFO):
        exporter = Exporter(settings(statsd=f"127.0.0.1:{port}"), "127.0.0.1", port, rows.registry)
        for _ in range(10):
            exporter.send()
        [said] = caplog.messages
        assert said == f"StatsD at 127.0.0.1:{port} takes no metrics (Connection refused); it is tried again and again"
        with Listener(port=port) as listener:
            rows.counter.inc(42)
            exporter.send()
            exporter.send()
            exporter.send()
            assert sum(each.value for each in listener.hears("stretto.apply_records")) == 42
        assert caplog.messages[1:] == [f"StatsD at 127.0.0.1:{port} takes metrics again"]
        exporter.close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70])
def test_a_name_that_leads_nowhere_is_said_once(host: str, caplog: pytest.LogCaptureFixture) -> None:
    exporter = Exporter(settings(), host, 8125, Rows().registry)
    for _ in range(3):
        exporter.send()
    [said] = caplog.messages
    assert said.startswith(f"StatsD at {host}:8125 takes no metrics (")


class Broken:
    """A collector that cannot say anything at first."""

    def __init__(self) -> None:
        self.asked = 0

    def collect(self) -> Iterator[GaugeMetricFamily]:
        self.asked += 1
        if self.asked <= 3:
            raise ZeroDivisionError("nothing to divide by")
        yield from ()

    def describe(self) -> list[GaugeMetricFamily]:
        return []


def test_metrics_that_cannot_be_read_are_told_once_and_sent_once_they_can(caplog: pytest.LogCaptureFixture) -> None:
    rows = Rows()
    rows.registry.register(Broken())
    with Listener() as listener, caplog.at_level(logging.INFO):
        asked = settings(statsd=listener.address, statsd_every_s="0.02")
        with Exporter(asked, "127.0.0.1", listener.port, rows.registry):
            rows.counter.inc(7)
            listener.hears("stretto.active")
        assert sum(each.value for each in listener.heard() if each.name == "stretto.apply_records") == 7
    assert caplog.messages == ["metrics cannot be read for StatsD: ZeroDivisionError: nothing to divide by"]


class Toy:
    """A service that runs until it is told to stop."""

    name = "capture"

    def __init__(self, until: Callable[[], object]) -> None:
        self._until = until
        self.status: Callable[[], dict[str, object]] = dict
        ACTIVE.labels("capture", "shop").set(1)

    def ready(self, max_lag_s: float | None = None) -> tuple[bool, str]:
        return True, f"{max_lag_s}"

    def run(self, stop: threading.Event) -> None:
        self._until()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(10)


def test_a_service_in_the_foreground_sends_its_metrics_and_leaves_no_thread() -> None:
    with Listener() as listener:
        run_service(
            Toy(lambda: listener.hears("stretto.active")), settings(statsd=listener.address, statsd_every_s="0.1")
        )
    assert wait_until(lambda: "statsd" not in {thread.name for thread in threading.enumerate()}, 10.0)


@pytest.mark.parametrize("wrong", ["agent", "agent:0", "agent:65536", "agent:99999", "::1:8125", "[::1]"])
def test_an_address_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"metrics\.statsd"):
        settings(statsd=wrong)
