"""The one error of this package: bytes that are no message of pgoutput 1 to 4."""

from __future__ import annotations

from stretto_schemas.errors import Unsupported


class Malformed(Unsupported):
    """Bytes that cannot be read as what they should be. Says where and how long, never what a cell held.

    `kind` is the message's kind byte, or `row` where a row was read by itself. `offset` counts from the start of the
    bytes that were given, `length` is how many those were.
    """

    def __init__(
        self,
        what: str,
        kind: int | str,
        offset: int,
        length: int,
        *,
        expected: str = "a whole message of pgoutput protocol 1 to 4",
        fix: str = "report this with the server's version: a proxy or an extension may have changed the stream",
    ) -> None:
        self.kind = kind_name(kind)
        self.offset = offset
        self.length = length
        super().__init__(
            f"a replication message of kind {self.kind} and {length} bytes {what}, at byte {offset}",
            expected=expected,
            fix=fix,
        )

    @classmethod
    def ended(cls, kind: int | str, length: int) -> Malformed:
        """The bytes end before the message does."""
        return cls("ends too early", kind, length, length)

    @classmethod
    def trailing(cls, kind: int | str, offset: int, length: int) -> Malformed:
        """Bytes follow after the message's end at `offset`."""
        return cls(f"has {length - offset} bytes too many", kind, offset, length)


def kind_name(kind: int | str) -> str:
    """The kind byte as it is written in the protocol page where it can be printed, else in hexadecimal."""
    if isinstance(kind, str):
        return kind
    return f"'{kind:c}'" if 0x21 <= kind <= 0x7E else f"0x{kind:02x}"
