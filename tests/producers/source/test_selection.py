"""Which tables are published, as a function of patterns and relations."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stretto_connectors.postgres.publication import Members, PublishedTable
from stretto_connectors.postgres.relations import Relation
from stretto_producers.source.selection import Selection, parse_pattern, select
from stretto_schemas.errors import SettingsError


def table(oid: int, name: str, schema: str = "public", kind: str = "r", **changed: object) -> Relation:
    fields: dict[str, object] = {
        "persistence": "p",
        "ancestors": (),
        "children": (),
        "replica_identity": "d",
        "identity_usable": True,
        "generated": False,
        "identity_generated": False,
        "owned": True,
        "readable": True,
        "row_security": False,
    }
    return Relation(oid=oid, schema=schema, name=name, kind=kind, **{**fields, **changed})  # type: ignore[arg-type]


ITEM, ORDER, OTHER = table(1, "item"), table(2, "order"), table(3, "item", "other")
ROOT = table(4, "root", kind="p", children=(5, 6))
LEAF, SUBROOT = table(5, "leaf", ancestors=(4,)), table(6, "subroot", kind="p", ancestors=(4,), children=(7,))
SUBLEAF = table(7, "subleaf", "parts", ancestors=(6, 4))
ALL = (ITEM, ORDER, OTHER, ROOT, LEAF, SUBROOT, SUBLEAF)


def chosen(
    *patterns: str,
    relations: Sequence[Relation] = ALL,
    version: int = 180000,
    superuser: bool = True,
    via_root: bool = True,
) -> Selection:
    return select(patterns, relations, server_version=version, superuser=superuser, via_root=via_root)


@pytest.mark.parametrize(
    ("text", "matching"),
    [
        ("public.item", {1}),
        ("public.i*", {1}),
        ("*.item", {1, 3}),
        ("public.*", {1, 2, 4, 5, 6}),
        ("*.*", {1, 2, 3, 4, 5, 6, 7}),
        ('"public"."item"', {1}),
        ('public."i*"', set()),
        ("public.Item", set()),
        ("public.[i]tem", set()),
    ],
)
def test_a_pattern_matches_case_sensitively_with_wildcards_outside_of_quotes(text: str, matching: set[int]) -> None:
    pattern = parse_pattern(text)
    assert {relation.oid for relation in ALL if pattern.matches(relation)} == matching


def test_quotes_take_dots_and_doubled_quotes_as_they_are() -> None:
    pattern = parse_pattern('"a.b"."say ""hi"""')
    assert pattern.matches(table(9, 'say "hi"', "a.b"))


@pytest.mark.parametrize("text", ["item", "a.b.c", "", ".", "a.", 'a."b'])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_pattern(text)


def test_a_superuser_publishes_all_tables_also_those_made_later() -> None:
    assert chosen("*.*").members == Members(all_tables=True)


def test_anybody_else_lists_the_tables_of_now_and_says_so() -> None:
    selection = chosen("*.*", superuser=False)
    assert {(t.schema, t.name) for t in selection.members.tables} == {
        ("public", "item"),
        ("public", "order"),
        ("other", "item"),
        ("public", "root"),
    }
    assert [note for note in selection.notes if "only a superuser" in note]


def test_schemas_are_taken_whole_from_postgresql_15_on_by_superusers() -> None:
    assert chosen("public.*").members == Members(schemas=("public",))
    assert not chosen("public.*", version=140000).members.schemas
    assert not chosen("public.*", superuser=False).members.schemas


def test_own_positions_are_never_published() -> None:
    own = table(8, "position", "stretto")
    selection = chosen("*.*", relations=(*ALL, own))
    assert not selection.members.all_tables
    assert selection.members.schemas == ("other", "parts", "public")
    assert ("stretto", "position") not in selection.published


def test_partitions_come_with_their_root_under_its_name_or_their_own() -> None:
    assert chosen("public.root").members.tables == (PublishedTable("public", "root"),)
    assert chosen("public.root").published == (("public", "root"),)
    assert chosen("public.root", via_root=False).published == (("parts", "subleaf"), ("public", "leaf"))


def test_a_partition_alone_goes_under_its_own_name() -> None:
    selection = chosen("parts.subleaf", "public.leaf")
    assert selection.published == (("parts", "subleaf"), ("public", "leaf"))


def test_a_subtree_goes_under_the_highest_chosen_ancestor() -> None:
    assert chosen("public.subroot").published == (("public", "subroot"),)


def test_an_inheritance_parent_is_named_with_only_and_left_out_children_are_told() -> None:
    parent, child = table(10, "parent", children=(11,)), table(11, "child")
    selection = chosen("public.parent", relations=(parent, child))
    assert selection.members.tables == (PublishedTable("public", "parent", only=True),)
    assert selection.notes == ("public.parent has inheritance children that no pattern names: public.child",)


def test_full_is_asked_for_where_no_key_is_usable_also_on_the_leaves() -> None:
    root = table(10, "root", kind="p", identity_usable=False, children=(11,))
    leaf = table(11, "leaf", ancestors=(10,), identity_usable=False)
    selection = chosen("public.root", relations=(root, leaf))
    assert selection.set_full == (leaf, root)


@pytest.mark.parametrize(
    ("changed", "unfit"),
    [
        ({"replica_identity": "f"}, True),
        ({"identity_usable": False}, True),
        ({"identity_generated": True}, True),
        ({}, False),
    ],
)
def test_from_18_on_a_generated_column_must_stay_out_of_the_identity(changed: dict[str, object], unfit: bool) -> None:
    relation = table(10, "g", **{"generated": True, **changed})  # type: ignore[arg-type]
    assert bool(chosen("public.g", relations=[relation]).unfit) is unfit
    before = chosen("public.g", relations=[relation], version=170000)
    assert before.unfit == ()
    assert bool(before.set_full) is ("identity_usable" in changed)
