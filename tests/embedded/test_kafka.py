"""A real Kafka broker: started, stopped, killed, and refused for every reason that a user meets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from stretto.embedded.errors import AlreadyRunning, PortTaken
from stretto.embedded.kafka import EmbeddedKafka


def create(broker: EmbeddedKafka, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(topic, 1)])[topic].result(30)


def write(broker: EmbeddedKafka, topic: str, value: str) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "acks": "all"})
    producer.produce(topic, value)
    assert producer.flush(30) == 0


def read(broker: EmbeddedKafka, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": topic, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        return [message.value() for message in consumer.consume(count, timeout=30)]
    finally:
        consumer.close()


def test_records_outlive_a_restart_and_a_kill(tmp_path: Path) -> None:
    settings = {"broker.session.timeout.ms": "1500"}  # how long a killed broker's place is kept
    broker = EmbeddedKafka(tmp_path / "größe k", heap_mb=512, settings=settings)
    with broker:
        bootstrap, first = broker.bootstrap, broker.pid
        create(broker, "t")
        write(broker, "t", "one")
        broker.restart()
        assert broker.bootstrap == bootstrap
        assert broker.pid != first
        write(broker, "t", "two")
        broker.kill()
        assert broker.pid is None
        broker.start()
        assert read(broker, "t", 2) == [b"one", b"two"]
        assert broker.log.exists()
    assert broker.pid is None


def test_a_second_broker_on_the_same_folder_is_refused_by_pid(kafka: EmbeddedKafka) -> None:
    with pytest.raises(AlreadyRunning, match=f"pid {kafka.pid}"):
        EmbeddedKafka(kafka.data).start()


def test_a_taken_port_is_named_with_who_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTaken) as caught:
            EmbeddedKafka(tmp_path / "data", port=port).start()
    assert f"port {port}" in caught.value.found
    assert f"(pid {os.getpid()})" in caught.value.found
    assert "--kafka-port" in caught.value.fix
