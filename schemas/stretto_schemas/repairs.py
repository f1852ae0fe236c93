"""The two repairs that many errors name, in one wording: what a user reads in an error is what the docs call it."""

from __future__ import annotations

from typing import Final

COPY_AGAIN: Final = "copy the source again with `stretto follower add --replace`"
"""The log is whole, a follower cannot follow it."""

START_OVER: Final = "`stretto destroy --yes`, `stretto init`, `stretto follower add --replace`"
"""Changes are missing in the log itself."""
