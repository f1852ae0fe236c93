"""Tokens: how far a reader must be allowed to see, as a short string that passes between a user's devices.

A token names for each source a place in its log: an epoch and the end of a commit. What follows of it is a vector, and two
vectors merge place by place, so a token that went by way of two devices holds what both of them did.

The string is base64url of a version byte, a msgpack array and, where a key is set, a signature (HMAC-SHA-256, 16 bytes) of
both, with nothing secret in it. Without a key anybody can make up a token; such a one can make its own reader wait, and
nothing else. Source for the size of the signature: RFC 2104, section 5.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from stretto_schemas.errors import UsageError

VERSION: Final = b"\x01"
SIGNATURE_BYTES: Final = 16
MOST_CHARACTERS: Final = 4096
"""Of a token that is looked at: what browsers keep in a cookie."""


class TokenError(UsageError):
    """What was given is no token, was not made with this key, or is of another set of databases."""


class Place(NamedTuple):
    """A place in the log of one source."""

    epoch: int
    """Of the log; 0: not known when the token was made."""
    lsn: int
    """Everything with `end_lsn` up to here."""


Vector = Mapping[str, Place]
"""Places by source. A source that is missing asks for nothing."""

NOTHING: Final[Vector] = {}


def merged(one: Vector, other: Vector) -> Vector:
    """What holds both: for each source the place that is further."""
    if not other:
        return one
    if not one:
        return other
    return {source: max(one.get(source, _BEFORE), other.get(source, _BEFORE)) for source in {**one, **other}}


_BEFORE: Final = Place(0, 0)


class _Content(msgspec.Struct, array_like=True):
    realm: str
    written: dict[str, Place]
    read: dict[str, Place]


class Tokens:
    """Writes and reads tokens of one set of databases."""

    def __init__(self, realm: str, keys: Sequence[str] = ()) -> None:
        """`realm` names the set of databases (the topic prefix does). The first key signs, every one of them is believed."""
        self._realm = realm
        self._keys = [key.encode() for key in keys]

    def write(self, written: Vector, read: Vector = NOTHING) -> str:
        """The token of what was written, and of what was read. Empty for nothing."""
        if not written and not read:
            return ""
        body = VERSION + msgspec.msgpack.encode(_Content(self._realm, dict(written), dict(read)))
        signature = _signature(self._keys[0], body) if self._keys else b""
        return base64.urlsafe_b64encode(body + signature).rstrip(b"=").decode()

    def read(self, token: str) -> tuple[Vector, Vector]:
        """What was written, and what was read. Raises TokenError."""
        if not token:
            return NOTHING, NOTHING
        if len(token) > MOST_CHARACTERS:
            raise _malformed(f"{len(token)} characters")
        try:
            body = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            raise _malformed("no base64url") from None
        if self._keys:
            body, signature = body[:-SIGNATURE_BYTES], body[-SIGNATURE_BYTES:]
            if not any(hmac.compare_digest(_signature(key, body), signature) for key in self._keys):
                raise TokenError(
                    "a token whose signature is not ours",
                    expected="a token made with one of the keys that are set",
                    fix="forget it and begin a new session; if many come, compare the keys of all applications",
                )
        if body[:1] != VERSION:
            raise _malformed(f"version {body[0]}" if body else "nothing")
        try:
            content = msgspec.msgpack.decode(body[1:], type=_Content)
        except msgspec.MsgspecError:
            raise _malformed("bytes that are none of ours") from None
        if content.realm != self._realm:
            raise TokenError(
                f"a token of {content.realm!r}",
                expected=f"a token of {self._realm!r}, whose databases are read here",
                fix="forget it and begin a new session, or give both applications the same prefix",
            )
        return content.written, content.read


def _signature(key: bytes, body: bytes) -> bytes:
    return hmac.new(key, body, hashlib.sha256).digest()[:SIGNATURE_BYTES]


def _malformed(found: str) -> TokenError:
    return TokenError(
        f"no token: {found}",
        expected="a string that a session gave, unchanged",
        fix="forget it and begin a new session; it is not made by hand",
    )
