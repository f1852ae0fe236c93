"""Writing to the log on a real broker."""

from __future__ import annotations

import socket
from typing import cast

import confluent_kafka
import pytest
from confluent_kafka import KafkaError

from stretto.embedded.kafka import EmbeddedKafka
from stretto_connectors.kafka.writer import LogWriter
from stretto_schemas.errors import Fenced, Unreachable
from stretto_schemas.settings import load
from tests.fix_stack import make_topic


def test_a_writer_that_is_closed_does_not_go_on_asking_for_its_id() -> None:
    """Else it would take the id over from the next writer as soon as the broker answers again."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(10)
        settings = load(None, {"STRETTO_KAFKA__BOOTSTRAP": f"127.0.0.1:{silent.getsockname()[1]}"}).kafka
        writer = LogWriter(settings, "id", 10.0)
        with pytest.raises(Unreachable):
            writer.init(1.0)
        client, _ = silent.accept()
        with client:
            client.settimeout(3)  # by itself the client gives up on a silent broker after 10 s
            writer.close()
            while client.recv(4096):
                pass


class Unplaced:
    """A delivery report as of a duplicate: nobody knows its offset."""

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return 0

    def offset(self) -> None:
        return None


class Forgetful(LogWriter):
    """Its broker says of no record where it lies."""

    def _delivered(self, error: KafkaError | None, _: confluent_kafka.Message) -> None:
        super()._delivered(error, cast("confluent_kafka.Message", Unplaced()))


@pytest.mark.parametrize(("kind", "known"), [(LogWriter, True), (Forgetful, False)])
def test_a_record_of_which_nobody_says_where_it_lies_is_not_taken_to_lie_at_the_start(
    kafka: EmbeddedKafka, prefix: str, kind: type[LogWriter], known: bool
) -> None:
    settings = load(None, {"STRETTO_KAFKA__BOOTSTRAP": kafka.bootstrap}).kafka
    make_topic(kafka, prefix)
    writer = kind(settings, prefix, 10.0)
    writer.init()
    writer.begin([])
    writer.produce(prefix, 0, [(b"1", b"1"), (b"2", b"2")])
    if known:
        assert writer.commit([]) == {(prefix, 0): 2}
    else:
        with pytest.raises(Unreachable, match="did not say where they lie"):
            writer.commit([])
    writer.close()


def test_a_writer_that_was_fenced_is_closed_without_another_error(kafka: EmbeddedKafka, prefix: str) -> None:
    settings = load(None, {"STRETTO_KAFKA__BOOTSTRAP": kafka.bootstrap}).kafka
    make_topic(kafka, prefix)
    old, new = (LogWriter(settings, prefix, 10.0) for _ in range(2))
    old.init()
    old.begin([])
    old.produce(prefix, 0, [(b"1", b"1")])
    new.init()
    with pytest.raises(Fenced):
        old.commit([])
    old.close()
    new.close()
