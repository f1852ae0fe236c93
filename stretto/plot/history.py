"""What the lag monitor remembers, asked over HTTP."""

from __future__ import annotations

import http.client
from urllib.parse import urlencode

from stretto_consumers.lag.processes import place
from stretto_schemas.errors import SettingsError, StrettoError, Unreachable, UsageError
from stretto_schemas.lag.view import Point, decode_points
from stretto_schemas.lag.words import duration
from stretto_schemas.settings import Settings

TIMEOUT_S = 10.0
"""A day of 200 followers is some megabytes."""
MOST_S = 86_400.0
"""So long the monitor remembers."""


def history(settings: Settings, since_s: float, follower: str | None = None) -> list[Point]:
    """Points of the last `since_s` seconds, of one follower or of all, oldest first.

    Raises Unreachable when no monitor answers, UsageError for a time or a follower that it knows nothing of.
    """
    if not 0 < since_s <= MOST_S:
        raise UsageError(
            f"--since is {duration(since_s)}", expected="more than nothing and at most 24h, which the monitor remembers"
        )
    points = _ask(settings, {"since": f"{since_s:g}"} | ({"follower": follower} if follower else {}))
    if points:
        return points
    there = sorted({point.follower for point in _ask(settings, {"since": f"{since_s:g}"})}) if follower else []
    if there:
        raise UsageError(
            f"the lag monitor saw no follower {follower!r} in the last {duration(since_s)}",
            expected=f"one of {', '.join(there[:20])}{' ...' if len(there) > 20 else ''}",
        )
    raise UsageError(
        f"the lag monitor saw no follower in the last {duration(since_s)}",
        fix="run it longer, or see `stretto status` for why there is none",
    )


def _ask(settings: Settings, query: dict[str, str]) -> list[Point]:
    found = place(settings, "lag")
    if found is None:
        raise SettingsError(
            "lag_port is 0, so nobody knows where the lag monitor listens",
            fix="name its address in lag_address of section [http]",
        )
    host, port = found
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", f"/history?{urlencode(query)}")
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            raise _silent(host, port, f"another process answers (HTTP {answer.status})")
        return decode_points(body)
    except ConnectionRefusedError:
        raise _silent(host, port, "nothing listens") from None
    except (OSError, ValueError, http.client.HTTPException) as error:  # msgspec's errors are ValueErrors
        raise _silent(host, port, str(error) or type(error).__name__) from None
    finally:
        connection.close()


def _silent(host: str, port: int, why: str) -> StrettoError:
    return Unreachable(
        f"the lag monitor, which remembers the last hours, does not answer on {host}:{port}: {why}",
        fix="start it: `stretto run lag`; or name its address in lag_address of section [http]",
    )
