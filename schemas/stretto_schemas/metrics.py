"""Names of all metrics: base units, one place, each with what it means. Source: Prometheus naming practice.

What is declared here is what docs/metrics.md lists, in this order. `stretto_connectors.prometheus` makes the metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["gauge", "counter", "histogram"]
Process = Literal["capture", "follower", "monitor"]

_UNITS = ("seconds", "bytes", "ratio")


@dataclass(frozen=True, slots=True)
class MetricName:
    """A metric's name, help text and labels, and which processes export it."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Kind = "gauge"
    by: tuple[Process, ...] = ()
    when: str = ""
    """There are samples only when this is so; empty: always."""

    @property
    def unit(self) -> str:
        """Its base unit, which its name ends in; empty for what is counted."""
        stem = self.name.removesuffix("_total")
        return next((unit for unit in _UNITS if stem.endswith(f"_{unit}")), "")

    @property
    def family(self) -> str:
        """Its name without the ending that counters' samples have: what parsers call it."""
        return self.name.removesuffix("_total")


LAG_SECONDS = MetricName(
    "stretto_replication_lag_seconds",
    "Source time between the two ends of this stage (wal, capture, log, apply); total, their sum: how old what is shown is.",
    ("source", "follower", "stage"),
    by=("capture", "follower"),
)
LAG_BYTES = MetricName(
    "stretto_replication_lag_bytes",
    "WAL between the two ends of this stage.",
    ("source", "follower", "stage"),
    by=("capture", "follower"),
)
LAG_RECORDS = MetricName(
    "stretto_replication_lag_records",
    "Records of the log between the two ends of this stage; no sample for wal, whose records nobody has counted yet.",
    ("source", "follower", "stage"),
    by=("capture", "follower"),
)
SLOT_RETAINED = MetricName(
    "stretto_slot_retained_wal_bytes",
    "WAL that the source keeps for the slot.",
    ("source",),
    by=("capture", "monitor"),
    when="the source has answered the process",
)
CAPTURED_RECORDS = MetricName(
    "stretto_capture_records_total",
    "Records committed in Kafka.",
    ("source",),
    kind="counter",
    by=("capture",),
)
CAPTURED_TRANSACTIONS = MetricName(
    "stretto_capture_transactions_total",
    "Source transactions committed in Kafka.",
    ("source",),
    kind="counter",
    by=("capture",),
)
CAPTURED_BYTES = MetricName(
    "stretto_capture_bytes_total",
    "Bytes of record values committed in Kafka.",
    ("source",),
    kind="counter",
    by=("capture",),
)
KAFKA_COMMIT_SECONDS = MetricName(
    "stretto_capture_commit_seconds",
    "Duration of a Kafka transaction, from its first record to its commit.",
    ("source",),
    kind="histogram",
    by=("capture",),
)
APPLIED_RECORDS = MetricName(
    "stretto_apply_records_total",
    "Records applied to the follower.",
    ("source", "follower"),
    kind="counter",
    by=("follower",),
)
APPLIED_TRANSACTIONS = MetricName(
    "stretto_apply_transactions_total",
    "Source transactions applied to the follower.",
    ("source", "follower"),
    kind="counter",
    by=("follower",),
)
APPLY_SECONDS = MetricName(
    "stretto_apply_batch_seconds",
    "Duration of a batch on the follower, from BEGIN to COMMIT.",
    ("source", "follower"),
    kind="histogram",
    by=("follower",),
)
VISIBLE_SECONDS = MetricName(
    "stretto_commit_to_visible_seconds",
    "From the commit on the source to the commit on the follower, by the source's clock, of the newest transaction of each batch.",
    ("source", "follower"),
    kind="histogram",
    by=("follower",),
)
RESTARTS = MetricName(
    "stretto_session_restarts_total",
    "Times a process began its session again after an error.",
    ("process", "source"),
    kind="counter",
    by=("capture", "follower", "monitor"),
)
ACTIVE = MetricName(
    "stretto_active",
    "1 while this process is the active one for its source, 0 as a stand-by.",
    ("process", "source"),
    by=("capture", "follower", "monitor"),
)
READY = MetricName(
    "stretto_ready",
    "1 while /readyz, asked without a query, answers 200.",
    ("process",),
    by=("capture", "follower", "monitor"),
)
SPILLED_BYTES = MetricName(
    "stretto_apply_spilled_bytes",
    "Bytes of waiting records that lie on disk.",
    ("source", "follower"),
    by=("follower",),
)
RETAINED_LIMIT = MetricName(
    "stretto_slot_safe_wal_bytes",
    "WAL that may still be written before the slot's is in danger; no sample without max_slot_wal_keep_size.",
    ("source",),
    by=("capture", "monitor"),
    when="the source has max_slot_wal_keep_size",
)
CLOCK_SKEW = MetricName(
    "stretto_clock_skew_seconds",
    "A process's clock minus the source's.",
    ("process", "source", "follower"),
    by=("capture", "follower"),
    when="the source's clock was heard of",
)
VISIBLE_QUANTILE = MetricName(
    "stretto_commit_to_visible_quantile_seconds",
    "Commit to visible over the last minute, hour, day, by source transaction.",
    ("source", "follower", "window", "quantile"),
    by=("follower",),
    when="a transaction became visible in the window",
)
WAITING_TRANSACTIONS = MetricName(
    "stretto_apply_waiting_transactions",
    "Source transactions read and not yet visible.",
    ("source", "follower"),
    by=("follower",),
    when="the process applies",
)
STAGED_ROWS = MetricName(
    "stretto_apply_staged_rows",
    "Rows read and not yet committed.",
    ("source", "follower"),
    by=("follower",),
    when="the process applies",
)
APPLY_DELAY = MetricName(
    "stretto_apply_delay_seconds",
    "How long after their commit transactions are shown on purpose.",
    ("source", "follower"),
    by=("follower", "monitor"),
    when="the process applies, or is the monitor",
)
LAG_BUDGET = MetricName(
    "stretto_lag_budget_seconds",
    "More total lag than this, beyond the delay, is an alert; 0: no budget.",
    ("source", "follower"),
    by=("follower", "monitor"),
    when="the process applies, or is the monitor",
)
PAUSED = MetricName(
    "stretto_apply_paused",
    "1 while the follower is paused.",
    ("source", "follower"),
    by=("follower",),
    when="the process applies",
)
COPY_RATIO = MetricName(
    "stretto_copy_progress_ratio",
    "Part of the first copy that is done; 1 when it is.",
    ("source", "follower"),
    by=("monitor",),
    when="it can be told",
)
MONITOR_STATUS = MetricName(
    "stretto_lag_status",
    "1 for the status that the monitor gives a follower, 0 for the others.",
    ("source", "follower", "status"),
    by=("monitor",),
)
MONITOR_STAGES = MetricName(
    "stretto_lag_stage_seconds",
    "Source time between the two ends of this stage, as the monitor sees it: all stages, also of processes that are silent.",
    ("source", "follower", "stage"),
    by=("monitor",),
    when="it can be told",
)
MONITOR_SLOPE = MetricName(
    "stretto_lag_slope",
    "Seconds of total lag gained in a second; below 0: it shrinks.",
    ("source", "follower"),
    by=("monitor",),
    when="two looks were taken",
)
MONITOR_CATCH_UP = MetricName(
    "stretto_lag_catch_up_seconds",
    "Time until nothing waits, at the present pace; no sample when nobody can tell.",
    ("source", "follower"),
    by=("monitor",),
    when="it can be told",
)
MONITOR_UNREADABLE = MetricName(
    "stretto_lag_unreadable_records_total",
    "Records of the watched topics that the monitor could not read.",
    ("topic",),
    kind="counter",
    by=("monitor",),
)
MONITOR_ALERTS = MetricName(
    "stretto_lag_alerts_total",
    "Alerts and recoveries that the monitor wrote.",
    ("kind", "status"),
    kind="counter",
    by=("monitor",),
)
HOOK_FAILURES = MetricName(
    "stretto_lag_hook_failures_total",
    "Alerts that a hook did not take in all its tries.",
    ("hook",),
    kind="counter",
    by=("monitor",),
)
CONSUMERGROUP_LAG = MetricName(
    "kafka_consumergroup_lag",
    "Offsets between the end of a partition and what the follower has applied, commit markers among them.",
    ("consumergroup", "topic", "partition"),
    by=("follower",),
    when="metrics.consumergroup_lag is on",
)
CONSUMERGROUP_OFFSET = MetricName(
    "kafka_consumergroup_current_offset",
    "The offset of a partition up to which the follower has applied.",
    ("consumergroup", "topic", "partition"),
    by=("follower",),
    when="metrics.consumergroup_lag is on",
)
PARTITION_OFFSET = MetricName(
    "kafka_topic_partition_current_offset",
    "The end of a partition, as the broker says.",
    ("topic", "partition"),
    by=("follower",),
    when="metrics.consumergroup_lag is on",
)

ALL: Final = tuple(value for value in list(vars().values()) if isinstance(value, MetricName))
"""Every metric, in the order of this page."""
