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
    "Source time between the two ends of this stage (wal, capture, log, apply); total, their sum: how old what is shown is.",
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
RETAINED_LIMIT = MetricName(
    "stretto_slot_safe_wal_bytes",
    "WAL that may still be written before the slot's is in danger; no sample without max_slot_wal_keep_size.",
    ("source",),
)
CLOCK_SKEW = MetricName(
    "stretto_clock_skew_seconds", "A process's clock minus the source's.", ("process", "source", "follower")
)
VISIBLE_QUANTILE = MetricName(
    "stretto_commit_to_visible_quantile_seconds",
    "Commit to visible over the last minute, hour, day, by source transaction.",
    ("source", "follower", "window", "quantile"),
)
WAITING_TRANSACTIONS = MetricName(
    "stretto_apply_waiting_transactions", "Source transactions read and not yet visible.", ("source", "follower")
)
STAGED_ROWS = MetricName("stretto_apply_staged_rows", "Rows read and not yet committed.", ("source", "follower"))
APPLY_DELAY = MetricName(
    "stretto_apply_delay_seconds",
    "How long after their commit transactions are shown on purpose.",
    ("source", "follower"),
)
PAUSED = MetricName("stretto_apply_paused", "1 while the follower is paused.", ("source", "follower"))
COPY_RATIO = MetricName(
    "stretto_copy_progress_ratio", "Part of a first copy that is done, 0 to 1.", ("source", "follower")
)
MONITOR_STATUS = MetricName(
    "stretto_lag_status",
    "1 for the status that the monitor gives a follower, 0 for the others.",
    ("source", "follower", "status"),
)
MONITOR_SLOPE = MetricName(
    "stretto_lag_slope",
    "Seconds of total lag gained in a second; below 0: it shrinks.",
    ("source", "follower"),
)
MONITOR_CATCH_UP = MetricName(
    "stretto_lag_catch_up_seconds",
    "Time until nothing waits, at the present pace; no sample when nobody can tell.",
    ("source", "follower"),
)
MONITOR_UNREADABLE = MetricName(
    "stretto_lag_unreadable_records_total", "Records of the watched topics that the monitor could not read.", ("topic",)
)
MONITOR_ALERTS = MetricName(
    "stretto_lag_alerts_total", "Alerts and recoveries that the monitor wrote.", ("kind", "status")
)
HOOK_FAILURES = MetricName(
    "stretto_lag_hook_failures_total", "Alerts that a hook did not take in all its tries.", ("hook",)
)
CONSUMERGROUP_LAG = MetricName(
    "kafka_consumergroup_lag",
    "Offsets between a partition's end and the follower's group, where metrics.consumergroup_lag is on.",
    ("cluster_name", "group", "topic", "partition"),
)
