"""Names of all metrics: base units, one place, each with what it means. Source: Prometheus naming practice."""

from __future__ import annotations

from typing import NamedTuple


class MetricName(NamedTuple):
    """A metric's name, help text and labels."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


LAG_SECONDS = MetricName(
    "stretto_replication_lag_seconds",
    "How old the oldest change is that has not left this stage (wal, capture, log, apply; total: not yet visible).",
    ("source", "follower", "stage"),
)
LAG_BYTES = MetricName(
    "stretto_replication_lag_bytes", "WAL between the two ends of this stage.", ("source", "follower", "stage")
)
LAG_RECORDS = MetricName(
    "stretto_replication_lag_records",
    "Records of the log between the two ends of this stage; no sample for wal, whose records nobody has counted yet.",
    ("source", "follower", "stage"),
)
SLOT_RETAINED = MetricName("stretto_slot_retained_wal_bytes", "WAL that the source keeps for the slot.", ("source",))
CAPTURED_RECORDS = MetricName("stretto_capture_records_total", "Records committed in Kafka.", ("source",))
CAPTURED_TRANSACTIONS = MetricName(
    "stretto_capture_transactions_total", "Source transactions committed in Kafka.", ("source",)
)
CAPTURED_BYTES = MetricName("stretto_capture_bytes_total", "Bytes of record values committed in Kafka.", ("source",))
KAFKA_COMMIT_SECONDS = MetricName(
    "stretto_capture_commit_seconds",
    "Duration of a Kafka transaction, from its first record to its commit.",
    ("source",),
)
APPLIED_RECORDS = MetricName("stretto_apply_records_total", "Records applied to the follower.", ("source", "follower"))
APPLIED_TRANSACTIONS = MetricName(
    "stretto_apply_transactions_total", "Source transactions applied to the follower.", ("source", "follower")
)
APPLY_SECONDS = MetricName(
    "stretto_apply_batch_seconds", "Duration of a batch on the follower, from BEGIN to COMMIT.", ("source", "follower")
)
VISIBLE_SECONDS = MetricName(
    "stretto_commit_to_visible_seconds",
    "From the commit on the source to the commit on the follower, by both clocks, of the newest transaction of each batch.",
    ("source", "follower"),
)
RESTARTS = MetricName(
    "stretto_session_restarts_total", "Times a process began its session again after an error.", ("process", "source")
)
ACTIVE = MetricName(
    "stretto_active", "1 while this process is the active one for its source, 0 as a stand-by.", ("process", "source")
)
SPILLED_BYTES = MetricName(
    "stretto_apply_spilled_bytes", "Bytes of waiting records that lie on disk.", ("source", "follower")
)
