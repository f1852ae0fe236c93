from __future__ import annotations

import threading
from typing import Any, cast

from stretto_connectors.postgres.connection import connect
from stretto_consumers.follower.accounting import Batch
from stretto_consumers.follower.ahead import ReadAhead
from stretto_consumers.follower.log import LogReader
from stretto_consumers.follower.progress import Progress
from stretto_schemas.settings import load
from tests.consumers.follower.fix_batches import batch, record, shape

DEADLINE_S = 20.0


class Late:
    """A log whose batch with a barrier comes when the reading thread has just been told to end."""

    accounting = None

    def __init__(self) -> None:
        self.ending: threading.Event | None = None
        self._left = [batch([record(1, "c", {"id": 1}, None, {"id": 1})], shape(2, {"id": "int"}, ("id",)))]

    def poll(self, _: float) -> Batch | None:
        assert self.ending is not None
        assert self.ending.wait(DEADLINE_S)
        return self._left.pop() if self._left else None

    def commit_group(self) -> None:
        """Nobody asks."""

    def close(self) -> None:
        """Nothing to close."""


def test_a_barrier_that_comes_with_the_end_does_not_keep_it_up(follower_db: Any) -> None:
    settings = load(None, {"STRETTO_FOLLOWER__DSN": follower_db.dsn, "STRETTO_SOURCE__DSN": follower_db.dsn})
    reader = Late()
    with connect(settings.follower.dsn, application="test") as catalog:
        ahead = ReadAhead(settings, cast("LogReader", reader), catalog, Progress(settings))
        reader.ending = ahead._caught_up
        ahead.start()
        closing = threading.Thread(target=ahead.close, daemon=True)
        closing.start()
        closing.join(DEADLINE_S)
        assert not closing.is_alive(), "the reading thread waits for a batch that nobody will apply"
