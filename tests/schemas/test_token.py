"""Tokens: what is written is read again, and nothing else is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto_schemas.token import MOST_CHARACTERS, Place, TokenError, Tokens, merged

places = st.builds(Place, st.integers(0, 2**33), st.integers(0, 2**64 - 1))
vectors = st.dictionaries(st.text(min_size=1, max_size=12), places, max_size=4)
keys = st.lists(st.text(min_size=1, max_size=20), max_size=3)

ONE = {"leader": Place(1_795_838_583, 0x3D5102C0)}


@given(vectors, vectors, keys)
def test_what_is_written_is_read_again(written: dict[str, Place], read: dict[str, Place], keys: list[str]) -> None:
    tokens = Tokens("stretto", keys)
    assert tokens.read(tokens.write(written, read)) == (written, read)


@given(vectors, vectors)
def test_what_is_merged_holds_both_in_any_order(one: dict[str, Place], other: dict[str, Place]) -> None:
    both = merged(one, other)
    assert both == merged(other, one)
    assert both == merged(both, one) == merged(both, other)
    assert set(both) == set(one) | set(other)
    assert all(both[source] in (one.get(source), other.get(source)) for source in both)


def test_a_token_is_short_and_goes_into_a_cookie_as_it_is() -> None:
    token = Tokens("stretto", ["key"]).write(ONE)
    assert len(token) < 80
    assert token.replace("-", "").replace("_", "").isalnum()


def test_a_key_that_is_no_longer_the_first_is_still_believed() -> None:
    token = Tokens("stretto", ["old"]).write(ONE)
    assert Tokens("stretto", ["new", "old"]).read(token) == (ONE, {})
    with pytest.raises(TokenError, match="signature is not ours"):
        Tokens("stretto", ["new"]).read(token)


@given(st.integers(0, 61), st.integers(1, 63))
def test_a_token_of_which_one_character_was_changed_is_refused(place: int, by: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    tokens = Tokens("stretto", ["key"])
    token = tokens.write(ONE)
    place %= len(token) - 1  # the last one has bits that mean nothing
    other = alphabet[(alphabet.index(token[place]) + by) % 64]
    with pytest.raises(TokenError):
        tokens.read(token[:place] + other + token[place + 1 :])


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("x" * (MOST_CHARACTERS + 1), "4097 characters"),
        ("a", "no base64url"),
        ("ä", "no base64url"),
        ("AAAA", "version 0"),
        ("AQAA", "bytes that are none of ours"),
    ],
)
def test_what_is_no_token_is_refused_with_what_was_found(token: str, words: str) -> None:
    with pytest.raises(TokenError, match=words) as told:
        Tokens("stretto").read(token)
    assert told.value.expected
    assert told.value.fix


def test_tokens_of_others_are_refused() -> None:
    with pytest.raises(TokenError, match="a token of 'shop'"):
        Tokens("stretto").read(Tokens("shop").write(ONE))
    with pytest.raises(TokenError, match="bytes that are none of ours"):
        Tokens("stretto").read(Tokens("stretto", ["key"]).write(ONE))
    with pytest.raises(TokenError, match="signature is not ours"):
        Tokens("stretto", ["key"]).read(Tokens("stretto").write(ONE))


def test_nothing_is_the_empty_token() -> None:
    assert Tokens("stretto", ["key"]).write({}) == ""
    assert Tokens("stretto", ["key"]).read("") == ({}, {})
