"""Three brokers, of which one is lost under load."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator

import pytest

from stretto.embedded.processes import wait_until
from tests.containers.composed import Composed

BROKERS = ("kafka", "kafka-2", "kafka-3")
ALL = (*BROKERS, "leader", "follower-db", "capture", "follower")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Composed]:
    with Composed("compose.cluster.yaml") as made:
        made.run("up", "--detach", "--build")
        assert wait_until(lambda: made.healthy(*ALL), 180.0), made.services()
        yield made


class Load:
    """Money moved between rows, a transaction at a time, until it is told to end."""

    def __init__(self, composed: Composed) -> None:
        self._composed = composed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.transactions = 0

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        chosen = random.Random(1)
        with self._composed.connect_leader() as conn:
            while not self._stop.is_set():
                one, other = chosen.sample(range(1, 101), 2)
                with conn.transaction():
                    conn.execute("update accounts set balance = balance - 1 where id = %s", (one,))
                    conn.execute("update accounts set balance = balance + 1 where id = %s", (other,))
                    conn.execute("insert into moves default values")
                self.transactions += 1

    def wrote(self, more: int) -> bool:
        """Wait until it has written so many transactions more."""
        goal = self.transactions + more
        return wait_until(lambda: self.transactions >= goal, 60.0)


def leader_of_transactions(cluster: Composed) -> str:
    """The broker that leads the topic of frontiers, by its service."""
    tool = "/opt/kafka/bin/kafka-topics.sh"
    said = cluster.run(
        *("exec", "-T", "kafka", tool, "--bootstrap-server", "kafka:9092"),
        *("--describe", "--topic", "stretto.leader.transactions"),
    ).stdout
    assert "ReplicationFactor: 3" in said
    assert "min.insync.replicas=2" in said
    number = int(said.partition("Leader: ")[2].split()[0])
    return BROKERS[number - 1]


ROWS = "select (select sum(hashtextextended(a::text, 0)) from accounts a), (select count(*) from moves)"


def test_a_lost_broker_loses_nothing_and_doubles_nothing(cluster: Composed) -> None:
    cluster.leader("create table accounts (id int primary key, balance bigint not null)")
    cluster.leader("create table moves (id bigint generated always as identity primary key)")
    cluster.leader("insert into accounts select i, 1000 from generate_series(1, 100) i")
    with Load(cluster) as load:
        assert load.wrote(200)
        lost = leader_of_transactions(cluster)
        cluster.run("kill", lost)
        assert load.wrote(500)
        [(before,)] = cluster.leader("select pg_current_wal_lsn()::text")
        caught_up = f"select end_lsn >= '{before}'::pg_lsn from stretto.position"
        assert wait_until(lambda: cluster.follower(caught_up) == [(True,)], 90.0)
        cluster.run("up", "--detach", "--no-recreate", lost)
        assert wait_until(lambda: cluster.healthy(*ALL), 90.0), cluster.services()
        assert load.wrote(200)
    assert wait_until(lambda: cluster.equal(ROWS), 90.0)
    assert cluster.follower("select sum(balance) from accounts") == [(100_000,)]
    said = cluster.run("exec", "-T", "capture", "stretto", "verify")
    assert "equal" in said.stdout
    status = json.loads(cluster.run("exec", "-T", "capture", "stretto", "status", "-f", "json").stdout)
    assert status["processes"]["capture"]["state"] == "running"
