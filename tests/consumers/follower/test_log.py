"""Reading the log while the broker is away."""

from __future__ import annotations

import pytest

from stretto_consumers.follower import log
from stretto_consumers.follower.log import LogReader
from stretto_schemas.errors import Unreachable
from stretto_schemas.position import Position
from stretto_schemas.settings import load


def test_a_partition_that_nobody_leads_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "METADATA_S", 0.2)
    settings = load(None, {"STRETTO_KAFKA__BOOTSTRAP": "127.0.0.1:1"})
    reader = LogReader(settings, Position("leader", 1, 0, 0, 0, 0, 0, {}))
    try:
        with pytest.raises(Unreachable, match="offsets of partition 3 of t"):
            reader._out_of_range("t", 3)
    finally:
        reader.close()
