"""Names of topics: allowed by Kafka, and never the same for two tables."""

from __future__ import annotations

import itertools
import re

import pytest

from stretto_schemas import names
from stretto_schemas.errors import SettingsError
from stretto_schemas.settings import load

ALLOWED = re.compile(r"[a-zA-Z0-9._-]{1,249}")

TABLES = [
    ("public", "item"),
    ("public", "Item"),
    ("public", "a.b"),
    ("public", "a_b"),
    ("public", "a b"),
    ("public.a", "b"),
    ("größe", "x"),
    ("gr__e", "x"),
    ("s" * 63, "t" * 63),
    ("ü" * 31, "日" * 21),
    ("ü" * 31, "本" * 21),
]


@pytest.mark.parametrize("prefix", ["stretto", "p" * 60])
@pytest.mark.parametrize("source", ["leader", "s" * 40])
def test_every_table_has_a_topic_of_its_own_that_kafka_allows(prefix: str, source: str) -> None:
    topics = [names.table_topic(prefix, source, schema, table) for schema, table in TABLES]
    assert [topic for topic in topics if not ALLOWED.fullmatch(topic)] == []
    assert all(topic.startswith(f"{prefix}.{source}.") for topic in topics)
    for one, other in itertools.combinations(topics, 2):
        assert one != other
        assert one.replace(".", "_") != other.replace(".", "_"), "Kafka takes these for the same"


def test_a_name_beyond_kafkas_limit_is_cut_and_told_apart_by_its_digest() -> None:
    long = [names.table_topic("p" * 60, "s" * 40, "s" * 100, "t" * 100 + end) for end in "ab"]
    assert [len(topic) for topic in long] == [names.MAX_TOPIC_LENGTH] * 2
    assert long[0] != long[1]
    assert len(names.table_topic("p" * 60, "s" * 40, "s" * 63, "t" * 63)) < names.MAX_TOPIC_LENGTH


def test_the_own_topics_of_a_source_are_no_tables() -> None:
    own = {names.transactions_topic("p", "s"), names.schema_topic("p", "s"), names.message_topic("p", "s")}
    assert {topic.count(".") for topic in own} == {2}
    assert {names.table_topic("p", "s", *table).count(".") for table in TABLES} == {3}


@pytest.mark.parametrize(
    ("topic", "source"),
    [
        (names.transactions_topic("p.q", "s"), "s"),
        (names.schema_topic("p.q", "s-1"), "s-1"),
        (names.transactions_topic("p.q.r", "s"), None),
        (names.transactions_topic("pxq", "s"), None),
        (names.message_topic("p.q", "s"), None),
        (names.table_topic("p.q", "s", "public", "schema"), None),
        (names.followers_topic("p.q"), None),
        *((topic, None) for topic in names.monitor_topics("p.q", "schema")),
    ],
)
def test_a_source_is_known_by_its_own_topics_under_its_own_prefix(topic: str, source: str | None) -> None:
    assert names.source_of("p.q", topic) == source


@pytest.mark.parametrize("source", [*sorted(names.RESERVED_SOURCES), "", "A", "a.b", "s" * 41, "ü"])
def test_a_source_that_would_collide_with_other_topics_is_refused(source: str) -> None:
    with pytest.raises(SettingsError, match="name"):
        load(None, {"STRETTO_SOURCE__NAME": source})


def test_a_follower_may_have_a_name_that_a_source_may_not() -> None:
    assert load(None, {"STRETTO_FOLLOWER__NAME": "alerts"}).follower.name == "alerts"
    with pytest.raises(SettingsError):
        load(None, {"STRETTO_FOLLOWER__NAME": "a/b"})


@pytest.mark.parametrize("prefix", ["", ".", "a.", ".a", "a..b", "a b", "p" * 61])
def test_a_prefix_that_cannot_begin_a_topic_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError):
        load(None, {"STRETTO_PREFIX": prefix})
