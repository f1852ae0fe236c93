"""Names in the log: which topic holds what, and which names a source, a follower or a prefix may have.

Kafka allows `[a-zA-Z0-9._-]` and 249 characters. Where replacing characters changed a name, `_` and eight hexadecimal
digits of its SHA-256 follow, so two different tables never share a topic; the schema topic maps them back.
"""

from __future__ import annotations

import hashlib
import re

from stretto_schemas.errors import SettingsError

MAX_TOPIC_LENGTH = 249
"""Kafka's limit (org.apache.kafka.common.internals.Topic.MAX_NAME_LENGTH)."""

RESERVED_SOURCES = frozenset({"followers", "dead-letters", "alerts", "conflicts"})
"""Sources with these names would collide with the topics of the prefix."""

LAG_TABLES = ("lag_minute", "lag_five_minutes")
FLOW_TABLES = ("flow_minute", "flow_five_minutes")
MARKS_TABLE = "marks"
MONITOR_TABLES = (*LAG_TABLES, *FLOW_TABLES, MARKS_TABLE)
"""What the lag monitor keeps in Kafka: a changelog topic each."""

_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")
_PREFIX = re.compile(r"[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*")
_SOURCE = re.compile(r"[a-z0-9_-]{1,40}")


def check_prefix(prefix: str) -> str:
    """Return the prefix, or raise SettingsError when Kafka would refuse topics that begin with it."""
    if not _PREFIX.fullmatch(prefix) or len(prefix) > 60:
        raise SettingsError(
            f"prefix {prefix!r} cannot begin a topic's name",
            expected="1 to 60 characters of a-z A-Z 0-9 _ - and dots between them",
            fix="set `prefix` to a short name such as stretto",
        )
    return prefix


def check_member(kind: str, name: str) -> str:
    """Return the name of a source or follower, or raise SettingsError. `kind` is the word for the message."""
    if not _SOURCE.fullmatch(name) or (kind == "source" and name in RESERVED_SOURCES):
        raise SettingsError(
            f"{kind} name {name!r} is not allowed",
            expected="1 to 40 characters of a-z 0-9 _ -, and for a source none of "
            + ", ".join(sorted(RESERVED_SOURCES)),
            fix=f"rename the {kind} in the settings",
        )
    return name


def _part(name: str) -> str:
    """One dotted part of a topic's name. A dot inside a PostgreSQL name is replaced too: it would add a part."""
    safe = _FORBIDDEN.sub("_", name)
    return safe if safe == name else f"{safe}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def table_topic(prefix: str, source: str, schema: str, table: str) -> str:
    """The topic of one table's rows."""
    topic = f"{prefix}.{source}.{_part(schema)}.{_part(table)}"
    if len(topic) > MAX_TOPIC_LENGTH:
        digest = hashlib.sha256(f"{schema}.{table}".encode()).hexdigest()[:8]
        topic = f"{topic[: MAX_TOPIC_LENGTH - 9]}_{digest}"
    return topic


def transactions_topic(prefix: str, source: str) -> str:
    """The topic of one source's frontiers."""
    return f"{prefix}.{source}.transactions"


def schema_topic(prefix: str, source: str) -> str:
    """The topic of the shapes of one source's tables."""
    return f"{prefix}.{source}.schema"


def message_topic(prefix: str, source: str) -> str:
    """The topic of one source's logical messages (`pg_logical_emit_message`)."""
    return f"{prefix}.{source}.message"


def followers_topic(prefix: str) -> str:
    """The topic in which every follower says how far it is."""
    return f"{prefix}.followers"


def alerts_topic(prefix: str) -> str:
    """The topic in which the lag monitor says what changed."""
    return f"{prefix}.alerts"


def monitor_group(prefix: str, monitor: str) -> str:
    """The lag monitor's consumer group; its own topics begin with it, then `-`."""
    return f"{prefix}-{monitor}"


def points_topic(prefix: str, monitor: str) -> str:
    """The topic of the lag monitor's looks."""
    return f"{monitor_group(prefix, monitor)}-points"


def changelog_topic(prefix: str, monitor: str, table: str) -> str:
    """The topic of one of the lag monitor's tables."""
    return f"{monitor_group(prefix, monitor)}-{table}-changelog"


def monitor_topics(prefix: str, monitor: str) -> tuple[str, ...]:
    """All topics that the lag monitor makes and writes."""
    changelogs = (changelog_topic(prefix, monitor, table) for table in MONITOR_TABLES)
    return alerts_topic(prefix), points_topic(prefix, monitor), *changelogs


def source_of(prefix: str, topic: str) -> str | None:
    """The source whose frontiers or shapes this topic of the prefix holds; None: it is no such topic."""
    found = re.fullmatch(rf"{re.escape(prefix)}\.({_SOURCE.pattern})\.(transactions|schema)", topic)
    return found[1] if found is not None else None


def consumer_group(prefix: str, source: str, follower: str) -> str:
    """The group under which a follower tells Kafka how far it is, for other people's lag tools."""
    return f"{prefix}.{source}.{follower}"


def transactional_id(prefix: str, source: str) -> str:
    """Kafka's fence: at most one producer with this id can commit."""
    return f"{prefix}.{source}"


def origin_name(source: str) -> str:
    """The replication origin under which a follower writes what came from `source`."""
    return f"stretto_{source}"


def slot_name(source: str) -> str:
    """The default name of the slot on the source; PostgreSQL allows `[a-z0-9_]` only."""
    return "stretto_" + source.replace("-", "_")
