"""Orders for a follower in its own database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from stretto_connectors.postgres.bookkeeping import ensure_schema
from stretto_connectors.postgres.connection import Connection, connect
from stretto_connectors.postgres.control import (
    NOTHING_WANTED,
    delete_control,
    ensure_control,
    read_control,
    write_delay,
    write_pause,
    write_resume,
)
from tests.fix_stack import Database


@pytest.fixture
def conn(follower_db: Database) -> Iterator[Connection]:
    """A session on a database that has been made ready."""
    with connect(SecretStr(follower_db.dsn), application="test") as made:
        ensure_schema(made)
        yield made


def test_in_a_database_that_an_older_version_made_nothing_is_wanted_until_the_first_order(conn: Connection) -> None:
    conn.execute("drop table stretto.control")
    assert read_control(conn, "leader") == NOTHING_WANTED
    assert not delete_control(conn, "leader")
    ensure_control(conn)
    write_pause(conn, "leader", "upgrade")
    assert read_control(conn, "leader").reason == "upgrade"


def test_a_pause_keeps_its_beginning_when_it_is_ordered_again_and_takes_a_new_reason(conn: Connection) -> None:
    write_pause(conn, "leader", "backup")
    first = read_control(conn, "leader")
    write_pause(conn, "leader", None)
    assert read_control(conn, "leader") == first
    write_pause(conn, "leader", "longer backup")
    again = read_control(conn, "leader")
    assert (again.since, again.reason) == (first.since, "longer backup")
    write_resume(conn, "leader")
    ended = read_control(conn, "leader")
    write_resume(conn, "leader")
    assert read_control(conn, "leader") == ended
    assert (ended.paused, ended.reason) == (False, "")
    assert first.since is not None
    assert ended.since is not None
    assert ended.since > first.since
    write_pause(conn, "leader", None)
    assert read_control(conn, "leader").reason == "", "the reason of an earlier pause is not this one's"


def test_a_delay_is_exact_and_none_lets_the_setting_hold_and_a_pause_leaves_it_alone(conn: Connection) -> None:
    for seconds in (0.0, 0.25, 3.0, 86_400 * 400.5):
        write_delay(conn, "leader", seconds)
        assert read_control(conn, "leader").apply_delay_s == seconds
    write_pause(conn, "leader", None)
    assert read_control(conn, "leader").apply_delay_s == 86_400 * 400.5
    write_delay(conn, "leader", None)
    assert read_control(conn, "leader").apply_delay_s is None
    assert read_control(conn, "leader").paused


def test_orders_are_a_sources_own(conn: Connection) -> None:
    write_pause(conn, "one", None)
    write_delay(conn, "two", 7)
    assert read_control(conn, "one").apply_delay_s is None
    assert not read_control(conn, "two").paused
    assert delete_control(conn, "one")
    assert read_control(conn, "one") == NOTHING_WANTED
    assert read_control(conn, "two").apply_delay_s == 7


def test_the_followers_role_may_read_what_another_role_ordered_first(
    conn: Connection, follower_db: Database, prefix: str
) -> None:
    """An administrator's command makes the table in an older database; the process must not end for want of a right."""
    conn.execute("drop table stretto.control")
    role = f"apply_{prefix}"
    follower_db.execute(f"create role {role} login")
    try:
        follower_db.execute(f"alter table stretto.position owner to {role}; grant usage on schema stretto to {role}")
        ensure_control(conn)
        write_pause(conn, "leader", "backup")
        dsn = SecretStr(follower_db.dsn.replace("user=postgres", f"user={role}"))
        with connect(dsn, application="test") as own:
            assert read_control(own, "leader").paused
            write_resume(own, "leader")
    finally:
        follower_db.execute(f"drop owned by {role} cascade")
        follower_db.execute(f"drop role {role}")
