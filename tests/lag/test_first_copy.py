"""A first copy that stands still, on real servers: who holds it up, on either server, is told, and that it goes on."""

from __future__ import annotations

import threading

import psycopg

from stretto.embedded.processes import wait_until
from stretto_consumers.follower.add_progress import Silent
from stretto_consumers.follower.copy_published import published
from stretto_consumers.lag.look import Observer
from stretto_consumers.lag.watcher import Watcher
from stretto_schemas.lag.view import FollowerView
from tests.fix_add import Adding
from tests.followers_topic import newest_state

DEADLINE_S = 120.0

ROWS = "create table {0} (id int primary key, note text); insert into {0} select i, repeat('x', 500) from generate_series(1, {1}) i"


def test_a_copy_that_waits_for_a_lock_is_stalled_until_it_goes_on(adding: Adding) -> None:
    for table, rows in (("orders", 20_000), ("items", 10_000)):
        adding.leader.execute(ROWS.format(table, rows))
        adding.follower.execute(f"create table {table} (id int primary key, note text)")
    adding.leader.execute("analyze")
    adding.init()
    one_by_one = adding.settings.follower.model_copy(update={"copy_workers": 1})
    adding.settings = adding.settings.model_copy(update={"follower": one_by_one})
    seen: list[FollowerView] = []

    def add() -> None:
        with published(adding.settings, Silent()) as progress:
            adding.add(progress=progress)

    with (
        Observer(adding.settings) as observer,
        psycopg.connect(adding.leader.dsn) as writing,
        psycopg.connect(adding.follower.dsn, application_name="nightly report") as first,
        psycopg.connect(adding.follower.dsn, application_name="morning report") as second,
    ):
        writing.execute("create table late (id int)")
        first.execute("lock table orders in share mode")
        second.execute("lock table items in share mode")
        watcher = Watcher()

        def becomes(status: str, words: str) -> bool:
            seen[:] = watcher.observe(observer.look()).followers
            return [(each.status, words in each.reason) for each in seen] == [(status, True)]

        def waits() -> bool:
            state = newest_state(adding.settings.kafka, adding.settings.prefix)
            return state is not None and state.waits

        copy = threading.Thread(target=add)
        copy.start()
        try:
            for_whom = "0 % of its first copy done; waiting for the source's open transactions to end ("
            assert wait_until(lambda: becomes("CATCHING_UP", for_whom), DEADLINE_S), seen
            assert waits()
            writing.rollback()
            assert wait_until(lambda: becomes("CATCHING_UP", "2 tables in copy"), DEADLINE_S), seen
            assert not waits()
            assert wait_until(lambda: becomes("STALLED", "nothing was added for"), DEADLINE_S), seen
            [stalled] = seen
            holder = (
                f"a lock on the follower is held by pid {first.info.backend_pid} (nightly report, idle in transaction"
            )
            assert stalled.rule == 4
            assert stalled.reason.startswith("0 % of its first copy done, and nothing was added for")
            assert f"2 tables in copy, public.orders the largest; {holder}" in stalled.reason
            assert stalled.likely.startswith(holder)
            first.rollback()
            assert wait_until(lambda: becomes("CATCHING_UP", "1 table in copy, public.items"), DEADLINE_S), seen
        finally:
            writing.rollback()
            first.rollback()
            second.rollback()
            copy.join(DEADLINE_S)
        assert not copy.is_alive()
        assert wait_until(lambda: becomes("STOPPED", "it ended"), DEADLINE_S), seen
    assert adding.both("select count(*) from orders") == ([(20_000,)], [(20_000,)])
