"""Who holds a lock that a follower, or a first copy, waits for: found out by real sessions, and no longer told than known."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from stretto.embedded.processes import wait_until
from stretto_consumers.follower.accounting import Accounting
from stretto_consumers.follower.copy_lookout import CopyLookout
from stretto_consumers.follower.copy_published import NOWHERE
from stretto_consumers.follower.fit import first_session_name, session_name
from stretto_consumers.follower.lookout import Lookout
from stretto_consumers.follower.progress import Progress
from stretto_consumers.follower.waiting import Budget
from stretto_schemas.settings import Settings, load
from tests.fix_proxy import HOST, proxy_to
from tests.fix_stack import Database

DEADLINE_S = 30.0
Session = psycopg.Connection[tuple[object, ...]]


def settings_of(source: str, dsn: str) -> Settings:
    """Of a pipeline whose log nobody asks: no heartbeat of it is overdue."""
    return load(
        None,
        {
            "STRETTO_SOURCE__NAME": source,
            "STRETTO_SOURCE__DSN": "host=unused",
            "STRETTO_FOLLOWER__DSN": dsn,
            "STRETTO_KAFKA__BOOTSTRAP": f"{HOST}:1",
            "STRETTO_CAPTURE__HEARTBEAT_S": "60",
        },
    )


@contextmanager
def session(database: Database, application: str) -> Iterator[Session]:
    """A session that calls itself so."""
    with psycopg.connect(database.dsn, application_name=application) as conn:
        yield conn
        conn.rollback()


@contextmanager
def waiting_for(conn: Session, table: str, holder: Session) -> Iterator[None]:
    """While the block runs, `conn` waits for a lock that `holder` has; at its end `holder` gives up its locks."""
    thread = threading.Thread(target=conn.execute, args=(f"lock table {table}",))
    thread.start()
    try:
        yield
    finally:
        holder.rollback()
        thread.join(DEADLINE_S)
    assert not thread.is_alive()


@contextmanager
def looking(lookout: CopyLookout | Lookout) -> Iterator[None]:
    """It looks while the block runs."""
    lookout.start()
    try:
        yield
    finally:
        lookout.close()


def standing() -> float:
    """For how long nothing has been added to a copy: for ever."""
    return 3600.0


def test_of_two_sources_copied_into_one_database_each_tells_whom_it_waits_for_itself(follower_db: Database) -> None:
    follower_db.execute("create table orders (id int); create table items (id int)")
    shop, stock = (CopyLookout(settings_of(source, follower_db.dsn), standing) for source in ("shop", "stock"))
    with (
        session(follower_db, "nightly report") as report,
        session(follower_db, first_session_name("stock")) as other,
        session(follower_db, session_name("shop")) as own,
    ):
        report.execute("lock table items")
        other.execute("lock table orders")
        with waiting_for(own, "orders", other), waiting_for(other, "items", report), looking(shop), looking(stock):
            assert wait_until(lambda: bool(shop.blocked_by and stock.blocked_by), DEADLINE_S)
            by_other, by_report = (f"pid {conn.info.backend_pid} (" for conn in (other, report))
            assert wait_until(lambda: shop.blocked_by.startswith(f"{by_other}stretto follower add stock"), DEADLINE_S)
            assert by_report not in shop.blocked_by
            assert stock.blocked_by.startswith(f"{by_report}nightly report")


def test_the_longest_name_of_a_source_is_not_cut_off(follower_db: Database) -> None:
    name = first_session_name(40 * "s")
    with session(follower_db, name) as conn:
        assert conn.execute("show application_name").fetchone() == (name,)


@pytest.mark.parametrize("of_a_copy", [True, False])
def test_nobody_is_named_any_more_when_the_server_cannot_be_asked(follower_db: Database, *, of_a_copy: bool) -> None:
    follower_db.execute("create table orders (id int)")
    with (
        proxy_to(follower_db.port) as proxy,
        session(follower_db, "nightly report") as report,
        session(follower_db, session_name("shop")) as own,
    ):
        settings = settings_of("shop", make_conninfo(follower_db.dsn, host=HOST, port=proxy.port))
        progress = Progress(settings)
        lookout: CopyLookout | Lookout
        told: CopyLookout | Progress
        if of_a_copy:
            lookout = told = CopyLookout(settings, standing)
        else:
            begun = msgspec.structs.replace(NOWHERE, commit_ts_us=time.time_ns() // 1000)
            accounting = Accounting(begun, Budget(1, None), frozenset(), lambda *_: None)
            progress.opened(begun, accounting)
            lookout, told = Lookout(settings, progress, accounting, own.info.backend_pid), progress
        report.execute("lock table orders")
        with waiting_for(own, "orders", report), progress.work.on("public.orders"), looking(lookout):
            holder = f"pid {report.info.backend_pid} (nightly report"
            assert wait_until(lambda: told.blocked_by.startswith(holder), DEADLINE_S)
            proxy.cut()
            assert wait_until(lambda: not told.blocked_by, DEADLINE_S)
            proxy.mend()
            assert wait_until(lambda: told.blocked_by.startswith(holder), DEADLINE_S)
