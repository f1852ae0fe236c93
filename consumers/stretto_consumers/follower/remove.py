"""Take a follower off for good: out of its own database, and out of `<prefix>.followers`. Tables and rows stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import read_cluster
from stretto_connectors.kafka.followers import forget_followers, known_followers
from stretto_connectors.kafka.topics import partition_counts
from stretto_connectors.postgres.bookkeeping import lock_within
from stretto_connectors.postgres.connection import connect, where
from stretto_connectors.postgres.server import refusals
from stretto_consumers.follower.detach import LOCK_WAIT_S, take_off
from stretto_schemas import names
from stretto_schemas.errors import UsageError
from stretto_schemas.follower_state import state_key
from stretto_schemas.settings import Settings

CLIENT: Final = "stretto-remove"
REACH_S: Final = 5.0
"""A person waits for the answer."""


def remove_follower(settings: Settings, say: Callable[[str], None]) -> None:
    """Remove position, replication origin and orders of the source from the follower, then its record in Kafka.

    The notes of what the copy made stay, so that `stretto follower add --replace` can take exactly that away. Raises
    UsageError, and changes nothing, while a process is at work or when nothing is there. Run again after an Unreachable
    it does the rest.
    """
    follower, source = settings.follower, settings.source.name
    key = state_key(follower.name, source)
    known = key in _known(settings)  # Kafka is asked first: nothing is changed when it does not answer
    with (
        connect(follower.dsn, follower.password, application=CLIENT) as conn,
        refusals(where(follower.dsn), "removing the follower"),
    ):
        if not lock_within(conn, source, LOCK_WAIT_S):
            raise UsageError(
                f"a process is at work on this database for source {source!r}",
                expected="no follower process and no `stretto follower add` running",
                fix="stop `stretto run follower` first, its stand-bys too, then run this again",
            )
        said = take_off(conn, source, interrupted_copy=True)
        for line in said:
            say(line)
        if not said and not known:
            raise UsageError(
                f"this database does not follow source {source!r}, and nobody knows follower {follower.name!r}",
                fix="correct [follower] in the settings",
            )
        if known:
            _forget(settings, key)  # under the lock: no process publishes after it
            say(f"forgot: {key.decode()} in {names.followers_topic(settings.prefix)}")


def forget_follower(settings: Settings, name: str, say: Callable[[str], None]) -> None:
    """Remove only the record in Kafka, of a follower whose database is gone. Raises UsageError when there is none."""
    key = state_key(names.check_member("follower", name), settings.source.name)
    known = _known(settings)
    if key not in known:
        others = ", ".join(sorted(each.decode(errors="replace").partition("/")[0] for each in known))
        raise UsageError(
            f"{names.followers_topic(settings.prefix)} has no record of follower {name!r} of source"
            f" {settings.source.name!r}",
            expected=f"one of {others}" if others else "",
            fix="correct the name" if others else "nothing needs to be removed",
        )
    _forget(settings, key)
    say(f"forgot: {key.decode()} in {names.followers_topic(settings.prefix)}")


def _known(settings: Settings) -> list[bytes]:
    topic, client = names.followers_topic(settings.prefix), admin(settings.kafka, CLIENT)
    read_cluster(client, settings.kafka, REACH_S)
    if topic not in partition_counts(client, settings.kafka, topic):
        return []
    return known_followers(settings.kafka, topic, settings.source.name)


def _forget(settings: Settings, key: bytes) -> None:
    forget_followers(settings.kafka, names.followers_topic(settings.prefix), [key], CLIENT)
