"""Which columns are a topic's key: what the Relation message says, whatever became of the table since."""

from __future__ import annotations

from typing import Literal

import pytest

from stretto_connectors.kafka.client import admin
from stretto_connectors.postgres.connection import connect
from stretto_connectors.postgres.pgoutput import Relation
from stretto_connectors.postgres.pgoutput.messages import RelationColumn
from stretto_producers.capture.encoder import Tally
from stretto_producers.capture.relations import Relations
from stretto_schemas.tables import Table
from tests.fix_pipeline import Pipeline

INT, TEXT = 23, 25


def message(relid: int, *key: str, name: str = "t", identity: Literal["d", "i", "f", "n"] = "d") -> Relation:
    columns = tuple(
        RelationColumn(column, INT if column == "v" else TEXT, -1, column in key) for column in ("a", "b", "v")
    )
    return Relation(relid, "public", name, identity, columns)


def relid(pipeline: Pipeline, table: str) -> int:
    [(oid,)] = pipeline.leader.fetch("select %s::regclass::oid::bigint", table)
    return int(oid)


def see(pipeline: Pipeline, *messages: Relation) -> Table:
    """The shape after the last of `messages`."""
    settings = pipeline.settings
    with connect(settings.source.dsn, application="test") as sql:
        relations = Relations(settings, admin(settings.kafka), sql, Tally())
        shapes = [relations.see(each, 1)[0] for each in messages]
    return shapes[-1]


def test_the_catalog_says_in_which_order_the_key_is(pipeline: Pipeline) -> None:
    pipeline.leader.execute("create table t (a text, b text, v int, primary key (b, a))")
    pipeline.begin()
    assert see(pipeline, message(relid(pipeline, "t"), "a", "b")).key == ("b", "a")


@pytest.mark.parametrize("ddl", ["drop table t", "alter table t drop constraint t_pkey", "alter table t rename a to c"])
def test_a_table_that_had_a_key_is_keyed_whatever_became_of_it(pipeline: Pipeline, ddl: str) -> None:
    pipeline.begin()
    pipeline.leader.execute("create table t (a text, b text, v int, primary key (b, a))")
    seen = message(relid(pipeline, "t"), "a", "b")
    pipeline.leader.execute(ddl)
    assert set(see(pipeline, seen).key) == {"a", "b"}


def test_another_primary_key_since_is_not_the_key_of_older_rows(pipeline: Pipeline) -> None:
    pipeline.leader.execute("create table t (a text primary key, b text, v int)")
    pipeline.begin()
    pipeline.leader.execute("alter table t drop constraint t_pkey, add primary key (b)")
    assert see(pipeline, message(relid(pipeline, "t"), "a")).key == ("a",)


def test_with_the_whole_row_as_identity_the_primary_key_is_the_key(pipeline: Pipeline) -> None:
    pipeline.leader.execute("create table t (a text primary key, b text, v int)")
    pipeline.leader.execute("alter table t replica identity full")
    pipeline.begin()
    seen = message(relid(pipeline, "t"), "a", "b", "v", identity="f")
    assert see(pipeline, seen).key == ("a",)
    pipeline.leader.execute("drop table t")
    assert see(pipeline, seen).key == ("a",), "as it was"


def test_a_deferrable_primary_key_is_no_key(pipeline: Pipeline) -> None:
    pipeline.leader.execute("create table t (a text primary key deferrable, b text, v int)")
    pipeline.begin()  # which sets replica identity full
    assert see(pipeline, message(relid(pipeline, "t"), "a", "b", "v", identity="f")).key == ()


def test_a_table_without_identity_has_no_key(pipeline: Pipeline) -> None:
    pipeline.leader.execute("create table t (a text primary key, b text, v int)")
    pipeline.begin()
    pipeline.leader.execute("alter table t replica identity nothing")
    assert see(pipeline, message(relid(pipeline, "t"), identity="n")).key == ()
