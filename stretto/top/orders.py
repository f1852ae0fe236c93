"""What `stretto top` may change: pause the follower that the settings name, and let it go on."""

from __future__ import annotations

from dataclasses import dataclass

from stretto_consumers.follower.control import pause, resume
from stretto_schemas.lag.view import FollowerView
from stretto_schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class Order:
    """Asked for, and not yet done."""

    verb: str
    """pause, or resume."""
    question: str

    @property
    def button(self) -> str:
        """What saying yes does."""
        return self.verb.capitalize()


def order(settings: Settings, follower: FollowerView, verb: str) -> Order | str:
    """What to ask before; or why it cannot be done from here."""
    own = settings.follower.name
    if (follower.name, follower.source) != (own, settings.source.name):
        return (
            f"only follower {own}, which the settings name, can be changed from here: run "
            f"`stretto follower {verb}` with the settings of {follower.name}"
        )
    if verb == "resume":
        return Order(verb, f"Let follower {own} go on where it stands?")
    return Order(
        verb,
        f"Pause follower {own}? It shows nothing new until it is resumed, also over restarts. "
        "Meanwhile its lag grows; rows wait in Kafka.",
    )


def carry_out(settings: Settings, verb: str) -> str:
    """Write it into the follower's database; blocks. Raises StrettoError. Gives what was done, as a sentence."""
    name = settings.follower.name
    before, _ = resume(settings) if verb == "resume" else pause(settings)
    if verb == "resume":
        return f"follower {name} goes on" if before.paused else f"follower {name} was not paused"
    return f"follower {name} was paused already" if before.paused else f"follower {name} is paused"
