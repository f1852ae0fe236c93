"""Every difference between Debezium's records and Stretto's that is meant to be, by name; a test fails on any other.

It also fails when one of these no longer occurs. `docs/debezium.md` has the table: `python -m tests.debezium.accepted`
writes it anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stretto_schemas import names
from tests.debezium import workload
from tests.debezium.meaning import same_value
from tests.debezium.records import MISSING, Difference, clock_reading
from tests.debezium.worker import CONNECTOR

DOCS = Path(__file__).parents[2] / "docs" / "debezium.md"
_BEGIN, _END = "<!-- {} begin -->", "<!-- {} end -->"


@dataclass(frozen=True)
class Accepted:
    """A named difference: what each side writes, and why Stretto does not do the same."""

    name: str
    theirs: str
    ours: str
    why: str
    explains: Callable[[Difference], bool]
    lossy: bool = False
    """Debezium's record does not tell what the row held."""


def _column(d: Difference) -> bool:
    return d.path[:2] in (("value", "before"), ("value", "after")) or d.path[0] == "key" or d.path[0] == "headers"


def _value(name: str) -> Callable[[Difference], bool]:
    def explains(d: Difference) -> bool:
        return (
            bool(d.type)
            and _column(d)
            and isinstance(d.ours, str)
            and same_value(d.type, d.theirs, str(d.ours)) == name
        )

    return explains


def _commit(d: Difference) -> bool:
    assert d.their_record is not None
    source = d.their_record.envelope["source"]
    xid, _, lsn = str(d.ours).partition(":")
    return d.theirs == f"{source['txId']}:{source['lsn']}" and xid == source["txId"] and int(lsn) >= int(source["lsn"])


def _kind(d: Difference) -> str:
    record = d.their_record or d.our_record
    assert record is not None
    return record.kind


def _table(d: Difference) -> str:
    record = d.their_record or d.our_record
    assert record is not None
    return record.table[1]


def _not_sent(d: Difference) -> bool:
    """A column of `before` that is not in the replica identity."""
    return d.path[:2] == ("value", "before") and d.ours is None and _kind(d) == "d"


def _topics(d: Difference) -> bool:
    assert d.our_record is not None
    schema, name = d.our_record.table
    ours = names.table_topic("prefix", "source", schema, name).removeprefix("prefix.source.")
    return bool(d.ours == ours and d.theirs == re.sub(r"[^a-zA-Z0-9._-]", "_", f"{schema}.{name}"))


