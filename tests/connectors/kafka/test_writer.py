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
from tests.fix_proxy import proxy_to
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


class Loading:
    """In a proxy's way: a coordinator that answers a few times that it still reads its log."""

    INIT_PRODUCER_ID, LOAD_IN_PROGRESS = 22, 14

    def __init__(self, times: int) -> None:
        self.left = times
        self._asked: dict[bytes, int] = {}

    def alter(self, data: bytes, to_server: bool) -> bytes:
        """https://kafka.apache.org/protocol#The_Messages_InitProducerId. A chunk has one or more whole messages, small as they are."""
        altered = b""
        while data:
            end = 4 + int.from_bytes(data[:4], "big")
            altered += self._message(data[:end], to_server)
            data = data[end:]
        return altered

    def _message(self, message: bytes, to_server: bool) -> bytes:
        if to_server:
            if int.from_bytes(message[4:6], "big") == self.INIT_PRODUCER_ID:
                self._asked[message[8:12]] = int.from_bytes(message[6:8], "big")
            return message
        version = self._asked.pop(message[4:8], None)
        if version is None or not self.left:
            return message
        self.left -= 1
        error_at = 8 + (version >= 2) + 4  # after the tagged fields of a newer header, and throttle_time_ms
        return message[:error_at] + self.LOAD_IN_PROGRESS.to_bytes(2, "big") + message[error_at + 2 :]


@pytest.mark.parametrize("loading_s", [0.0, 30.0])
def test_a_coordinator_that_still_reads_its_log_is_asked_again_by_who_has_patience(
    kafka: EmbeddedKafka, prefix: str, loading_s: float
) -> None:
    loading = Loading(8)
    with proxy_to(kafka.port, advertised=True) as proxy:
        proxy.alter = loading.alter
        settings = load(None, {"STRETTO_KAFKA__BOOTSTRAP": f"127.0.0.1:{proxy.port}"}).kafka
        writer = LogWriter(settings, prefix, 10.0)
        if loading_s:
            writer.init(2.0, loading_s)
            assert loading.left == 0
        else:
            with pytest.raises(Unreachable, match=r"(?i)load in progress"):
                writer.init(2.0, loading_s)
        writer.close()


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
