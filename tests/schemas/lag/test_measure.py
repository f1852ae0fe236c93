"""The stages of a follower add up, none is negative, and lag at rest is none."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stretto_schemas.lag.facts import CaptureFacts, LogFacts, SourceFacts
from stretto_schemas.lag.measure import follower_stages, source_stages
from stretto_schemas.lag.stages import NOTHING, StageLag, holding
from tests.schemas.lag.looks import EPOCH, NOW_US, patient, seen, slot, state

ages_us = st.integers(-5_000_000, 100_000_000)
lsns = st.integers(0, 10_000)


def seconds(stages: dict[str, StageLag | None]) -> dict[str, float]:
    return {stage: lag.seconds for stage, lag in stages.items() if lag is not None}


def captured(received_age_s: float, committed_age_s: float, **more: Any) -> CaptureFacts:
    fields: dict[str, Any] = {"received_lsn": 5000, "committed_lsn": 5000, "waiting_records": 0}
    return CaptureFacts(
        received_until_us=NOW_US - round(received_age_s * 1e6),
        committed_until_us=NOW_US - round(committed_age_s * 1e6),
        **(fields | more),
    )


def test_a_pipeline_at_rest_has_no_lag_in_any_stage() -> None:
    rest = state()
    found = follower_stages(seen(rest), rest)
    assert set(seconds(found).values()) == {0.0}
    assert {lag.bytes for lag in found.values() if lag is not None} == {0}


def test_each_second_is_in_the_stage_it_is_lost_in() -> None:
    """Now, received 1 s ago, in Kafka 3 s ago, the oldest unread 6 s old, of which its own word on apply is 4 s more."""
    follower = state(
        end_lsn=1000,
        read_lsn=2000,
        seen_lsn=3000,
        staged_rows=10,
        lag={"log": NOTHING, "apply": StageLag(1000, 10, 4.0)},
    )
    look = seen(
        follower,
        captured=captured(1.0, 3.0, received_lsn=4500, committed_lsn=4000, waiting_records=7),
        log=LogFacts(4000, 7, EPOCH, NOW_US, NOW_US),
        oldest_us={"reports": NOW_US - 10_000_000},
    )
    found = follower_stages(look, follower)
    assert seconds(found) == {"wal": 1.0, "capture": 2.0, "log": 3.0, "apply": 4.0, "total": 10.0}
    assert {stage: lag.bytes for stage, lag in found.items() if lag is not None} == {
        "wal": 500,
        "capture": 500,
        "log": 2000,
        "apply": 1000,
        "total": 4000,
    }
    assert holding(found) == "apply"


def test_a_capture_that_is_gone_leaves_its_lag_in_the_wal_once_heartbeats_are_late() -> None:
    rest = state()
    for late_s, expected in ((1.0, 0.0), (30.0, 30.0)):
        look = seen(
            rest,
            facts=SourceFacts(6000, NOW_US, slot(active=False)),
            captured=None,
            log=LogFacts(5000, 7, EPOCH, NOW_US - 90_000_000, NOW_US - round(late_s * 1e6)),
        )
        assert seconds(follower_stages(look, rest)) == {
            "wal": expected,
            "capture": 0.0,
            "log": 0.0,
            "apply": 0.0,
            "total": expected,
        }


def test_an_idle_source_whose_capture_is_gone_has_no_lag_while_its_wal_stands_still() -> None:
    look = seen(state(), captured=None, log=LogFacts(5000, 7, EPOCH, NOW_US, NOW_US - 3_600_000_000))
    assert source_stages(look) == {"wal": StageLag(0, 0, 0.0, counted=False), "capture": NOTHING}


@patient
@given(
    received_us=ages_us,
    committed_us=ages_us,
    oldest_us=st.none() | ages_us,
    own_apply_s=st.none() | st.floats(0.0, 100.0),
    places=st.tuples(lsns, lsns, lsns, lsns, lsns, lsns.filter(bool)),
    staged=st.integers(0, 10),
    skew_us=st.integers(-(10**10), 10**10),
)
def test_stages_add_up_to_the_total_and_none_is_negative_whatever_the_clocks_and_places_say(
    received_us: int,
    committed_us: int,
    oldest_us: int | None,
    own_apply_s: float | None,
    places: tuple[int, int, int, int, int, int],
    staged: int,
    skew_us: int,
) -> None:
    wal, received, committed, seen_lsn, read, end = places
    follower = state(
        end_lsn=end,
        read_lsn=read,
        seen_lsn=seen_lsn,
        staged_rows=staged,
        published_us=NOW_US + skew_us,
        skew_us=skew_us,
        lag={} if own_apply_s is None else {"apply": StageLag(1, 1, own_apply_s)},
    )
    look = seen(
        follower,
        at_us=NOW_US + skew_us,
        facts=SourceFacts(wal, NOW_US, slot()),
        captured=captured(received_us / 1e6, committed_us / 1e6, received_lsn=received, committed_lsn=committed),
        log=LogFacts(committed, 7, EPOCH, NOW_US, NOW_US),
        oldest_us={"reports": 0 if oldest_us is None else NOW_US - oldest_us},
    )
    found = follower_stages(look, follower)
    for lag in found.values():
        assert lag is not None
        assert min(lag.bytes, lag.records, lag.seconds) >= 0
    parts = seconds(found)
    total = parts.pop("total")
    assert abs(sum(parts.values()) - total) < 1e-5
    waits_us = [age_us for age_us in (received_us, committed_us, oldest_us) if age_us is not None]
    assert total == max(0, *waits_us) / 1e6


def test_a_follower_in_copy_has_no_place_in_the_log() -> None:
    copying = state(end_lsn=0, epoch=0, state="copying")
    stages = follower_stages(seen(copying), copying)
    assert [stages[stage] for stage in ("log", "apply", "total")] == [None, None, None]
    assert stages["wal"] is not None


def test_where_neither_capture_nor_the_log_answers_a_followers_own_word_counts() -> None:
    own = {"log": StageLag(0, 0, 7.0), "apply": NOTHING, "total": StageLag(0, 0, 7.0)}
    late = state(lag=own)
    stages = follower_stages(seen(late, log=None, captured=None), late)
    assert stages["total"] == own["total"]
