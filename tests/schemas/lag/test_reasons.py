"""The likely cause of a lag, each rule by what it is concluded from."""

from __future__ import annotations

from typing import Any

import pytest

from stretto_schemas.lag.facts import CaptureFacts, LongTransaction, SourceFacts
from stretto_schemas.lag.reasons import LARGE_ROWS, likely, skewed
from stretto_schemas.lag.stages import StageLag
from stretto_schemas.lag.view import ProblemView, ProcessView
from tests.schemas.lag.looks import NOW_US, seen, slot, stages, state

SILENT_BROKER = ProblemView("Kafka at k1:9092 does not answer while reading", fix="start the broker")
SILENT_SOURCE = ProblemView(
    "PostgreSQL at db1:5432 does not answer: connection refused", fix="start it, or correct host"
)
RUNNING = state()


def source(**more: Any) -> SourceFacts:
    fields: dict[str, Any] = {"wal_lsn": 9000, "now_us": NOW_US, "slot": slot()}
    return SourceFacts(**(fields | more))


def capture(**more: Any) -> CaptureFacts:
    fields: dict[str, Any] = {
        "received_lsn": 5000,
        "committed_lsn": 5000,
        "received_until_us": NOW_US,
        "committed_until_us": NOW_US,
        "waiting_records": 0,
    }
    return CaptureFacts(**(fields | more))


@pytest.mark.parametrize(
    ("rule", "said", "case"),
    [
        (
            1,
            "it was paused (night load); `stretto follower resume` lets it go on",
            {"follower": state(state="paused", said="night load")},
        ),
        (1, "it was paused; `stretto follower resume` lets it go on", {"follower": state(state="paused")}),
        (
            2,
            "its process ended cleanly; start `stretto run follower`",
            {"follower": state(state="stopped"), "heard_s": 900.0},
        ),
        (
            3,
            "its first copy is under way (2 of 5 tables); what is written meanwhile waits until it is done",
            {"follower": state(state="copying", said="2 of 5 tables")},
        ),
        (
            3,
            "its first copy stands still (5 tables); see in pg_stat_activity of source and follower what its sessions wait for",
            {"follower": state(state="copying", said="5 tables", waits=True, published_us=10**8, added_us=10**7)},
        ),
        (
            7,
            "a lock on the follower is held by pid 9 (psql, active); end that transaction, or wait for it",
            {"follower": state(state="copying", blocked_by="pid 9 (psql, active)")},
        ),
        (
            4,
            "its process does not run, or is cut off from Kafka; start `stretto run follower`, or see what it logs",
            {"heard_s": 11.0},
        ),
        (
            4,
            "its process does not run, or is cut off from Kafka; start `stretto follower add`, or see what it logs",
            {"follower": state(state="copying"), "heard_s": 11.0},
        ),
        (
            4,
            "the log does not answer us either: Kafka at k1:9092 does not answer while reading; start the broker",
            {"heard_s": 11.0, "log": None, "problems": [SILENT_BROKER]},
        ),
        (
            5,
            "it waits for a server: PostgreSQL at db2:5432 does not answer: refused; this is tried again until it answers",
            {"follower": state(state="waiting", said="PostgreSQL at db2:5432 does not answer: refused")},
        ),
        (
            6,
            "transactions are shown 60 s after their commit on purpose; set `apply_delay_s` in section [follower] to 0 to end that",
            {"follower": state(delay_s=60.0), "stages": stages(apply_s=60.4)},
        ),
        (
            7,
            "a lock on the follower is held by pid 7 (psql, active); end that transaction, or wait for it",
            {"follower": state(blocked_by="pid 7 (psql, active)", staged_rows=9)},
        ),
        (
            8,
            "the source does not answer: PostgreSQL at db1:5432 does not answer: connection refused; start it, or correct host",
            {"facts": None, "problems": [SILENT_SOURCE], "stages": {"wal": None, "total": StageLag(0, 0, 9.0)}},
        ),
        (
            9,
            "the source has no slot for capture; run `stretto doctor`",
            {"facts": source(slot=None), "stages": stages(wal=9.0)},
        ),
        (
            9,
            "slot stretto_shop lost WAL that capture had not read; `stretto init` and copy the followers again",
            {"facts": source(slot=slot(wal_status="lost", active=False)), "stages": stages(wal=9.0)},
        ),
        (
            9,
            "capture is waiting: PostgreSQL at db1 does not answer; mend that, it goes on by itself",
            {
                "facts": source(),
                "capture": ProcessView("capture", "waiting", "PostgreSQL at db1 does not answer"),
                "stages": stages(wal=9.0),
            },
        ),
        (
            9,
            "capture does not run: slot stretto_shop is idle (nothing listens on 127.0.0.1:9188); start `stretto run capture`",
            {
                "facts": source(slot=slot(active=False)),
                "capture": ProcessView("capture", "unreachable", "nothing listens on 127.0.0.1:9188"),
                "captured": None,
                "stages": stages(wal=9.0),
            },
        ),
        (
            10,
            "a large transaction (7001) is being received, 2,000,000 records so far; it goes on by itself",
            {"captured": capture(inside_xid=7001, inside_records=2_000_000), "stages": stages(wal=9.0)},
        ),
        (
            11,
            "pid 47 (import.py, active) has had a transaction open on the source for 3 min; commit it, or end that session",
            {
                "facts": source(long_transaction=LongTransaction(180.0, 47, "import.py", "active")),
                "stages": stages(wal=9.0),
            },
        ),
        (
            12,
            "capture does not keep up with the WAL, 8.8 kB wait; look at its machine and at the network to the source",
            {"stages": stages(wal=9.0)},
        ),
        (
            13,
            "capture is waiting: Kafka at k1:9092 does not answer; mend that, it goes on by itself",
            {
                "capture": ProcessView("capture", "waiting", "Kafka at k1:9092 does not answer"),
                "stages": stages(capture=9.0),
            },
        ),
        (
            13,
            "the broker does not answer: Kafka at k1:9092 does not answer while reading; start the broker",
            {"log": None, "problems": [SILENT_SOURCE, SILENT_BROKER], "stages": stages(capture=9.0)},
        ),
        (
            13,
            "the broker takes records slowly; look at its disks, at replicas out of sync and at the network to it",
            {"stages": stages(capture=9.0)},
        ),
        (
            14,
            "the broker answers here, and little of it reaches the follower; look at the network between the two",
            {"stages": stages(log=9.0)},
        ),
        (
            14,
            "the broker does not answer: Kafka at k1:9092 does not answer while reading; start the broker",
            {"log": None, "problems": [SILENT_BROKER], "stages": stages(log=9.0)},
        ),
        (
            15,
            "a large transaction is being applied, 100,000 rows at once; it goes on by itself",
            {"follower": state(staged_rows=LARGE_ROWS), "stages": stages(apply_s=9.0)},
        ),
        (
            16,
            "writing table public.orders takes 80 % of the time; look at its indexes and triggers, and at the follower's disk",
            {"follower": state(slow_table="public.orders", slow_share=0.8), "stages": stages(apply_s=9.0)},
        ),
        (
            16,
            "writing table public.orders takes 80 % of the time; look at its indexes and triggers, and at the follower's disk",
            {
                "follower": state(slow_table="public.orders", slow_share=0.8, staged_rows=20_000),
                "stages": stages(log=9.0),
            },
        ),
        (
            17,
            "the follower's database takes rows slower than they come; look at its disk and at what else runs there",
            {"follower": state(slow_table="public.orders", slow_share=0.2), "stages": stages(apply_s=9.0)},
        ),
    ],
)
def test_the_cause_is_told_with_what_to_do(rule: int, said: str, case: dict[str, Any]) -> None:
    follower, lag, heard_s = (
        case.pop("follower", RUNNING),
        case.pop("stages", stages(apply_s=9.0)),
        case.pop("heard_s", 0.5),
    )
    cause = likely(seen(follower, **case), follower, lag, heard_s)
    assert cause is not None
    assert (cause.rule, cause.sentence) == (rule, said)


