"""The monitor's answers in JSON: /windows, /history, /alerts; /status is the view itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from stretto_consumers.lag.monitor.folds import FlowWindow, LagWindow
from stretto_consumers.lag.monitor.looks import Looks
from stretto_consumers.lag.monitor.tables import KEPT_S, Tables, Windows
from stretto_schemas.errors import UsageError
from stretto_schemas.lag.view import Point, encode_points

DAY_S = 86_400.0
DEFAULT_S = 3_600.0
MOST_ALERTS = 1_000

_encode = msgspec.json.Encoder().encode


class Web:
    """By path: from the query to JSON. Any thread. Raises UsageError for parameters that make no sense."""

    def __init__(self, looks: Looks, tables: Callable[[], Tables | None]) -> None:
        self._looks = looks
        self._tables = tables
        self.pages: Mapping[str, Callable[[str], bytes]] = {
            "/windows": self.windows,
            "/history": self.history,
            "/alerts": self.alerts,
        }

    def windows(self, query: str) -> bytes:
        """`since` seconds (3600), `follower`: windows of lag and flow that end within that time, oldest first."""
        asked = _parameters(query, "since", "follower")
        since_s, follower = _seconds(asked, KEPT_S), asked.get("follower")
        tables = self._tables()
        answer: dict[str, dict[str, list[dict[str, Any]]]] = {"lag": {}, "flow": {}}
        if tables is not None:
            for windows in tables.lag:
                answer["lag"][_span_name(windows)] = _rows(windows, since_s, follower, _lag_row)
            for flow in tables.flow:
                answer["flow"][_span_name(flow)] = _rows(flow, since_s, follower, _flow_row)
        return _encode(answer)

    def history(self, query: str) -> bytes:
        """`since` seconds (3600), `follower`: points for charts, by the broker's clock, oldest first. What this process
        did not see is from the minute windows, by their mean.
        """
        asked = _parameters(query, "since", "follower")
        since_s, follower = _seconds(asked, DAY_S), asked.get("follower")
        now_us, points = self._looks.history(since_s)
        begin_us = min((point.at_us for point in points), default=now_us)
        points = [*self._before(begin_us, since_s, now_us), *points]
        if follower is not None:
            points = [point for point in points if point.follower == follower]
        return encode_points(points)

    def alerts(self, query: str) -> bytes:
        """`most` (100): what is wrong now, then what is over, the newest first."""
        asked = _parameters(query, "most")
        most = asked.get("most", "100")
        if not re.fullmatch("[0-9]{1,9}", most) or not 1 <= int(most) <= MOST_ALERTS:
            raise UsageError(
                f"most={most[:100]} is no number of alerts", expected=f"a whole number from 1 to {MOST_ALERTS}"
            )
        return _encode(self._looks.alert_log.recent(int(most)))

    def _before(self, begin_us: int, since_s: float, now_us: int) -> list[Point]:
        tables = self._tables()
        if tables is None:
            return []
        found = []
        for (key, (_, end_s)), window in tables.lag[0].items():
            at_us = round(end_s * 1e6)
            if now_us - since_s * 1e6 <= at_us < begin_us:
                follower, source = _split(key)
                found.append(Point(at_us, follower or "", source, window.mean()))
        return sorted(found, key=lambda point: point.at_us)


def _parameters(query: str, *known: str) -> dict[str, str]:
    try:
        asked = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise UsageError(f"query {query[:100]!r} cannot be read", expected="name=value&name=value") from None
    for name, _ in asked:
        if name not in known:
            raise UsageError(f"parameter {name[:100]!r} is not known here", expected=" or ".join(known))
    return dict(asked)


def _seconds(asked: Mapping[str, str], most_s: float) -> float:
    given = asked.get("since")
    if given is None:
        return min(DEFAULT_S, most_s)
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= most_s:  # also nan
        raise UsageError(f"since={given[:100]} is no time", expected=f"seconds, above 0 and up to {most_s:g}")
    return seconds


def _span_name(windows: Windows[Any]) -> str:
    return windows.name.partition("_")[2]


def _rows(
    windows: Windows[Any], since_s: float, follower: str | None, row: Callable[[str, Any], dict[str, Any]]
) -> list[dict[str, Any]]:
    found = windows.items()
    newest_s = max((span[1] for (_, span), _ in found), default=0.0)
    return [
        {"begin_s": span[0], "end_s": span[1], **row(key, window)}
        for (key, span), window in sorted(found, key=lambda each: (each[0][1], each[0][0]))
        if span[1] >= newest_s - since_s and follower in (None, _split(key)[0])
    ]


def _split(key: str) -> tuple[str | None, str]:
    """Follower and source of a window's key; one without a follower is the source's own."""
    follower, _, source = key.rpartition("/")
    return follower or None, source


def _lag_row(key: str, window: LagWindow) -> dict[str, Any]:
    follower, source = _split(key)
    values = {"looks": window.looks, "max": window.max, "mean": window.mean(), "last": window.last}
    return {"follower": follower, "source": source, **values}


def _flow_row(key: str, window: FlowWindow) -> dict[str, Any]:
    """The source's own is what capture committed."""
    follower, source = _split(key)
    counts = {"rows": window.rows, "transactions": window.transactions, "wal_bytes": window.wal_bytes}
    return {"follower": follower, "source": source, **counts}
