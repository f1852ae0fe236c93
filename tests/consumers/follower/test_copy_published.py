"""What `stretto follower add` says in the followers topic, and that it ends no copy."""

from __future__ import annotations

from itertools import pairwise

import pytest

from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import delete_topics
from stretto_consumers.follower.add_progress import Silent
from stretto_consumers.follower.copy_published import published
from stretto_schemas.errors import StrettoError, UsageError
from stretto_schemas.names import followers_topic
from tests.fix_add import Adding
from tests.followers_topic import follower_records, newest_state

ROWS = "create table item (id int primary key, note text); insert into item select i, repeat('x', 500) from generate_series(1, {}) i"


class Noting(Silent):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def add(adding: Adding, **options: bool) -> list[str]:
    """Copy as the command does; give the notes."""
    noting = Noting()
    with published(adding.settings, noting) as progress:
        adding.add(progress=progress, **options)
    return noting.notes


def test_it_only_grows_ends_at_1_and_then_says_where_the_follower_stands(adding: Adding) -> None:
    settings = adding.settings
    adding.leader.execute(ROWS.format(200_000))
    adding.leader.execute("create table empty (id int primary key); analyze")
    adding.init()
    add(adding)
    records = follower_records(settings.kafka, settings.prefix)
    states = [state for key, state in records if key == b"follower/leader" and state is not None]
    *under_way, last = states
    assert {state.state for state in under_way} == {"copying"}
    shares = [state.copied if state.copied is not None else -1.0 for state in states]
    assert all(before <= after for before, after in pairwise(shares)), shares
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert {"Taking a snapshot of the source"} <= {state.said for state in under_way}
    assert [[each.table for each in state.copying] for state in under_way if state.copying and state.copied][:1] == [
        ["public.item"]
    ]
    assert all(second.published_us - first.published_us > 400_000 for first, second in pairwise(under_way[:-1]))
    assert all(state.every_s == settings.follower.publish_s for state in states)
    position = adding.position()
    assert position is not None
    assert (last.state, last.copying, last.end_lsn, last.epoch) == ("stopped", [], position.end_lsn, position.epoch)
    assert "`stretto run follower` keeps it up to date" in last.said


def test_a_copy_that_fails_says_why_and_one_that_is_refused_leaves_alone_what_the_follower_said(adding: Adding) -> None:
    kafka, prefix = adding.settings.kafka, adding.settings.prefix
    adding.leader.execute(ROWS.format(10))
    adding.init()
    adding.follower.execute("create type item as (a int)")
    with pytest.raises(StrettoError) as failure:
        add(adding)
    state = newest_state(kafka, prefix)
    assert state is not None
    assert (state.state, state.said) == ("stopped", failure.value.found.splitlines()[0])
    adding.follower.execute("drop type item")
    add(adding)
    before = follower_records(kafka, prefix)
    with pytest.raises(UsageError):
        add(adding)
    assert follower_records(kafka, prefix) == before


def test_a_copy_whose_progress_cannot_be_published_goes_on_and_says_so_once(adding: Adding) -> None:
    """Its topic is gone; that a right is lacking tests/containers has."""
    adding.leader.execute(ROWS.format(10))
    adding.init()
    kafka, topic = adding.settings.kafka, followers_topic(adding.settings.prefix)
    assert delete_topics(admin(kafka), kafka, [topic]) == [topic]
    notes = add(adding)
    assert len([note for note in notes if "how far the copy is, is not published: Kafka at" in note]) == 1, notes
    assert adding.position() is not None
