"""A follower's stages from what one look found.

The rules, numbered as in the code. Of each place there is a time up to which everything committed on the source has
passed it; a stage's seconds are the difference between the times of its two ends.

1. Source: now.
2. Received, in Kafka: what capture says. When it says nothing: the newest heartbeat or commit in the log, unless that is
   younger than two heartbeats and the WAL has not moved beyond the log.
3. Read: the commit time of the oldest transaction that the follower knows of and has not read; when it does not know all
   that is in the log, that of the first transaction of the log beyond what it has seen. What is unread only because the
   applier is busy counts as read: it waits for the applier.
4. Visible: the same for what it does not show.
5. No place is ahead of the one before it: a clock that is off makes no stage negative.
6. Where neither capture nor the log answers, and nothing is known to wait, a follower's own word on its stages counts.
"""

from __future__ import annotations

from stretto_schemas.follower_state import FollowerState
from stretto_schemas.lag.facts import CaptureFacts, Observation
from stretto_schemas.lag.stages import StageLag


def capture_stages(facts: CaptureFacts, wal_lsn: int, now_us: int) -> dict[str, StageLag]:
    """Stages wal and capture by capture's own word, with the source's WAL and clock as of now."""
    received_us = min(now_us, facts.received_until_us)
    return {
        "wal": StageLag(max(0, wal_lsn - facts.received_lsn), 0, (now_us - received_us) / 1e6, counted=False),
        "capture": StageLag(
            max(0, facts.received_lsn - facts.committed_lsn),
            facts.waiting_records,
            max(0, received_us - facts.committed_until_us) / 1e6,
        ),
    }


def source_stages(seen: Observation) -> dict[str, StageLag | None]:
    """Stages wal and capture, the same for all followers of the source; None where nobody can tell."""
    received_lsn, kafka_lsn = _ends(seen)
    received_us, kafka_us = _until(seen)
    waiting = seen.captured.waiting_records if seen.captured is not None else 0
    wal: StageLag | None = None
    if received_lsn is not None and received_us is not None:
        written = (
            seen.facts.wal_lsn - received_lsn if seen.facts is not None else 0
        )  # a source that is silent tells no bytes
        wal = StageLag(max(0, written), 0, max(0, seen.now_us - received_us) / 1e6, counted=False)
    capture: StageLag | None = None
    if received_lsn is not None and kafka_lsn is not None and received_us is not None and kafka_us is not None:
        capture = StageLag(max(0, received_lsn - kafka_lsn), waiting, max(0, received_us - kafka_us) / 1e6)
    return {"wal": wal, "capture": capture}


def follower_stages(seen: Observation, state: FollowerState) -> dict[str, StageLag | None]:
    """All five stages of one follower; None where nobody can tell."""
    stages = source_stages(seen)
    if not state.end_lsn:  # no copy yet, so no place in the log
        return stages | dict.fromkeys(("log", "apply", "total"))
    received_us, kafka_us = _until(seen)
    end_lsn = max(seen.log.end_lsn if seen.log is not None else 0, state.seen_lsn)
    read_lsn = max(state.read_lsn, state.end_lsn)
    own_log, own_apply = state.lag.get("log"), state.lag.get("apply")
    in_log = kafka_us if kafka_us is not None else seen.now_us
    oldest_us = _oldest(seen, state)
    visible_us = in_log if oldest_us == 0 else min(in_log, oldest_us)  # rules 4, 5
    # rule 3: what it read and does not show is between the two, and its own word on apply is how much of it
    reading = end_lsn > read_lsn or (own_log is not None and own_log.records > 0)
    applying = read_lsn > state.end_lsn or state.staged_rows > 0
    if state.held:
        read_us = in_log
    elif reading and applying and own_apply is not None:
        read_us = min(in_log, visible_us + int(own_apply.seconds * 1e6))
    else:
        read_us = in_log if applying else visible_us
    log_records = own_log.records if own_log is not None else 0
    apply_records = state.staged_rows
    behind = seen.behind_records.get(state.follower)
    if behind is not None:
        log_records = max(0, behind - apply_records)
    stages["log"] = StageLag(max(0, end_lsn - read_lsn), log_records, max(0, in_log - read_us) / 1e6)
    stages["apply"] = StageLag(max(0, read_lsn - state.end_lsn), apply_records, max(0, read_us - visible_us) / 1e6)
    if received_us is None and not oldest_us and state.lag:
        return stages | state.lag  # rule 6
    parts = [lag for lag in (stages["wal"], stages["capture"]) if lag is not None]
    wal_lsn = seen.facts.wal_lsn if seen.facts is not None else end_lsn
    stages["total"] = StageLag(
        max(0, wal_lsn - state.end_lsn) if any(lag.seconds for lag in parts) or oldest_us else 0,
        log_records + apply_records + sum(lag.records for lag in parts),
        max(0, seen.now_us - visible_us) / 1e6 if received_us is not None or oldest_us else 0.0,
    )
    return stages


def _ends(seen: Observation) -> tuple[int | None, int | None]:
    """What is received, and what is in Kafka, as places."""
    if seen.captured is not None:
        return seen.captured.received_lsn, seen.captured.committed_lsn
    in_kafka = seen.log.end_lsn if seen.log is not None else None
    return in_kafka, in_kafka


def _until(seen: Observation) -> tuple[int | None, int | None]:
    """Rule 2: times up to which everything is received, and is in Kafka."""
    if seen.captured is not None:
        received = min(seen.now_us, seen.captured.received_until_us)
        return received, min(received, seen.captured.committed_until_us)
    if seen.log is None:
        return None, None
    newest = max(seen.log.heartbeat_us, seen.log.commit_ts_us)
    moved = seen.facts is None or seen.facts.wal_lsn > seen.log.end_lsn
    late = seen.now_us - newest > 2e6 * seen.heartbeat_s
    until = newest if moved and late else seen.now_us
    return until, until


def _oldest(seen: Observation, state: FollowerState) -> int:
    """Commit time of the oldest transaction that it does not show; 0 when it shows all that anybody knows of."""
    if state.follower in seen.oldest_us:
        return seen.oldest_us[state.follower]
    return state.oldest_us
