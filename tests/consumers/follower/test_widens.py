"""Which type takes every value of another, printed alike: what a follower alters without being told."""

from __future__ import annotations

import pytest

from stretto_consumers.follower.tables import widens

WIDER = [
    ("smallint", "integer"),
    ("smallint", "bigint"),
    ("integer", "bigint"),
    ("character varying(5)", "character varying(6)"),
    ("character varying(5)", "character varying"),
    ("character varying(5)", "text"),
    ("character varying", "text"),
    ("numeric(8,2)", "numeric(10,2)"),
    ("numeric(8,0)", "numeric(9,0)"),
    ("numeric(8,2)", "numeric"),
    ("bit varying(3)", "bit varying(4)"),
    ("bit varying(3)", "bit varying"),
]


@pytest.mark.parametrize(("old", "new"), WIDER)
def test_a_type_widens_one_way(old: str, new: str) -> None:
    assert widens(old, new)
    assert not widens(new, old)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("integer", "integer"),
        ("integer", "numeric"),
        ("integer", "text"),
        ("integer", "real"),
        ("real", "double precision"),
        ("text", "character varying"),
        ("character(5)", "character(6)"),
        ("character(5)", "text"),
        ("numeric(8,2)", "numeric(10,3)"),
        ("numeric(8,2)", "numeric(8,1)"),
        ("numeric(8,2)", "text"),
        ("bit(3)", "bit(4)"),
        ("bit varying(3)", "text"),
        ("bit varying(3)", "character varying(4)"),
        ("character varying(5)[]", "text[]"),
        ("timestamp without time zone", "timestamp with time zone"),
        ("json", "jsonb"),
    ],
)
def test_another_type_does_not(old: str, new: str) -> None:
    assert not widens(old, new)
