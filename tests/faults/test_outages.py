"""Servers that go and come back, and networks that are cut or slow: everything goes on by itself."""

from __future__ import annotations

from collections.abc import Callable

from stretto.embedded.kafka import EmbeddedKafka
from stretto.embedded.postgres import EmbeddedPostgres
from tests.faults.conftest import Faults
from tests.fix_proxy import Proxy, proxy_to


def through_an_outage(faults: Faults, outage: Callable[[], None], **settings: str) -> None:
    """Under load, before and after; the same two processes run all the time."""
    load = faults.load(pause_s=0.005)
    capture, follower = faults.processes.both(**settings)
    load.wait_for_more(100)
    faults.settled()
    outage()
    load.wait_for_more(100)
    faults.check()
    capture.stop()
    follower.stop()


def test_a_broker_that_is_restarted(faults: Faults, kafka: EmbeddedKafka) -> None:
    through_an_outage(faults, kafka.restart)


def test_a_broker_that_is_killed(faults: Faults, kafka: EmbeddedKafka) -> None:
    def outage() -> None:
        kafka.kill()
        kafka.start()

    through_an_outage(faults, outage)


def test_a_leader_that_is_killed(faults: Faults, leader: EmbeddedPostgres) -> None:
    def outage() -> None:
        leader.kill()
        leader.start()

    through_an_outage(faults, outage)


def test_a_leader_that_is_restarted(faults: Faults, leader: EmbeddedPostgres) -> None:
    through_an_outage(faults, leader.restart)


def test_a_follower_server_that_is_killed(faults: Faults, follower_server: EmbeddedPostgres) -> None:
    def outage() -> None:
        follower_server.kill()
        follower_server.start()

    through_an_outage(faults, outage)


def test_a_network_to_the_leader_that_is_cut_and_slow(faults: Faults, leader: EmbeddedPostgres) -> None:
    with proxy_to(leader.port) as proxy:
        dsn = faults.pipeline.settings.source.dsn.get_secret_value()
        through_trouble(faults, proxy, source__dsn=dsn.replace(f"port={leader.port}", f"port={proxy.port}"))


def test_a_network_to_the_follower_that_is_cut_and_slow(faults: Faults, follower_server: EmbeddedPostgres) -> None:
    with proxy_to(follower_server.port) as proxy:
        dsn = faults.pipeline.settings.follower.dsn.get_secret_value()
        through_trouble(faults, proxy, follower__dsn=dsn.replace(f"port={follower_server.port}", f"port={proxy.port}"))


def test_a_network_to_the_broker_that_is_cut_and_slow(faults: Faults, kafka: EmbeddedKafka) -> None:
    with proxy_to(kafka.port, advertised=True) as proxy:
        through_trouble(faults, proxy, kafka__bootstrap=f"127.0.0.1:{proxy.port}")


def through_trouble(faults: Faults, proxy: Proxy, **settings: str) -> None:
    """Through an outage of the network; everything must have gone through the proxy."""
    through_an_outage(faults, lambda: _trouble(faults, proxy), **settings)
    assert proxy.passed > 100_000


def _trouble(faults: Faults, proxy: Proxy) -> None:
    """Cut for as long as the load needs for some hundred transactions, then slow, then cut once more for a moment."""
    [load] = faults.loads
    proxy.cut()
    load.wait_for_more(300)
    proxy.mend()
    proxy.delay_s = 0.02
    load.wait_for_more(300)
    proxy.delay_s = 0.0
    proxy.cut()
    load.wait_for_more(50)
    proxy.mend()


def test_a_broker_that_is_down_at_the_start_is_waited_for(faults: Faults, kafka: EmbeddedKafka) -> None:
    load = faults.load(pause_s=0.005)
    kafka.stop()
    capture, follower = faults.processes.both()
    capture.says("trying again in")
    load.wait_for_more(50)
    kafka.start()
    load.wait_for_more(50)
    faults.check()
    capture.stop()
    follower.stop()


def test_databases_that_are_down_at_the_start_are_waited_for(
    faults: Faults, leader: EmbeddedPostgres, follower_server: EmbeddedPostgres
) -> None:
    leader.stop()
    follower_server.stop()
    capture, follower = faults.processes.both()
    capture.says("trying again in")
    follower.says("trying again in")
    leader.start()
    follower_server.start()
    faults.load().wait_for_more(100)
    faults.check()
    capture.stop()
    follower.stop()
