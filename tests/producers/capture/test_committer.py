"""The thread that commits, on a real broker."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from stretto.embedded.kafka import EmbeddedKafka
from stretto_connectors.kafka.writer import LogWriter
from stretto_producers.capture.batch import Sealed
from stretto_producers.capture.committer import SETTLING_MAX_S, Committer, Written
from stretto_schemas.errors import StrettoError
from stretto_schemas.settings import load
from tests.fix_stack import make_topic


@pytest.fixture
def committer(kafka: EmbeddedKafka, prefix: str) -> Iterator[Committer]:
    settings = load(None, {"STRETTO_KAFKA__BOOTSTRAP": kafka.bootstrap}).kafka
    make_topic(kafka, prefix)
    writer = LogWriter(settings, prefix, 10.0)
    writer.init()
    made = Committer(writer, lambda: [(prefix, b"open", b"key", 0)], lambda _: [])
    yield made
    made.close()
    writer.close()


def outcome(committer: Committer) -> Written:
    """The batch in flight, once it is committed."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        committer.wait(1.0)
        written = committer.take()
        if written is not None:
            return written
    raise AssertionError("nothing was committed")


def batch(topic: str, rows: int) -> Sealed:
    return Sealed({(topic, 0): [(b"value", b"key")] * rows}, None, {(topic, 0): rows}, {}, [], rows, rows * 5)


def test_batches_are_committed_one_after_another(committer: Committer, prefix: str) -> None:
    ends: list[int] = []
    for _ in range(3):
        sealed = batch(prefix, 2)
        submitted_at = time.monotonic()
        committer.submit(sealed)
        written = outcome(committer)
        assert written.sealed is sealed
        assert submitted_at + written.seconds < written.settled_at <= time.monotonic() + SETTLING_MAX_S
        ends.append(written.offsets[prefix, 0])
    assert ends == [3, 7, 11]  # each time an opening record, two rows, a marker
    assert committer.take() is None


def test_what_a_write_raises_comes_out_once(committer: Committer, prefix: str) -> None:
    committer.submit(batch(f"{prefix}-is-not-there", 1))
    with pytest.raises(StrettoError, match=r"is-not-there|committing"):
        outcome(committer)
    assert not committer.busy
    assert committer.take() is None
