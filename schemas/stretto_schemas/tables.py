"""The shape of a table as it travels: what a Relation message and the catalog say about it."""

from __future__ import annotations

import enum

import msgspec


class Kind(enum.IntEnum):
    """How a column's text is written as JSON."""

    STRING = 0
    """The text that PostgreSQL printed, as a JSON string."""
    NUMBER = 1
    """Integers: the server's own digits as a JSON number."""
    BOOLEAN = 2
    FLOAT = 3
    """A JSON number while finite; `-0`, NaN and the infinities stay strings, for JSON numbers would lose them."""


_KINDS = {
    16: Kind.BOOLEAN,
    20: Kind.NUMBER,
    21: Kind.NUMBER,
    23: Kind.NUMBER,
    26: Kind.NUMBER,
    700: Kind.FLOAT,
    701: Kind.FLOAT,
}


def kind_of(base_type_oid: int) -> Kind:
    """The JSON form of a type, by its OID in `pg_type` (for a domain: its base type's)."""
    return _KINDS.get(base_type_oid, Kind.STRING)


class Column(msgspec.Struct, frozen=True, omit_defaults=True):
    """One column. `type_name` is what `format_type()` prints, so it can be used in DDL as it is."""

    name: str
    type_name: str
    kind: Kind = Kind.STRING
    not_null: bool = False
    default: str | None = None
    """The default expression, for a follower that must add the column."""
    missing_value: str | None = None
    """Text of the value that rows older than the column have (`attmissingval`); None where there is none."""
    rewritten: bool = False
    """True when the column has a value in old rows that neither the log nor `missing_value` tells."""
    number: int = 0
    """PostgreSQL's `attnum`, which a column that is dropped and added again does not keep; 0: not known."""


class Table(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version of a table's shape, from the LSN at which it was first seen."""

    schema: str
    name: str
    topic: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    """Columns of the topic's key; empty: keyed by the whole old row."""
    replica_identity: str = "d"
    """PostgreSQL's letter: d default, i index, f full, n nothing."""
    lsn: int = 0
    created: bool = False
    """True when the publication takes in new tables by itself and this one was not there before: it began empty."""
    relid: int = 0
    """The table's OID, which a table that is dropped and made again does not keep; 0: not known."""

    @property
    def qualified(self) -> str:
        """`schema.table`, for messages to people."""
        return f"{self.schema}.{self.name}"


encode_table = msgspec.json.Encoder().encode
decode_table = msgspec.json.Decoder(Table).decode


def schema_key(table: Table) -> bytes:
    """Key of a table's record in the schema topic."""
    return msgspec.json.encode([table.schema, table.name])


def same_columns(table: Table, before: Table) -> bool:
    """False when a column of this name is another one than before: its old values went with the old one."""
    numbers = {column.name: column.number for column in before.columns if column.number}
    return all(numbers.get(column.name, column.number) == column.number for column in table.columns if column.number)


def same_shape(table: Table, before: Table) -> bool:
    """True when nothing changed but the place where it was seen."""
    return msgspec.structs.replace(table, lsn=before.lsn, created=before.created) == before
