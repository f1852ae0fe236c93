"""A broker that makes topics by itself, as Kafka does by default: what was deleted must not come back unnoticed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from stretto.embedded.kafka import EmbeddedKafka
from tests.faults.conftest import Faults
from tests.faults.test_damage import at_rest, delete_topic, halted


@pytest.fixture(scope="module")
def kafka(stack_dir: Path) -> Iterator[EmbeddedKafka]:
    """A broker of these tests only."""
    with EmbeddedKafka(stack_dir / "auto-create", settings={"auto.create.topics.enable": "true"}) as broker:
        yield broker


def test_a_topic_deleted_under_a_running_capture_halts_it_and_stays_deleted(faults: Faults) -> None:
    at_rest(faults)
    capture = faults.processes.capture()
    capture.says("capturing from")
    topic = delete_topic(faults)
    faults.write_some()
    halted(capture, f"topic {topic} does not exist", "stretto follower add")
    client = AdminClient({"bootstrap.servers": faults.pipeline.settings.kafka.bootstrap})
    assert topic not in client.list_topics(timeout=20).topics
