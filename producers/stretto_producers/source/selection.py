"""Which tables to publish: patterns of the settings against the relations of the catalog. Pure.

A table is published when a pattern matches it and PostgreSQL can publish it: a permanent table or partitioned table that
is not one of Stretto's own. Partitions come along with the table they are partitions of.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stretto_connectors.postgres.publication import Members, PublishedTable
from stretto_connectors.postgres.relations import KINDS, Relation
from stretto_schemas.errors import CheckFailed, SettingsError

OWN_SCHEMA = "stretto"
"""Positions of what this database follows: never published, for it says what *this* database has applied."""

SCHEMAS_SINCE = 150000
"""`for tables in schema` came with PostgreSQL 15."""

GENERATED_SINCE = 180000
"""From PostgreSQL 18 on a replica identity that holds an unpublished generated column makes updates fail."""

_PATTERN = re.compile(r'("(?:[^"]|"")+"|[^".]+)\.("(?:[^"]|"")+"|[^".]+)')


@dataclass(frozen=True, slots=True)
class Pattern:
    """`schema.table`; `*` and `?` stand for any characters, double quotes take a name as it is."""

    text: str
    schema: str
    table: str
    plain: bool
    """No wildcard: it names one table."""
    whole_schema: bool
    """`name.*`: a schema with whatever will be made in it."""

    def matches(self, relation: Relation) -> bool:
        """Both parts match, case-sensitively."""
        return fnmatch.fnmatchcase(relation.schema, self.schema) and fnmatch.fnmatchcase(relation.name, self.table)


def parse_pattern(text: str) -> Pattern:
    """Read one entry of `tables`. Raises SettingsError."""
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise SettingsError(
            f"{text!r} names no table",
            expected='schema.table, schema.*, *.*; names with dots or wildcards in double quotes, as in "my.schema".table',
            fix="correct `tables` in section [source]",
        )
    schema, table = match[1], match[2]
    return Pattern(
        text=text,
        schema=_glob(schema),
        table=_glob(table),
        plain=not (_wild(schema) or _wild(table)),
        whole_schema=table == "*" and not _wild(schema),
    )


def _wild(part: str) -> bool:
    return not part.startswith('"') and bool(set(part) & set("*?"))


def _glob(part: str) -> str:
    if part.startswith('"'):
        return re.sub(r"([*?[])", r"[\1]", part[1:-1].replace('""', '"'))
    return part.replace("[", "[[]")


@dataclass(frozen=True, slots=True)
class Selection:
    """What a publication shall take in, and what stands in its way."""

    members: Members
    published: tuple[tuple[str, str], ...]
    """Schema and name under which rows will be published, sorted: one topic each."""
    set_full: tuple[Relation, ...]
    """Tables whose own updates would fail once published: they need REPLICA IDENTITY FULL."""
    unfit: tuple[tuple[Relation, str], ...]
    """Tables for which not even that helps, and why."""
    notes: tuple[str, ...]
    """Sentences for the operator."""


def select(
    patterns: Sequence[str], relations: Iterable[Relation], *, server_version: int, superuser: bool, via_root: bool
) -> Selection:
    """Decide what to publish. Raises SettingsError or CheckFailed when a pattern matches nothing that can be."""
    parsed = [parse_pattern(text) for text in patterns]
    every = {relation.oid: relation for relation in relations}
    chosen = _choose(parsed, every)
    notes: list[str] = []
    whole_database = any(pattern.text.strip() == "*.*" for pattern in parsed)
    own = any(relation.schema == OWN_SCHEMA for relation in every.values())
    members = Members()
    if whole_database and superuser and not own:
        members = Members(all_tables=True)
    else:
        schemas = (
            _whole_schemas(parsed, every, whole_database) if superuser and server_version >= SCHEMAS_SINCE else set()
        )
        members = Members(schemas=tuple(sorted(schemas)), tables=_explicit(chosen, schemas))
        if whole_database and not schemas:
            notes.append(
                "only a superuser can publish tables that are made later: this publication lists the tables of now; "
                "run `stretto init` again after making a table"
            )
        elif whole_database:
            notes.append("schemas made later are not published until `stretto init` runs again")
    notes += _notes(chosen, every)
    leaves = _leaves(chosen, every)
    set_full, unfit = _identities(chosen, leaves, server_version)
    return Selection(
        members=members,
        published=tuple(sorted(_names(chosen, every, leaves, via_root))),
        set_full=tuple(set_full),
        unfit=tuple(unfit),
        notes=tuple(notes),
    )


def _choose(patterns: Iterable[Pattern], every: Mapping[int, Relation]) -> dict[int, Relation]:
    chosen: dict[int, Relation] = {}
    for pattern in patterns:
        matched = [relation for relation in every.values() if pattern.matches(relation)]
        fit = [relation for relation in matched if _why_not(relation) is None]
        if pattern.plain and not fit:
            why = _why_not(matched[0]) if matched else "no such table"
            raise CheckFailed(
                f"table {pattern.text} cannot be published: {why}",
                expected="a permanent table or partitioned table of the source",
                fix="correct `tables` in section [source], or make the table first",
            )
        if not fit and not pattern.whole_schema and pattern.text.strip() != "*.*":
            raise CheckFailed(
                f"no table matches {pattern.text}",
                expected="at least one permanent table",
                fix="correct `tables` in section [source], or make the table first",
            )
        chosen |= {relation.oid: relation for relation in fit}
    return chosen


def _why_not(relation: Relation) -> str | None:
    if relation.kind not in ("r", "p"):
        return f"it is {KINDS[relation.kind]}"
    if relation.persistence != "p":
        return (
            "it is unlogged: nothing about its rows is in the WAL" if relation.persistence == "u" else "it is temporary"
        )
    if relation.schema == OWN_SCHEMA:
        return f"schema {OWN_SCHEMA} says what this database itself has applied"
    return None


def _whole_schemas(patterns: Iterable[Pattern], every: Mapping[int, Relation], whole_database: bool) -> set[str]:
    schemas = {pattern.schema for pattern in patterns if pattern.whole_schema}
    if whole_database:
        schemas |= {relation.schema for relation in every.values()}
    return schemas - {OWN_SCHEMA}


def _explicit(chosen: Mapping[int, Relation], schemas: set[str]) -> tuple[PublishedTable, ...]:
    """Tables to name one by one: not those of a schema taken whole, nor partitions of a table that is named."""
    listed = [
        relation
        for relation in chosen.values()
        if relation.schema not in schemas and not any(oid in chosen for oid in relation.ancestors)
    ]
    return tuple(
        PublishedTable(relation.schema, relation.name, only=relation.kind == "r" and bool(relation.children))
        for relation in sorted(listed, key=lambda relation: (relation.schema, relation.name))
    )


def _leaves(chosen: Mapping[int, Relation], every: Mapping[int, Relation]) -> list[Relation]:
    """Tables that hold published rows: chosen ones, and partitions of chosen ones."""
    return [
        relation
        for relation in every.values()
        if relation.kind == "r"
        and relation.persistence == "p"
        and (relation.oid in chosen or any(oid in chosen for oid in relation.ancestors))
    ]


def _names(
    chosen: Mapping[int, Relation], every: Mapping[int, Relation], leaves: Iterable[Relation], via_root: bool
) -> set[tuple[str, str]]:
    def topmost(relation: Relation) -> Relation:
        """Of its chosen ancestors the one nearest to the root, else itself."""
        return next((every[oid] for oid in reversed(relation.ancestors) if oid in chosen), relation)

    shown = [*leaves, *(relation for relation in chosen.values() if relation.kind == "p")] if via_root else leaves
    named = [topmost(relation) if via_root else relation for relation in shown]
    return {(relation.schema, relation.name) for relation in named}


def _identities(
    chosen: Mapping[int, Relation], leaves: Iterable[Relation], server_version: int
) -> tuple[list[Relation], list[tuple[Relation, str]]]:
    set_full: list[Relation] = []
    unfit: list[tuple[Relation, str]] = []
    checked = {relation.oid: relation for relation in leaves}
    checked |= {oid: relation for oid, relation in chosen.items() if relation.kind == "p"}
    for relation in sorted(checked.values(), key=lambda relation: (relation.schema, relation.name)):
        full = relation.replica_identity == "f"
        if server_version >= GENERATED_SINCE and relation.generated:
            if full:
                unfit.append((relation, "REPLICA IDENTITY FULL takes in its generated column, which is not published"))
            elif relation.identity_generated:
                unfit.append((relation, "a generated column, which is not published, is part of its replica identity"))
            elif not relation.identity_usable:
                unfit.append((relation, "it has no usable key, and FULL would take in its generated column"))
        elif not relation.identity_usable:
            set_full.append(relation)
    return set_full, unfit


def _notes(chosen: Mapping[int, Relation], every: Mapping[int, Relation]) -> list[str]:
    notes = []
    for relation in chosen.values():
        left_out = [every[oid].qualified for oid in relation.children if oid in every and oid not in chosen]
        if relation.kind == "r" and left_out:
            notes.append(f"{relation.qualified} has inheritance children that no pattern names: {', '.join(left_out)}")
        if relation.kind == "p":
            foreign = [r.qualified for r in every.values() if r.kind == "f" and relation.oid in r.ancestors]
            if foreign:
                notes.append(f"rows of {relation.qualified} in foreign tables are not in the WAL: {', '.join(foreign)}")
    return notes
