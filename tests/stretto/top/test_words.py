"""What the panes say, from values."""

from __future__ import annotations

from stretto.top.words import alerts
from stretto_schemas.lag.view import Alert, PipelineView

SECOND_US = 1_000_000
AT_US = 1_764_000_000 * SECOND_US


def test_an_end_tells_the_whole_trouble_and_the_rest_what_is_wrong() -> None:
    told = [
        Alert("status", "near", "shop", "STALLED", "OK", AT_US, AT_US, False, "it stands still", statuses=("STALLED",)),
        Alert("status", "far", "shop", "OK", "STOPPED", AT_US, AT_US - 15 * SECOND_US, True, "nothing waits",
              statuses=("STALLED", "STOPPED"), until_us=AT_US - 3 * SECOND_US),
        Alert("budget", "far", "shop", "kept", "exceeded", AT_US, AT_US - 9 * SECOND_US, True, "nothing waits",
              statuses=("exceeded",), until_us=AT_US - 3 * SECOND_US),
    ]  # fmt: skip
    lines = alerts(PipelineView(AT_US, "stretto", [], [], alerts=told)).plain.splitlines()
    assert [line.partition(" ")[2] for line in lines] == [
        "ALERT near STALLED: it stands still",
        "over  far OK again; it was STALLED, then STOPPED, 12 s in all",
        "over  far lag budget kept again; it was exceeded, 6.0 s in all",
    ]