def test_there_is_no_cause_without_a_lag() -> None:
    assert likely(seen(RUNNING), RUNNING, stages(), 0.5) is None


def test_a_long_transaction_is_no_cause_where_another_stage_holds_the_lag() -> None:
    facts = source(long_transaction=LongTransaction(180.0, 4711, "import.py", "active"))
    cause = likely(seen(RUNNING, facts=facts), RUNNING, stages(wal=1.0, apply_s=9.0), 0.5)
    assert cause is not None
    assert cause.rule == 17


def test_a_delay_is_no_cause_of_what_is_beyond_it() -> None:
    delayed = state(delay_s=60.0)
    cause = likely(seen(delayed), delayed, stages(apply_s=75.0), 0.5)
    assert cause is not None
    assert cause.rule == 17


def test_a_clock_that_is_off_is_a_warning_and_no_cause() -> None:
    ahead, behind, right = state(skew_us=3_600_000_000), state(skew_us=-2_000_000), state(skew_us=400)
    assert skewed(ahead) == (
        "the clock of follower reports's machine is 60 min ahead of the source's: "
        "lag is measured by the source's clock all the same; set it by NTP"
    )
    assert "2.0 s behind the source's" in skewed(behind)
    assert (skewed(right), skewed(state())) == ("", "")
    assert likely(seen(ahead), ahead, stages(), 0.5) is None