DIFFERENCES: tuple[Accepted, ...] = (
    # --- the envelope
    Accepted(
        "transaction.id",
        "`xid:LSN of the row`: another one for each row of a transaction",
        "`xid:LSN of the commit`: one for the whole transaction",
        "an id that all rows of a transaction share is what a consumer groups by",
        lambda d: d.path == ("value", "transaction", "id") and _commit(d),
    ),
    Accepted(
        "source.version",
        "Debezium's version",
        "Stretto's version",
        "it says who wrote the record",
        lambda d: d.path == ("value", "source", "version"),
    ),
    Accepted(
        "source.epoch",
        "not there",
        "the source's epoch",
        "followers tell by it what an old leader wrote after a failover",
        lambda d: d.path == ("value", "source", "epoch") and d.theirs is MISSING,
    ),
    Accepted(
        "context headers",
        "`__debezium.context.*`: connector, task, run",
        "not there",
        "they say nothing about the row",
        lambda d: d.path[0] == "headers" and d.path[1].startswith("__debezium.context.") and d.ours is MISSING,
    ),
    Accepted(
        "tombstone headers",
        "not there",
        "`transaction.id` and `transaction.total_order` in the headers of a tombstone",
        "every record tells its transaction, so that a follower can count them",
        lambda d: (
            d.path[0] == "headers"
            and d.path[1] in ("transaction.id", "transaction.total_order")
            and d.theirs is MISSING
            and _kind(d) == "tombstone"
        ),
    ),
    Accepted(
        "stretto.unchanged",
        "not there",
        "a header names the columns whose value was not sent",
        "a row may hold the placeholder's text as its real value",
        lambda d: d.path == ("headers", "stretto.unchanged") and d.theirs is MISSING,
    ),
    Accepted(
        "topic names",
        "each character that Kafka refuses becomes `_`",
        "the same, then `_` and 8 hexadecimal digits of the name's SHA-256; also for a dot in a name",
        "two tables never share a topic",
        lambda d: d.path == ("topic",) and _topics(d),
    ),
    # --- keys
    Accepted(
        "keyless tables",
        "key null",
        "the whole row (after an update: the old one)",
        "equal rows stay in one partition and in order",
        lambda d: d.path == ("key",) and d.theirs is None and _table(d) == "keyless",
    ),
    Accepted(
        "identity index",
        "the key is the primary key, which an update or delete does not tell with REPLICA IDENTITY USING INDEX: it is 0 then",
        "the key is the index's columns",
        "the key is what identifies the row in the WAL",
        lambda d: _table(d) == "identity_index" and _by_index(d),
        lossy=True,
    ),
    # --- what was not there
    Accepted(
        "before outside the identity",
        "in `before` of a delete, a NOT NULL column outside the replica identity holds its default, 0 or 1970",
        "null",
        "the WAL does not say what it held",
        lambda d: _not_sent(d) and d.theirs is not None and d.theirs is not MISSING,
        lossy=True,
    ),
    Accepted(
        "null with a default",
        "a NULL in a column that has a default comes out as the default (JsonConverter's replace.null.with.default)",
        "null",
        "the row holds NULL",
        lambda d: d.path == ("value", "after", "a") and _table(d) == "defaults" and d.ours is None and d.theirs == "5",
        lossy=True,
    ),
    Accepted(
        "columns left out",
        "a column of type interval[] or money[] is not in the record",
        "it is there",
        "no type is left out",
        lambda d: d.theirs is MISSING and d.type in ("interval[]", "money[]"),
        lossy=True,
    ),
    Accepted(
        "rows left out",
        "a value that it cannot read (a timetz whose zone has seconds) ends the connector, or, told to go on, costs the row",
        "the row is there",
        "nothing is left out",
        lambda d: d.path == ("record",) and d.theirs is MISSING and _table(d) == "refused",
        lossy=True,
    ),
    Accepted(
        "TRUNCATE",
        "a record with `op` t in each table's topic (left out unless skipped.operations says otherwise)",
        "one barrier in the transactions topic",
        "it must come between the right rows of all partitions",
        lambda d: d.path == ("record",) and d.theirs == "t" and d.ours is MISSING,
    ),
    Accepted(
        "order after TRUNCATE",
        "a truncated table counts in total_order and data_collection_order",
        "it does not",
        "only records are counted",
        lambda d: d.path[:2] == ("value", "transaction") and d.path[2].endswith("_order") and _table(d) == "emptied",
    ),
    # --- messages
    Accepted(
        "message content",
        "in the form that binary.handling.mode names: hexadecimal here, base64 when it is not set",
        "base64",
        "one form",
        lambda d: d.path == ("value", "message", "content"),
    ),
    Accepted(
        "times outside of transactions",
        "`source.ts_*` of a message outside of a transaction is the commit time of the transaction before it",
        "the time at which it was read",
        "the time of another transaction says nothing about the message",
        lambda d: (
            _kind(d) == "m"
            and d.path[:2] == ("value", "source")
            and d.path[-1] in ("ts_ms", "ts_us", "ts_ns")
            and d.their_record is not None
            and d.their_record.envelope["transaction"] is None
            and clock_reading(d.ours)
        ),
    ),
    # --- values
    Accepted(
        "dates and times",
        "ISO 8601 with `T` and `Z`: `2024-02-29T12:34:56Z`, `-0043-03-15Z`",
        "as PostgreSQL prints them: `2024-02-29 12:34:56`, `0044-03-15 BC`, timestamptz in UTC with `+00`",
        "PostgreSQL's own text: it reads that back, whatever the value",
        _value("dates and times"),
    ),
    Accepted(
        "infinite times",
        "infinity of date and timestamp is some far day: `-5877611-06-21Z`, `+294247-01-10T04:00:25.2Z`",
        "`infinity`, `-infinity`",
        "PostgreSQL's own text",
        _value("infinite times"),
        lossy=True,
    ),
    Accepted("24:00:00", "`00:00:00Z`", "`24:00:00`", "PostgreSQL's own text", _value("24:00:00"), lossy=True),
    Accepted("timetz", "moved to UTC: `10:34:56Z`", "`12:34:56+02`", "the zone is part of the value", _value("timetz"), lossy=True),
    Accepted("intervals", "`P1Y2M3DT4H5M6.789S`", "`1 year 2 mons 3 days 04:05:06.789`", "PostgreSQL's own text", _value("intervals")),
    Accepted("infinite intervals", "`P0Y0M0DT0H0M0S`", "`infinity`", "PostgreSQL's own text", _value("infinite intervals"), lossy=True),
    Accepted("bytea", "`00ff10`", r"`\x00ff10`", "PostgreSQL's own text", _value("bytea")),
    Accepted("single bits", "bit(1) is true or false", "`1`, `0`", "PostgreSQL's own text", _value("single bits")),
    Accepted("bit strings", "base64 of the bits as a number: `BQ==`, the length lost", "`101`", "PostgreSQL's own text", _value("bit strings"), lossy=True),
    Accepted("money", "`1234.56`", "`$1,234.56` (lc_monetary = C)", "PostgreSQL's own text", _value("money")),
    Accepted(
        "special numerics",
        "`NAN`, `POSITIVE_INFINITY`, `NEGATIVE_INFINITY`",
        "`NaN`, `Infinity`, `-Infinity`",
        "PostgreSQL's own text",
        _value("special numerics"),
    ),
    Accepted("negative scale", "numeric(5,-2): `12300.000` and so on", "`12300`", "PostgreSQL's own text", _value("negative scale")),
    Accepted("digits of floats", "`1.0E21`, `100000.0`", "`1e+21`, `100000`", "the same number, in the server's digits", _value("digits of floats")),
    Accepted("minus zero", "the number `-0.0`", 'the string `"-0"`', "many JSON readers drop the sign of a zero", _value("minus zero")),
    Accepted("arrays", "JSON arrays, bounds lost", "`{1,2,NULL}`, `[2:3]={1,2}`", "PostgreSQL's own text", _value("arrays"), lossy=True),
    Accepted("nested arrays", "`[null,null]`", "`{{1,2},{3,4}}`", "PostgreSQL's own text", _value("nested arrays"), lossy=True),
    Accepted(
        "NaN in arrays",
        "a numeric[] that holds NaN is null",
        "`{1.50,NaN}`",
        "PostgreSQL's own text",
        _value("NaN in arrays"),
        lossy=True,
    ),
    Accepted(
        "unsent arrays",
        'the placeholder is an array: `["__debezium_unavailable_value"]`, of numbers its bytes',
        "the placeholder",
        "one placeholder for all types",
        _value("unsent arrays"),
    ),
    Accepted("points", "`{\"x\":1.0,\"y\":2.0,\"wkb\":...}`", "`(1,2)`", "PostgreSQL's own text", _value("points")),
    Accepted("shapes", "hexadecimal digits of a text: lines, boxes, paths, polygons, circles", "`((1,2),(3,4))`", "PostgreSQL's own text", _value("shapes")),
    Accepted(
        "other types",
        "hexadecimal digits of the text: composite types, multiranges, tsquery, xid, tid, pg_lsn, regclass, jsonpath, ...",
        "the text",
        "PostgreSQL's own text",
        _value("other types"),
    ),
)  # fmt: skip


