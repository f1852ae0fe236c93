"""What a live pipeline tells load balancers, StatsD and dashboards for Kafka."""

from __future__ import annotations

from http.client import HTTPConnection

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from stretto.embedded.processes import wait_until
from stretto_schemas import metrics, names
from stretto_schemas.metrics import MetricName
from tests.fix_cli import Cli, Running, paused
from tests.fix_stack import Database
from tests.fix_statsd import Listener

SOON_S = 30.0
ROWS = 200


def ready(process: Running, max_lag: str) -> tuple[int, str]:
    status, _, said = process.get(f"/readyz?max_lag={max_lag}")
    return status, said


def head(process: Running, page: str) -> int:
    connection = HTTPConnection("127.0.0.1", process.port(), timeout=10)
    try:
        connection.request("HEAD", page)
        answer = connection.getresponse()
        assert answer.read() == b""
        return answer.status
    finally:
        connection.close()


def samples(process: Running, name: MetricName) -> dict[tuple[str, ...], float]:
    """By values of the labels, in their declared order."""
    return {
        tuple(sample.labels[label] for label in name.labels): sample.value
        for family in text_string_to_metric_families(process.get("/metrics")[2])
        for sample in family.samples
        if sample.name == name.name
    }


def test_lag_is_told_in_every_way_that_is_asked_for(cli: Cli, leader_db: Database, follower_db: Database) -> None:
    leader_db.execute("create table item (id int primary key)")
    cli.good("init")
    prefix = cli.settings["STRETTO_PREFIX"]
    topic = names.table_topic(prefix, "leader", "public", "item")
    with Listener() as dog, Listener() as plain:
        often = {"STRETTO_METRICS__STATSD_EVERY_S": "0.3"}
        with cli.running(
            "run",
            "capture",
            STRETTO_METRICS__STATSD=plain.address,
            STRETTO_METRICS__STATSD_FLAVOR="statsd",
            **often,
        ) as capture:
            cli.good("follower", "add")
            with cli.running(
                "run",
                "follower",
                STRETTO_METRICS__STATSD=dog.address,
                STRETTO_METRICS__CONSUMERGROUP_LAG="true",
                **often,
            ) as follower:
                capture.until_ready()
                follower.until_ready()
                of = {"source": "leader", "follower": "follower"}

                for process in (capture, follower):  # at rest
                    assert wait_until(lambda process=process: ready(process, "30s")[0] == 200, SOON_S)  # type: ignore[misc]
                    assert head(process, "/readyz?max_lag=30s") == 200
                    assert "no duration" in ready(process, "soon")[1]
                dog.hears("stretto.replication_lag_seconds", **of, stage="total")
                dog.hears("postgresql.replication_delay", **of)
                plain.hears("stretto.replication_lag_bytes.leader.wal")
                plain.hears("stretto.slot_retained_wal_bytes.leader")

                with psycopg.connect(follower_db.dsn, autocommit=True) as conn:  # the follower waits for a lock
                    conn.execute("begin")
                    conn.execute("lock table item in share mode")
                    leader_db.execute(f"insert into item select generate_series(1, {ROWS})")
                    assert wait_until(lambda: ready(follower, "1s")[0] == 503, SOON_S)
                    assert "most of it in apply, more than 1.0 s" in ready(follower, "1s")[1]
                    assert head(follower, "/readyz?max_lag=1s") == 503
                    assert ready(follower, "1h")[0] == 200
                    assert follower.get("/readyz")[0] == 200, "it makes progress: heartbeats are no rows"

                    def waiting() -> float:
                        return sum(samples(follower, metrics.CONSUMERGROUP_LAG).values())

                    assert wait_until(lambda: waiting() >= ROWS, SOON_S), waiting()
                    assert {key[:2] for key in samples(follower, metrics.CONSUMERGROUP_LAG)} == {
                        (f"{prefix}.leader.follower", topic)
                    }
                    dog.hears("kafka.consumer_lag", consumer_group=f"{prefix}.leader.follower", topic=topic)
                    conn.execute("rollback")

                assert wait_until(lambda: ready(follower, "5s")[0] == 200, SOON_S), ready(follower, "5s")
                assert wait_until(lambda: follower_db.fetch("select count(*) from item") == [(ROWS,)], SOON_S)

                def at_the_end() -> bool:
                    """Behind the last row only the marker of its commit has an offset."""
                    applied, ends = (
                        samples(follower, metrics.CONSUMERGROUP_OFFSET),
                        samples(follower, metrics.PARTITION_OFFSET),
                    )
                    lag = samples(follower, metrics.CONSUMERGROUP_LAG)
                    assert {key[1:] for key in lag} == ends.keys()
                    assert lag == {key: ends[key[1:]] - applied[key] for key in lag}
                    return set(lag.values()) <= {0.0, 1.0}

                assert wait_until(at_the_end, SOON_S)

                def rows_heard() -> float:
                    return sum(each.value for each in dog.hears("stretto.apply_records", **of))

                assert wait_until(lambda: rows_heard() == ROWS, SOON_S), rows_heard()
                dog.hears("kafka.consumer_lag_seconds", **of, consumer_group=f"{prefix}.leader.follower")
                dog.hears("stretto.session_restarts", process="follower")

                second = Cli(cli.folder / "second", cli.settings)
                second.folder.mkdir()
                with second.running("run", "follower") as other:
                    assert "stand-by" in other.until_readyz(200)
                    assert ready(other, "1h") == (503, "stand-by: only the process that applies knows the lag\n")

                with paused(capture.process.pid):  # nothing comes any more, so nobody knows what waits
                    assert wait_until(lambda: ready(follower, "3s")[0] == 503, SOON_S), ready(follower, "3s")
                    assert follower.get("/readyz")[0] == 200
                assert wait_until(lambda: ready(follower, "5s")[0] == 200, SOON_S), ready(follower, "5s")
            all_of_it = dog.heard()
            assert {
                each.tags["source"]
                for each in all_of_it
                if each.name.startswith("stretto.") and each.name != "stretto.ready"
            } == {"leader"}
            assert all(len(each) <= 1432 for each in dog.datagrams)

            with cli.running(
                "run",
                "follower",
                STRETTO_METRICS__STATSD=plain.address,
                STRETTO_METRICS__STATSD_FLAVOR="statsd",
                **often,
            ) as follower:
                plain.hears("stretto.replication_lag_seconds.leader.follower.apply")
                assert samples(follower, metrics.CONSUMERGROUP_LAG) == {}, "it is off unless it is asked for"
                assert not any(each.tags for each in plain.heard())
                assert not any(each.name.startswith(("kafka.", "postgresql.")) for each in plain.heard())


def test_a_statsd_listener_that_is_not_there_is_said_once_and_stops_nothing(cli: Cli) -> None:
    with Listener() as gone:
        nowhere = gone.address
    cli.good("init")
    with cli.running(
        "run", "capture", STRETTO_METRICS__STATSD=nowhere, STRETTO_METRICS__STATSD_EVERY_S="0.05"
    ) as capture:
        capture.until_ready()
        assert wait_until(lambda: "takes no metrics" in capture.log, SOON_S)
        rounds = samples(capture, metrics.CAPTURED_TRANSACTIONS)
        assert wait_until(lambda: ready(capture, "30s")[0] == 200, SOON_S), (rounds, ready(capture, "30s"))
        assert capture.stop() == 0
        assert capture.log.count("takes no metrics") == 1
        assert "Traceback" not in capture.log
