"""`stretto destroy`: take away slot, publication and topics of a source; tables and rows stay.

With the last source of a prefix go the topics that its sources share: followers, alerts, and what the lag monitor keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from confluent_kafka.admin import AdminClient

from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import delete_topics
from stretto_connectors.kafka.followers import forget_followers, known_followers
from stretto_connectors.kafka.topics import partition_counts, topic_metadata
from stretto_connectors.postgres import publication as publications
from stretto_connectors.postgres import slot as slots
from stretto_connectors.postgres.connection import connect, where
from stretto_connectors.postgres.server import refusals
from stretto_producers.source.state import source_topics
from stretto_schemas import names
from stretto_schemas.errors import CheckFailed, SettingsError
from stretto_schemas.settings import Settings

ASKED_S = 15.0

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Remains:
    """What is there of a source, and with the last source of a prefix of the prefix. Empty lists and None: nothing."""

    slot: slots.Slot | None
    publication: publications.Publication | None
    topics: tuple[str, ...]
    follower_keys: tuple[bytes, ...]
    """Of the source's own followers in the followers topic: they go with it, or are forgotten in it where it stays."""
    shared_topics: tuple[str, ...]
    """Those of the prefix that go, for no other source is there."""
    notes: tuple[str, ...]
    """On what may be there and cannot be seen."""

    def lines(self) -> list[str]:
        """One line each, for the operator."""
        lines = []
        if self.slot is not None:
            lines.append(f"slot {self.slot.name}")
        if self.publication is not None:
            lines.append(f"publication {self.publication.name}")
        lines += [f"topic {topic} with all its records" for topic in (*self.topics, *self.shared_topics)]
        lines += [f"state of {key.decode(errors='replace')} in the followers topic" for key in self.follower_keys]
        return lines


def remains(settings: Settings) -> Remains:
    """Look for everything that `destroy` would take away."""
    source, kafka = settings.source, settings.kafka
    with (
        connect(source.dsn, source.password, application="stretto-destroy") as sql,
        refusals(where(source.dsn), "reading"),
    ):
        slot = slots.read_slot(sql, source.slot_name)
        publication = publications.read_publication(sql, source.publication)
    client = admin(kafka)
    partitions = partition_counts(client, kafka, settings.prefix)
    published = tuple(sorted(publication.tables)) if publication else ()
    topics = source_topics(settings, partitions, published)
    belonging = (topics.transactions, topics.schema, *topics.rows)
    followers = known_followers(kafka, topics.followers) if topics.followers in partitions else []
    own = [key for key in followers if key.endswith(f"/{source.name}".encode())]
    last = len(own) == len(followers) and not _other_sources(settings, partitions)
    shared, notes = _shared(settings, client, partitions) if last else ([], [])
    return Remains(
        slot=slot,
        publication=publication,
        topics=tuple(topic for topic in belonging if topic in partitions),
        follower_keys=tuple(own),
        shared_topics=tuple(shared),
        notes=tuple(notes),
    )


def _other_sources(settings: Settings, partitions: dict[str, int]) -> set[str]:
    """Sources of the prefix that have a log. Whoever may not see their topics sees none; their followers are listed all the same."""
    found = {names.source_of(settings.prefix, topic) for topic in partitions}
    return {name for name in found if name is not None and name != settings.source.name}


def _shared(settings: Settings, client: AdminClient, partitions: dict[str, int]) -> tuple[list[str], list[str]]:
    """Topics that all sources of a prefix share and that are there, and a note on those that this client may not see."""
    found, unseen, why = [], [], ""
    monitor = names.monitor_topics(settings.prefix, settings.lag.name)
    for topic in (names.followers_topic(settings.prefix), *monitor):
        if topic in partitions:
            found.append(topic)
            continue
        try:  # what a client may not see is not listed: only asked by its name it is refused
            topic_metadata(client, settings.kafka, topic, ASKED_S)
        except SettingsError as error:
            unseen.append(topic)
            why = f"{error.found}; {error.fix}"
    return found, [f"left if they are there: {', '.join(unseen)}: {why}"] if unseen else []


def destroy(settings: Settings, say: Callable[[str], None]) -> None:
    """Take everything away that `remains` lists; what is gone already is no error. Rows in the source stay.

    So do topics that sources share and that this client may not delete, which is said: the source's own followers are
    forgotten there.

    The slot goes first: from then on the source keeps no WAL for a log that is about to end.
    """
    found = remains(settings)
    source, place = settings.source, where(settings.source.dsn)
    if found.slot is not None and found.slot.active_pid is not None:
        raise CheckFailed(
            f"slot {found.slot.name} is in use by the server's process {found.slot.active_pid}",
            expected="no capture running",
            fix="stop `stretto run capture` first",
        )
    with connect(source.dsn, source.password, application="stretto-destroy") as sql:
        if found.slot is not None:
            with refusals(place, "dropping the slot"):
                sql.execute(slots.drop_statement(found.slot.name))
            say(f"dropped: slot {found.slot.name}")
        if found.publication is not None:
            with refusals(place, "dropping the publication"):
                sql.execute(publications.drop_statement(found.publication.name))
            say(f"dropped: publication {found.publication.name}")
    client = admin(settings.kafka)
    _delete(settings, client, found, say)


def _delete(settings: Settings, client: AdminClient, found: Remains, say: Callable[[str], None]) -> None:
    # The transactions topic goes last: while it is there, a destroy that was killed half-way still finds the others.
    transactions = names.transactions_topic(settings.prefix, settings.source.name)
    schema = names.schema_topic(settings.prefix, settings.source.name)
    rows = [topic for topic in found.topics if topic not in (transactions, schema)]
    own = [topic for topic in (schema, transactions) if topic in found.topics]
    for topics in (rows, own):
        for topic in delete_topics(client, settings.kafka, topics):
            say(f"deleted: topic {topic}")
    left, note = _delete_shared(settings, client, found.shared_topics, say)
    for each in (*found.notes, *note):
        say(each)
    followers = names.followers_topic(settings.prefix)
    if found.follower_keys and (followers in left or followers not in found.shared_topics):
        forget_followers(settings.kafka, followers, list(found.follower_keys), "stretto-destroy")
        say(f"forgot: {len(found.follower_keys)} follower(s) of source {settings.source.name}")


def _delete_shared(
    settings: Settings, client: AdminClient, topics: tuple[str, ...], say: Callable[[str], None]
) -> tuple[list[str], list[str]]:
    """Delete each of these topics that this client may delete; give those that stay, and a note on them."""
    left, why = [], ""
    for topic in topics:
        try:
            deleted = delete_topics(client, settings.kafka, [topic])
        except SettingsError as error:
            left.append(topic)
            why = f"{error.found}; {error.fix}"
            continue
        if deleted:
            say(f"deleted: topic {topic}")
    return left, [f"left: {', '.join(left)}: {why}"] if left else []
