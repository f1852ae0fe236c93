"""`stretto run`: signals, health, metrics."""

from __future__ import annotations

import os
import signal

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families

from stretto.embedded.kafka import EmbeddedKafka
from stretto.embedded.processes import wait_until
from stretto_schemas import metrics
from stretto_schemas.metrics import MetricName, Process
from tests.fix_cli import Cli, Running, paused
from tests.fix_stack import Database


def test_capture_serves_health_and_ends_cleanly_on_sigterm(cli: Cli, leader_db: Database) -> None:
    leader_db.execute("create table item(id int primary key)")
    cli.good("init")
    with cli.running("run", "capture") as capture:
        assert "last frontier" in capture.until_ready()
        assert capture.get("/livez")[0] == 200
        assert '"process": "capture"' in capture.get("/status")[2]
        assert capture.get("/nothing")[0] == 404
        _, html, page = capture.get("/")
        assert html.startswith("text/html")
        assert "<strong>ready</strong>: last frontier" in page
        _, plain, text = capture.get("/metrics")
        _, open_metrics, _ = capture.get("/metrics", "application/openmetrics-text; version=1.0.0")
        assert plain.startswith("text/plain")
        assert open_metrics.startswith("application/openmetrics-text")
        assert 'stretto_replication_lag_bytes{follower="",source="leader",stage="wal"}' in text
        assert capture.stop(signal.SIGTERM) == 0
        assert "SIGTERM: stopping" in capture.log


def test_ctrl_c_ends_it_cleanly_also_when_it_comes_twice_at_once(cli: Cli) -> None:
    cli.good("init")
    with cli.running("run", "capture") as capture:
        capture.until_ready()
        os.kill(capture.process.pid, signal.SIGINT)
        assert capture.stop(signal.SIGTERM) == 0
        assert "stopped" in capture.log


def test_a_capture_whose_broker_is_not_there_yet_is_alive_but_not_ready(cli: Cli) -> None:
    with cli.running("run", "capture", STRETTO_KAFKA__BOOTSTRAP="127.0.0.1:1") as capture:
        assert capture.get("/livez")[0] == 200
        status, _, why = capture.get("/readyz")
        assert (status, why.partition(":")[0]) == (503, "starting")


def test_the_whole_way_from_init_to_the_followers_rows(cli: Cli, leader_db: Database, follower_db: Database) -> None:
    leader_db.execute("create table item(id int primary key, name text); insert into item values (1, 'before')")
    cli.good("init")
    with cli.running("run", "capture") as capture:
        cli.good("follower", "add")
        with cli.running("run", "follower") as follower:
            capture.until_ready()
            follower.until_ready()
            captured, applied = Samples(capture), Samples(follower)
            leader_db.execute("insert into item values (2, 'after')")
            leader_db.execute("insert into item select i, 'more' from generate_series(3, 12) i")
            assert wait_until(lambda: len(follower_db.fetch("select from item")) == 12 or not follower.running, 60.0)
            assert follower_db.fetch("select * from item where id < 3 order by id") == [(1, "before"), (2, "after")]
            check_metrics(capture, captured, "capture", metrics.CAPTURED_RECORDS, metrics.CAPTURED_TRANSACTIONS)
            check_metrics(follower, applied, "follower", metrics.APPLIED_RECORDS, metrics.APPLIED_TRANSACTIONS)
            assert wait_until(lambda: lags(follower, "log", "apply", "total") == {0.0}, 30.0), lags(follower, "log")
            at_rest = Samples(follower)
            assert at_rest.value(metrics.VISIBLE_SECONDS, "_count") >= 1
            assert at_rest.value(metrics.SPILLED_BYTES) == 0
            at_rest = Samples(capture)
            assert wait_until(lambda: Samples(capture).value(metrics.SLOT_RETAINED) > 0, 30.0)
            stages = {sample.labels["stage"] for sample in at_rest.families[metrics.LAG_RECORDS.name].samples}
            assert stages == {"capture"}, "records of the WAL are not counted, so no number is told"
            assert wait_until(lambda: lags(capture, "capture") == {0.0}, 30.0)
            assert at_rest.value(metrics.CAPTURED_BYTES, "_total") > captured.value(metrics.CAPTURED_BYTES, "_total")
            assert follower.stop() == 0


class Samples:
    """What a process's /metrics says at one moment."""

    def __init__(self, process: Running) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(process.get("/metrics")[2])}

    def value(self, name: MetricName, end: str = "", **labels: str) -> float:
        """The one sample of a metric with these labels, its name less the ending that its type adds."""
        stem = name.name.removesuffix("_total")
        [value] = [
            sample.value
            for sample in self.families[stem].samples
            if sample.name == stem + end and labels.items() <= sample.labels.items()
        ]
        return value


