"""What one user wrote and read, wherever: it goes along with the user as a token."""

from __future__ import annotations

from stretto_consumers.sessions.choice import Route
from stretto_consumers.sessions.guarantees import ALL, Guarantee, Need, needed
from stretto_schemas.token import NOTHING, Tokens, Vector, merged


class Session:
    """One user's. Not for several threads at once: make one of the token for each request."""

    def __init__(self, tokens: Tokens, token: str = "", *, user: str = "", guarantees: Guarantee = ALL) -> None:
        """`token` is what this user's session gave elsewhere; `user` picks the follower that serves this user.

        Raises TokenError.
        """
        self._tokens = tokens
        self.user = user
        self.guarantees = guarantees
        self._written, self._read = tokens.read(token)
        self.route: Route | None = None
        """Who served the last read, and why."""

    @property
    def token(self) -> str:
        """What the next request of this user needs, from whatever device. Empty before the first read or write."""
        return self._tokens.write(self._written, self._read)

    def take(self, token: str) -> None:
        """Take in what this user did elsewhere. Raises TokenError."""
        written, read = self._tokens.read(token)
        self.wrote(written)
        self.saw(read)

    def forget(self) -> None:
        """Ask for nothing from here on."""
        self._written, self._read = NOTHING, NOTHING

    def wrote(self, places: Vector) -> None:
        """A transaction of this session committed, no later than these places."""
        self._written = merged(self._written, places)

    def saw(self, places: Vector) -> None:
        """A read of this session was served by a database at these places."""
        self._read = merged(self._read, places)

    def need(self, max_lag_s: float | None = None) -> Need:
        """What the next read asks of a database."""
        return needed(self.guarantees, self._written, self._read, max_lag_s)
