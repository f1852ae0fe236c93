"""A check's answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

from stretto_schemas.errors import StrettoError, Unreachable


class Level(StrEnum):
    """How bad it is."""

    OK = "OK"
    WARN = "WARN"
    """Works, but bites one day."""
    FAIL = "FAIL"
    """Does not work, or loses data."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was seen, and what to do about it."""

    where: str
    """source, log, follower or clocks."""
    name: str
    level: Level
    said: str
    fix: str = ""
    unreachable: bool = False
    """True when a server did not answer, so that trying again may help."""

    def as_json(self) -> dict[str, object]:
        """For `doctor -f json`."""
        return asdict(self)


def ok(where: str, name: str, said: str) -> Check:
    """Nothing to do."""
    return Check(where, name, Level.OK, said)


def warn(where: str, name: str, said: str, fix: str) -> Check:
    """Works, but bites one day."""
    return Check(where, name, Level.WARN, said, fix)


def fail(where: str, name: str, said: str, fix: str) -> Check:
    """Does not work, or loses data."""
    return Check(where, name, Level.FAIL, said, fix)


def failed(where: str, name: str, error: StrettoError) -> Check:
    """A check that could not be made."""
    said = f"{error.found}; expected: {error.expected}" if error.expected else error.found
    return Check(where, name, Level.FAIL, said, error.fix, unreachable=isinstance(error, Unreachable))


def each(where: str, checks: Iterable[tuple[str, Callable[[], Iterable[Check]]]]) -> Iterator[Check]:
    """Run checks one by one; one that raises is a FAIL, and the others still run."""
    for name, check in checks:
        try:
            yield from check()
        except StrettoError as error:
            yield failed(where, name, error)


def exit_code(checks: Iterable[Check]) -> int:
    """3 when a server did not answer, else 1 when any check failed, else 0."""
    failures = [check for check in checks if check.level is Level.FAIL]
    if any(check.unreachable for check in failures):
        return Unreachable.exit_code
    return 1 if failures else 0
