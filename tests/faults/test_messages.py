"""Logical messages outside of transactions: once each, whatever happens to capture."""

from __future__ import annotations

import json

from stretto.embedded.processes import wait_until
from stretto_connectors.kafka.reader import read_range, watermarks
from stretto_schemas.errors import Halted
from stretto_schemas.names import message_topic
from tests.faults.conftest import Faults


def keys(faults: Faults) -> list[str]:
    """The prefixes of all messages in the log; the first one makes the topic."""
    settings = faults.pipeline.settings
    topic = message_topic(settings.prefix, settings.source.name)
    try:
        low, high = watermarks(settings.kafka, topic)
    except Halted:
        return []
    return [json.loads(message.key() or b"")["prefix"] for message in read_range(settings.kafka, topic, 0, low, high)]


def test_a_message_that_was_written_does_not_come_again(faults: Faults) -> None:
    emit = "select pg_logical_emit_message(false, %s, 'x')"
    quiet = {"capture__heartbeat_s": "3600"}
    faults.pipeline.leader.execute("select pg_logical_emit_message(true, 'zero', 'x')")
    capture = faults.processes.capture(**quiet)
    capture.says("capturing from")
    written = ["zero"]
    for word in ("one", "two", "three"):
        faults.pipeline.leader.execute(emit, word)
        written.append(word)
        assert wait_until(lambda: keys(faults)[-1:] == written[-1:], 30.0), keys(faults)
        capture.kill()
        capture = faults.processes.capture(**quiet)
        capture.says("capturing from")
    faults.pipeline.leader.execute("select pg_logical_emit_message(true, 'end', 'x')")
    assert wait_until(lambda: keys(faults)[-1:] == ["end"], 30.0)
    assert keys(faults) == [*written, "end"]
    capture.stop()
