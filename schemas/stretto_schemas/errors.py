"""Every error that Stretto raises on purpose.

    StrettoError
     |__ UsageError            exit 2  the request itself is wrong
     |    |__ SettingsError            a setting is missing, unknown or out of range
     |__ Unreachable           exit 3  a server does not answer; trying again may help
     |    |__ BrokerRefused    exit 2  a broker answers, but lets this client not in
     |__ CheckFailed           exit 1  a check ran and its answer is no
     |__ Halted                exit 4  going on would lose or corrupt data
          |__ Gap                      something between two places in the log or the WAL is missing
          |__ Fenced                   another process took over this one's work
          |__ Divergence               two things that must agree do not
          |__ RowRefused               PostgreSQL refused a row of a source transaction
          |__ Unsupported              a message or a change that this version cannot carry safely

An error says what was found, what was expected and what fixes it. No error carries the value of a cell.
"""

from __future__ import annotations

from typing import ClassVar


class StrettoError(Exception):
    """Base of all. `found`, `expected` and `fix` are whole phrases; `str()` joins them to one line each."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, found: str, *, expected: str = "", fix: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.found]
        if self.expected:
            lines.append(f"expected: {self.expected}")
        if self.fix:
            lines.append(f"fix: {self.fix}")
        return "\n".join(lines)


class UsageError(StrettoError):
    """The request itself is wrong."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is missing, unknown or out of range."""


class Unreachable(StrettoError):
    """A server does not answer, or refuses the connection."""

    exit_code = 3
    retryable = True


class BrokerRefused(Unreachable):
    """A broker answers, but lets this client not in: its login or TLS.

    A command ends with it. A process tries again, for brokers that restart or lose their directory of users refuse everybody.
    """

    exit_code = 2


class CheckFailed(StrettoError):
    """A check ran and its answer is no."""


class Halted(StrettoError):
    """Going on would lose or corrupt data, so the process stops and says why."""

    exit_code = 4


class Gap(Halted):
    """Something between two places in the log or the WAL is missing."""


class Fenced(Halted):
    """Another process took over this one's work."""


class Divergence(Halted):
    """Two things that must agree do not: counts and offsets, a row and its absence."""


class RowRefused(Halted):
    """PostgreSQL refused a row of a source transaction."""


class Unsupported(Halted):
    """A message or a change that this version cannot carry safely."""
