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


DESCRIBE = """
import json
from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import topic_configs
from stretto_schemas.settings import load
kafka, topic = load(None).kafka, "stretto.leader.transactions"
client = admin(kafka)
[partition] = client.list_topics(topic, timeout=10).topics[topic].partitions.values()
config = topic_configs(client, kafka, [topic])[topic]
print(json.dumps([partition.leader, len(partition.replicas), config["min.insync.replicas"]]))
"""


def leader_of_transactions(cluster: Composed) -> str:
    """The broker that leads the topic of frontiers, by its service. Asked by Python: Kafka's own tool takes ten seconds here."""
    said = cluster.run("exec", "-T", "capture", "python", "-c", DESCRIBE).stdout
    number, replicas, in_sync = json.loads(said)
    assert (replicas, in_sync) == (3, "2")
    return BROKERS[number - 1]


ROWS = "select (select sum(hashtextextended(a::text, 0)) from accounts a), (select count(*) from moves)"


@pytest.fixture(scope="module")
def accounts(cluster: Composed) -> Composed:
    cluster.leader("create table accounts (id int primary key, balance bigint not null)")
    cluster.leader("create table moves (id bigint generated always as identity primary key)")
    cluster.leader("insert into accounts select i, 1000 from generate_series(1, 100) i")
    return cluster


def reaches_the_follower(cluster: Composed) -> None:
    """All that is committed by now becomes visible, whoever of the brokers is away."""
    [(before,)] = cluster.leader("select pg_current_wal_lsn()::text")
    caught_up = f"select end_lsn >= '{before}'::pg_lsn from stretto.position"
    assert wait_until(lambda: cluster.follower(caught_up) == [(True,)], 90.0)


def nothing_is_lost_or_doubled(cluster: Composed) -> None:
    """The load has ended: both sides are equal, and the lag is gone."""
    assert wait_until(lambda: cluster.equal(ROWS), 90.0)
    assert cluster.follower("select sum(balance) from accounts") == [(100_000,)]
    assert "equal" in cluster.run("exec", "-T", "capture", "stretto", "verify").stdout

    assert wait_until(lambda: cluster.lag_s() < 10, 60.0), cluster.status()
    assert cluster.status()["sources"][0]["capture"]["state"] == "running"


def test_a_lost_broker_loses_nothing_and_doubles_nothing(accounts: Composed) -> None:
    with Load(accounts) as load:
        assert load.wrote(200)
        lost = leader_of_transactions(accounts)
        accounts.run("kill", lost)
        assert load.wrote(500)
        reaches_the_follower(accounts)
        accounts.run("up", "--detach", "--no-recreate", lost)
        assert wait_until(lambda: accounts.healthy(*ALL), 90.0), accounts.services()
        assert load.wrote(200)
    nothing_is_lost_or_doubled(accounts)


def test_a_broker_that_the_network_cuts_off_loses_nothing_and_doubles_nothing(accounts: Composed) -> None:
    """It lives on and believes to lead; the others elect a new leader, and what only it had is no one's."""
    with Load(accounts) as load:
        assert load.wrote(100)
        lost = leader_of_transactions(accounts)
        with accounts.disconnected(lost):
            assert load.wrote(500)
            reaches_the_follower(accounts)
        assert wait_until(lambda: accounts.healthy(*ALL), 90.0), accounts.services()
        assert load.wrote(100)
    nothing_is_lost_or_doubled(accounts)