def _by_index(d: Difference) -> bool:
    if d.path[0] in ("key", "headers") and d.path[-1] in ("id", "u"):
        return MISSING in (d.theirs, d.ours)
    return False


def explanation(d: Difference) -> Accepted | None:
    """The first accepted difference that explains this one."""
    return next((accepted for accepted in DIFFERENCES if accepted.explains(d)), None)


def is_expected_by_set_up(d: Difference) -> bool:
    """Names and clock readings that two processes cannot have in common, checked for their form."""
    if d.path == ("value", "source", "name"):
        return (d.theirs, d.ours) in {(f"debezium.{n}", f"peer.{n}") for n in ("roots", "leaves")}
    return d.path in {("value", f"ts_{unit}") for unit in ("ms", "us", "ns")} and all(
        clock_reading(text) and len(text) == len(str(d.ours)) for text in (d.theirs, d.ours)
    )


def table() -> str:
    """The table of differences, in Markdown."""
    lines = ["| | Debezium | Stretto | why |", "|---|---|---|---|"]
    lines += [f"| {a.name}{' *' if a.lossy else ''} | {a.theirs} | {a.ours} | {a.why} |" for a in DIFFERENCES]
    return "\n".join(lines)


def connector_settings() -> str:
    """The connector's settings, as a properties file."""
    left_out = ("topic.creation.", "connector.class", "message.prefix", "poll.", "publication.", "plugin.", "snapshot.")
    lines = [f"{name}={value}" for name, value in CONNECTOR.items() if not name.startswith(left_out)]
    return "\n".join(["```properties", *lines, "```"])


def page(text: str) -> str:
    """The docs' page with its generated parts as they should be."""
    for part, content in (("differences", table()), ("settings", connector_settings()), ("types", types())):
        begin, end = _BEGIN.format(part), _END.format(part)
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{content}\n{end}{after}"
    return text


def types() -> str:
    """The types of the workload."""
    return ", ".join(f"`{kind}`" for kind in sorted({kind for kind, _ in workload.VALUES.values()}))


if __name__ == "__main__":
    DOCS.write_text(page(DOCS.read_text()))
