"""Followers that never were: what they would have said, written where followers say it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from confluent_kafka import Producer

from stretto_connectors.kafka.client import client_options
from stretto_connectors.kafka.reader import find_frontier
from stretto_schemas import names
from stretto_schemas.follower_state import FollowerState, encode_state, state_key
from stretto_schemas.settings import Settings

DELIVERED_S = 30.0


def caught_up(settings: Settings, name: str, **more: Any) -> FollowerState:
    """A running follower that shows all that is in the log, as of now; `more` makes it another."""
    found = find_frontier(settings.kafka, names.transactions_topic(settings.prefix, settings.source.name))
    assert found is not None, "the source must have a log"
    frontier, now_us = found[0], time.time_ns() // 1000
    fields: dict[str, Any] = {
        "follower": name,
        "source": settings.source.name,
        "epoch": frontier.epoch,
        "term": 1,
        "end_lsn": frontier.end_lsn,
        "read_lsn": frontier.end_lsn,
        "seen_lsn": frontier.end_lsn,
        "frontier_offset": found[1] + 1,
        "commit_ts_us": now_us,
        "visible_ts_us": now_us,
        "transactions": 10,
        "rows": 100,
        "published_us": now_us,
        "every_s": 3600.0,
    }
    return FollowerState(**(fields | more))


def publish(settings: Settings, states: Iterable[FollowerState]) -> None:
    """Write their records and return once the broker has them."""
    producer = Producer(client_options(settings.kafka, "test"))
    for state in states:
        key = state_key(state.follower, state.source)
        producer.produce(names.followers_topic(settings.prefix), encode_state(state), key)
    assert producer.flush(DELIVERED_S) == 0
