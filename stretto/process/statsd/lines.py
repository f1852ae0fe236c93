"""Readings as lines of the StatsD protocol, and lines as datagrams. Pure.

Sources: docs.datadoghq.com, "Datagram Format and Shell Usage" (`name:value|g|#tag:value,...`); statsd/statsd,
docs/metric_types.md and docs/server.md (several metrics a datagram, a line each; what begins with a sign is added to a gauge).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from stretto.process.statsd.reading import Reading

MOST_BYTES: Final = 1432
"""In one datagram: an Ethernet frame of 1500 bytes less the headers of IP and UDP, and some for tunnels."""

MOST_TAG = 200
"""Characters of a tag that Datadog keeps."""

_NOT_IN_TAG = re.compile(r"[^\w./-]")
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_-]")


def line(reading: Reading, flavor: str) -> str:
    """One metric; of a gauge below zero in plain StatsD two lines, which must not be parted. Has no newline at its end.

    `datadog`: labels are tags. `statsd`: the values of the labels are parts of the name, in their declared order. A label
    without a value is left out.
    """
    kind, value = "c" if reading.counter else "g", number(reading.value)
    labels = [(label, text) for label, text in reading.labels.items() if text]
    if flavor == "datadog":
        tags = ",".join(_tag(label, text) for label, text in labels)
        return f"{reading.name}:{value}|{kind}" + (f"|#{tags}" if tags else "")
    name = ".".join([reading.name, *(_NOT_IN_NAME.sub("_", text)[:MOST_TAG] for _, text in labels)])
    if kind == "g" and value.startswith("-"):
        return f"{name}:0|g\n{name}:{value}|g"  # a sign means: so much less than before
    return f"{name}:{value}|{kind}"


def number(value: float) -> str:
    """To the microsecond, without an exponent, which not every server reads."""
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def datagrams(lines: Iterable[str]) -> Iterator[bytes]:
    """As many lines in each as fit into `MOST_BYTES`. A line that alone does not fit is left out: it would be cut on its way."""
    held: list[bytes] = []
    size = 0
    for each in lines:
        encoded = each.encode()
        if len(encoded) > MOST_BYTES:
            continue
        if held and size + 1 + len(encoded) > MOST_BYTES:
            yield b"\n".join(held)
            held, size = [], 0
        size += len(encoded) + (1 if held else 0)
        held.append(encoded)
    if held:
        yield b"\n".join(held)


def _tag(label: str, text: str) -> str:
    return f"{label}:{_NOT_IN_TAG.sub('_', text)}"[:MOST_TAG]