def lags(process: Running, *stages: str) -> set[float]:
    """All that a process says of these stages: bytes, records, seconds."""
    found = Samples(process)
    names = (metrics.LAG_BYTES, metrics.LAG_RECORDS, metrics.LAG_SECONDS)
    return {found.value(name, stage=stage) for name in names for stage in stages}


def check_metrics(
    process: Running, before: Samples, word: Process, records: MetricName, transactions: MetricName
) -> None:
    """All metrics of a process are there, as declared; 11 rows in 2 transactions came since `before`."""
    assert wait_until(
        lambda: Samples(process).value(records, "_total") - before.value(records, "_total") == 11, 30.0
    ), Samples(process).families[records.name.removesuffix("_total")]
    after = Samples(process)
    assert after.value(transactions, "_total") - before.value(transactions, "_total") == 2
    assert after.value(metrics.ACTIVE) == 1
    check_declared(after.families, word)
    opened = process.get("/metrics", OPEN_METRICS)[2]
    assert opened.endswith("# EOF\n")
    families = {family.name: family for family in parse_open_metrics(opened)}  # type: ignore[no-untyped-call]
    check_declared(families, word)
    for name in families.keys() & {name.family for name in metrics.ALL}:
        assert families[name].unit == DECLARED[name].unit


OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
DECLARED = {name.family: name for name in metrics.ALL}


def check_declared(families: dict[str, Metric], word: Process) -> None:
    """What a process exports is what is declared for it: name, type, help, labels."""
    own = {name for name, family in families.items() if name.startswith(("stretto_", "kafka_")) and family.samples}
    own = {name for name in own if not name.endswith("_created")}
    declared = {name.family: name for name in metrics.ALL if word in name.by}
    assert {name for name, of in declared.items() if not of.when} <= own <= declared.keys()
    for name in own:
        family, of = families[name], declared[name]
        assert (family.type, family.documentation) == (of.kind, of.help)
        assert {frozenset(sample.labels) - {"le"} for sample in family.samples} == {frozenset(of.labels)}
        if of.kind == "counter":
            assert of.name in {sample.name for sample in family.samples}


QUICK = {"STRETTO_HTTP__READY_STALE_S": "1.5", "STRETTO_CAPTURE__HEARTBEAT_S": "0.2"}


def test_readiness_is_progress_and_comes_back(cli: Cli, kafka: EmbeddedKafka) -> None:
    """Capture is stopped by its broker, the follower by its capture; both are alive all the while."""
    cli.good("init")
    with cli.running("run", "capture", **QUICK) as capture:
        cli.good("follower", "add")
        with cli.running("run", "follower", **QUICK) as follower:
            capture.until_ready()
            follower.until_ready()
            with paused(capture.process.pid):
                follower.until_readyz(503, "nothing applied for")
                assert follower.get("/livez")[0] == 200
            capture.until_ready()
            follower.until_ready()
            assert kafka.pid is not None
            with paused(kafka.pid):
                capture.until_readyz(503, "no frontier for")
                assert capture.get("/livez")[0] == 200
            capture.until_ready()
            follower.until_ready()


def test_a_follower_that_stands_by_is_ready_and_says_so(cli: Cli) -> None:
    cli.good("init")
    with cli.running("run", "capture"):
        cli.good("follower", "add")
        with cli.running("run", "follower") as first:
            first.until_ready()
            second = Cli(cli.folder / "second", cli.settings)
            second.folder.mkdir()
            with second.running("run", "follower") as other:
                assert "stand-by: another process applies" in other.until_readyz(200)
                assert Samples(other).value(metrics.ACTIVE) == 0
                assert Samples(first).value(metrics.ACTIVE) == 1


def test_records_that_wait_in_capture_are_counted(cli: Cli, leader_db: Database, kafka: EmbeddedKafka) -> None:
    leader_db.execute("create table item(id int primary key)")
    cli.good("init")
    with cli.running("run", "capture", STRETTO_CAPTURE__BATCH_ROWS="50") as capture:
        capture.until_ready()
        assert kafka.pid is not None
        with paused(kafka.pid):
            leader_db.execute("insert into item select i from generate_series(1, 20) i")
            waiting: list[float] = []

            def counted() -> bool:
                waiting[:] = [Samples(capture).value(metrics.LAG_RECORDS, stage="capture")]
                return waiting == [20.0]

            assert wait_until(counted, 20.0), waiting
        assert wait_until(lambda: lags(capture, "capture") == {0.0}, 30.0)
