"""A broker that takes connections and says nothing: every admin request ends, as something that is waited for."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient

from stretto_connectors.kafka import existing, reader, topics
from stretto_connectors.kafka.client import admin
from stretto_schemas.errors import Unreachable
from stretto_schemas.settings import KafkaSettings, load

Request = Callable[[AdminClient, KafkaSettings], object]

REQUESTS: dict[str, Request] = {
    "make": lambda client, kafka: topics.ensure_topics(client, kafka, ["t"], partitions=1, config={}),
    "trim": lambda client, kafka: topics.delete_before(client, kafka, "t", 0, 1),
    "count": lambda client, kafka: topics.partition_counts(client, kafka),
    "describe": lambda client, kafka: existing.topic_configs(client, kafka, ["t"]),
    "describe broker": lambda client, kafka: existing.broker_config(client, kafka),
    "delete": lambda client, kafka: existing.delete_topics(client, kafka, ["t"]),
    "ends": lambda client, kafka: reader.end_offsets(client, kafka, [("t", 0)]),
}


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[KafkaSettings]:
    """Settings that name it; time-outs are short, to the same proportions."""
    for module in (existing, reader, topics):
        monkeypatch.setattr(module, "TIMEOUT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield load(None, {"STRETTO_KAFKA__BOOTSTRAP": f"127.0.0.1:{server.getsockname()[1]}"}).kafka


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_silent_broker_is_waited_for(silent: KafkaSettings, request_: Request) -> None:
    with pytest.raises(Unreachable):
        request_(admin(silent), silent)
