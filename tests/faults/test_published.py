"""What a follower tells the others about itself."""

from __future__ import annotations

from itertools import pairwise

from stretto.embedded.processes import wait_until
from stretto_connectors.kafka.reader import read_range, watermarks
from stretto_schemas.follower_state import FollowerState, decode_state
from stretto_schemas.names import followers_topic
from stretto_schemas.settings import Settings
from tests.faults.conftest import Faults


def published(settings: Settings) -> list[FollowerState]:
    """All records of `<prefix>.followers`, oldest first."""
    topic = followers_topic(settings.prefix)
    low, high = watermarks(settings.kafka, topic)
    return [decode_state(message.value() or b"") for message in read_range(settings.kafka, topic, 0, low, high)]


def test_what_is_visible_is_published_while_it_moves_and_at_the_end(faults: Faults) -> None:
    settings, follower_db = faults.pipeline.settings, faults.pipeline.follower
    capture, follower = faults.processes.capture(), faults.processes.follower()
    faults.write_some(50)
    faults.settled()
    [(rows,)] = follower_db.fetch("select rows from stretto.position")
    assert rows >= 50
    assert wait_until(lambda: any(state.rows >= rows for state in published(settings)), 20.0), follower.log
    faults.write_some(50)
    faults.settled()
    follower.stop()
    [(end, transactions, rows)] = follower_db.fetch(
        "select (end_lsn - '0/0'::pg_lsn)::bigint, transactions, rows from stretto.position"
    )
    states = published(settings)
    newest = states[-1]
    assert (newest.end_lsn, newest.transactions, newest.rows) == (end, transactions, rows)
    assert newest.visible_ts_us >= newest.commit_ts_us > 0
    assert [state.rows for state in states] == sorted(state.rows for state in states)
    capture.stop()


def test_it_is_published_ten_times_a_second_at_most(faults: Faults) -> None:
    settings = faults.pipeline.settings
    capture, follower = faults.processes.both()
    for number in range(300):  # a transaction each, so that batches come faster than that
        faults.pipeline.leader.execute(f"update accounts set balance = balance + {number}")
    faults.settled()
    follower.stop()
    told_us = [state.published_us for state in published(settings)][:-1]  # at its end it does not wait
    assert len(told_us) > 1
    assert min(later - earlier for earlier, later in pairwise(told_us)) >= 95_000
    capture.stop()


def test_a_follower_that_comes_back_does_not_make_what_is_visible_younger(faults: Faults) -> None:
    settings, follower_db = faults.pipeline.settings, faults.pipeline.follower
    capture, follower = faults.processes.both()
    faults.write_some(50)
    faults.settled()
    capture.stop()
    follower.stop()
    before = len(published(settings))
    follower = faults.processes.follower()
    assert wait_until(lambda: len(published(settings)) > before, 30.0), follower.log
    [(advanced_us,)] = follower_db.fetch("select (extract(epoch from updated_at) * 1e6)::bigint from stretto.position")
    assert published(settings)[-1].visible_ts_us == advanced_us
    follower.stop()


def test_a_follower_that_halts_has_published_what_it_reached(faults: Faults) -> None:
    settings, follower_db = faults.pipeline.settings, faults.pipeline.follower
    follower_db.execute("create index mine on children (note)")
    capture = faults.processes.capture()
    faults.write_some(50)
    faults.pipeline.leader.execute(
        "insert into children select 7000000, 1, string_agg(md5(i::text), '') from generate_series(1, 500) i"
    )
    follower = faults.processes.follower()
    assert follower.exit_code() == 4, follower.log
    [(rows,)] = follower_db.fetch("select rows from stretto.position")
    assert rows >= 50
    assert published(settings)[-1].rows == rows
    follower_db.execute("drop index mine")
    follower = faults.processes.follower()
    faults.settled()
    capture.stop()
