"""Settings: one TOML file, then `STRETTO_...` environment variables, which win. Secrets may come from files.

Every setting is `[section] key`; its variable is `STRETTO_SECTION__KEY`, and `STRETTO_SECTION__KEY_FILE` names a file
whose content is the value (Docker and Kubernetes secrets). A key that nobody knows is an error, never ignored.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from stretto_schemas import names
from stretto_schemas.errors import SettingsError

ENV_PREFIX = "STRETTO_"

MAX_DELAY_S = 10 * 366 * 86_400
"""Longest apply delay, ten years: times stay within what everybody can count."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=65535)]
Address = Annotated[str, Field(pattern=r"^$|^[^\s:]+:\d{1,5}$|^\[[^\s\]]+\]:\d{1,5}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(_Section):
    """The captured database."""

    name: str = Field("leader", description="Name of the source in topics, slots and metrics.")
    dsn: SecretStr = Field(SecretStr(""), description="libpq connection string or URI of the source.")
    password: SecretStr | None = Field(None, description="Password, when it is not in the DSN.")
    slot: str = Field("", description="Replication slot; empty: `stretto_` and the source's name.")
    publication: str = Field("stretto", description="Publication that `stretto init` makes and capture reads.")
    tables: tuple[str, ...] = Field(
        ("*.*",),
        description="Which tables to publish, as `schema.table` with `*`; `*.*` also takes in tables made later.",
    )
    publish_via_partition_root: bool = Field(
        True,
        description="Publish a partitioned table's rows under the root's name (true) or under each leaf's (false).",
    )
    failover_slot: bool = Field(False, description="Make the slot with PostgreSQL 17's failover flag.")

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return names.check_member("source", value)

    @property
    def slot_name(self) -> str:
        """The slot's name, given or derived."""
        return self.slot or names.slot_name(self.name)


class KafkaSettings(_Section):
    """The broker and how topics are made."""

    bootstrap: str = Field("", description="Bootstrap servers, `host:port,host:port`.")
    security_protocol: str = Field(
        "PLAINTEXT", description="As in librdkafka: PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL."
    )
    sasl_mechanism: str = Field("", description="SCRAM-SHA-256, SCRAM-SHA-512, PLAIN; empty: none.")
    sasl_username: str = Field("", description="User for SASL.")
    sasl_password: SecretStr | None = Field(None, description="Password for SASL.")
    options: dict[str, str] = Field(default_factory=dict, description="More librdkafka options for every client.")
    partitions: int = Field(
        4, ge=1, le=1024, description="Partitions of a table's topic; fixed when the topic is made."
    )
    replication_factor: int = Field(1, ge=1, le=15, description="Replicas of each topic.")
    min_insync_replicas: int = Field(1, ge=1, le=15, description="`min.insync.replicas` of each topic.")
    retention_hours: float = Field(
        168.0, gt=0, description="How long rows stay in a table's topic; longer than any outage."
    )
    max_message_bytes: int = Field(
        64 * 1024 * 1024, ge=1024, description="Largest record; a row of PostgreSQL may have up to 1 GB."
    )
    compression: str = Field("lz4", description="none, lz4, zstd, gzip or snappy.")


class CaptureSettings(_Section):
    """How capture groups source transactions into Kafka transactions."""

    batch_rows: int = Field(20_000, ge=1, description="A Kafka transaction is closed at this many records ...")
    batch_bytes: int = Field(
        16 * 1024 * 1024, ge=1024, description="... or at this many bytes, or when nothing follows."
    )
    heartbeat_s: Seconds = Field(
        1.0, description="A heartbeat message goes through the WAL this often: one that is late is lag."
    )
    full_frontier_s: Seconds = Field(5.0, description="A frontier with every partition's offset is written this often.")
    trim_s: Seconds = Field(
        600.0, description="The head of the transactions topic, which outlived its rows, is cut this often."
    )
    status_s: Seconds = Field(5.0, description="A standby status update is sent at least this often.")
    transaction_timeout_s: Seconds = Field(60.0, description="Kafka aborts a transaction that stays open this long.")
    retry_max_s: Seconds = Field(10.0, description="Longest pause before trying an unreachable server again.")


class FollowerSettings(_Section):
    """The follower database."""

    name: str = Field("follower", description="Name of the follower in `<prefix>.followers` and in metrics.")
    dsn: SecretStr = Field(SecretStr(""), description="libpq connection string or URI of the follower.")
    password: SecretStr | None = Field(None, description="Password, when it is not in the DSN.")
    batch_rows: int = Field(
        20_000, ge=1, description="Records applied in one PostgreSQL transaction, at whole transactions ..."
    )
    batch_bytes: int = Field(
        32 * 1024 * 1024,
        ge=1024,
        description="... or fewer, of about this many bytes; memory holds a few times as much.",
    )
    buffer_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1024 * 1024,
        description="Records waiting for their frontier in memory; what comes ahead waits in Kafka, more goes to disk.",
    )
    spill_dir: Path | None = Field(
        None, description="Where waiting records go; default: the system's temporary folder."
    )
    publish_s: float = Field(
        3.0,
        ge=0.1,
        allow_inf_nan=False,
        description="The position is published to `<prefix>.followers` at least this often.",
    )
    retry_max_s: Seconds = Field(10.0, description="Longest pause before trying an unreachable server again.")
    copy_workers: int = Field(2, ge=1, le=64, description="Tables copied at the same time by `stretto follower add`.")
    apply_delay_s: float = Field(
        0.0,
        ge=0,
        le=MAX_DELAY_S,
        allow_inf_nan=False,
        description="Transactions are shown so long after their commit, on purpose; 0: at once. `stretto follower delay` wins.",
    )
    lag_budget_s: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="More total lag than this, beyond `apply_delay_s`, is an alert; 0: no budget.",
    )

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return names.check_member("follower", value)


class HttpSettings(_Section):
    """Where metrics and health are served."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    capture_port: Port = Field(
        9188, description="Port of capture's /metrics, /livez, /readyz, /status; 0: any free one."
    )
    follower_port: Port = Field(9189, description="Port of the follower process; 0: any free one.")
    capture_address: Address = Field(
        "", description="Where `stretto status` asks capture, `host:port`; empty: here, by `host` and port."
    )
    follower_address: Address = Field("", description="The same for the follower process.")
    lag_port: Port = Field(9190, description="Port of the lag monitor; 0: any free one.")
    lag_address: Address = Field(
        "", description="The same for the lag monitor: where screens ask it for the last hours."
    )
    web_port: Port = Field(9191, description="Port of `stretto web`; 0: any free one.")
    ready_stale_s: Seconds = Field(
        60.0,
        description="/readyz fails when no frontier was committed or applied for this long; heartbeats cause some at rest too.",
    )


class LagSettings(_Section):
    """The lag monitor and what happens when a follower's status changes."""

    name: str = Field(
        "lag", description="Name of the monitor's consumer group and its tables' topics, after the prefix."
    )
    data_dir: Path | None = Field(
        None, description="Where the monitor notes what Kafka has anyway; default: a temporary folder."
    )
    look_s: Seconds = Field(1.0, description="How often the pipeline is looked at.")
    alert_after_s: float = Field(
        3.0,
        ge=0,
        allow_inf_nan=False,
        description="A status must last this long before it is an alert, and before its end is one.",
    )
    hook_command: str = Field(
        "", description="Command for each alert, its JSON on standard input; split like a shell does, run without one."
    )
    hook_url: SecretStr = Field(
        SecretStr(""),
        description="Each alert is sent to this address by POST, as JSON; `https://user:password@host/path` logs in (Basic).",
    )
    hook_tries: int = Field(5, ge=1, le=100, description="Tries before a hook's alert is given up and counted.")
    hook_timeout_s: Seconds = Field(10.0, description="How long one try may take.")

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return names.check_member("monitor", value)

    @field_validator("hook_url")
    @classmethod
    def _hook_url(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not re.fullmatch(r"https?://[!-~]+", value.get_secret_value()):
            raise ValueError("begins with http:// or https://, and holds ASCII without spaces: write others as %XX")
        return value


class MetricsSettings(_Section):
    """More ways in which processes tell their metrics."""

    statsd: Address = Field("", description="StatsD listener, `host:port`, UDP; empty: none.")
    statsd_flavor: str = Field(
        "datadog", pattern="^(datadog|statsd)$", description="`datadog`: with tags; `statsd`: names only."
    )
    statsd_every_s: Seconds = Field(2.0, description="Gauges are sent this often.")
    consumergroup_lag: bool = Field(
        False, description="Also export kafka_consumergroup_lag, under the names that dashboards for Kafka know."
    )

    @field_validator("statsd")
    @classmethod
    def _statsd(cls, value: str) -> str:
        port = value.rpartition(":")[2]
        if value and not 1 <= int(port) <= 65535:
            raise ValueError(f"{port} is no port: 1 to 65535")
        return value

    @property
    def listener(self) -> tuple[str, int] | None:
        """Host and port of the StatsD listener; None for none."""
        host, _, port = self.statsd.rpartition(":")
        return (host.strip("[]"), int(port)) if self.statsd else None


class LogSettings(_Section):
    """What processes print."""

    level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR.")


class Settings(BaseSettings):
    """All settings of one pipeline: a source, a broker, a follower."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, case_sensitive=False
    )

    prefix: str = Field("stretto", description="First part of every topic's name.")
    source: SourceSettings = SourceSettings.model_construct()
    kafka: KafkaSettings = KafkaSettings.model_construct()
    capture: CaptureSettings = CaptureSettings.model_construct()
    follower: FollowerSettings = FollowerSettings.model_construct()
    http: HttpSettings = HttpSettings.model_construct()
    lag: LagSettings = LagSettings.model_construct()
    metrics: MetricsSettings = MetricsSettings.model_construct()
    log: LogSettings = LogSettings.model_construct()

    @field_validator("prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        return names.check_prefix(value)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then what the file said (passed as init arguments)."""
        return env_settings, init_settings


def load(path: Path | None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read settings from a TOML file (None: defaults only) and the environment.

    Raises SettingsError that names the file or variable, what was found and what is allowed.
    """
    tree: dict[str, Any] = {}
    if path is not None:
        try:
            tree = tomllib.loads(path.read_text())
        except FileNotFoundError:
            raise SettingsError(
                f"settings file {path} does not exist", fix="name another with --config, or make it"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"settings file {path} cannot be read: {error}") from None
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"settings file {path} is no TOML: {error}", fix="see docs/settings.md") from None
    variables = dict(os.environ if environ is None else environ)
    _read_secret_files(variables)
    _reject_unknown_variables(variables)
    saved = {k: v for k, v in os.environ.items() if k.upper().startswith(ENV_PREFIX)}
    try:
        for key in saved:
            del os.environ[key]
        os.environ.update({k: v for k, v in variables.items() if k.upper().startswith(ENV_PREFIX)})
        return Settings(**tree)
    except ValidationError as error:
        raise SettingsError(_explain(error, path), fix="see docs/settings.md") from None
    finally:
        for key in [k for k in os.environ if k.upper().startswith(ENV_PREFIX)]:
            del os.environ[key]
        os.environ.update(saved)


NOT_SETTINGS = {
    "STRETTO_CONFIG": "the settings file",
    "STRETTO_CACHE_DIR": "folder of the embedded stack's downloads",
    "STRETTO_DATA_DIR": "folder of the embedded stack's data",
    "STRETTO_MAVEN_URL": "where the embedded stack fetches Kafka from",
    "STRETTO_FAILPOINT": "for tests: where a process kills itself",
}
"""Variables of the command line and the embedded stack, which no section holds, and what each is for."""


def _reject_unknown_variables(variables: dict[str, str]) -> None:
    known = {"PREFIX"} | {
        f"{section}__{key}".upper()
        for section, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        for key in field.annotation.model_fields
    }
    for name in [n for n in variables if n.upper().startswith(ENV_PREFIX)]:
        rest = name.upper()[len(ENV_PREFIX) :]
        if name.upper() in NOT_SETTINGS:
            del variables[name]
        elif rest not in known and not rest.startswith("KAFKA__OPTIONS__"):
            raise SettingsError(
                f"environment variable {name} is no setting",
                expected="STRETTO_SECTION__KEY, for example STRETTO_SOURCE__DSN",
                fix="see docs/settings.md, or unset it",
            )


def _read_secret_files(variables: dict[str, str]) -> None:
    for name in [n for n in variables if n.upper().startswith(ENV_PREFIX) and n.upper().endswith("_FILE")]:
        path = variables.pop(name)
        try:
            variables[name[: -len("_FILE")]] = Path(path).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name} names {path}, which cannot be read: {error}") from None


def _explain(error: ValidationError, path: Path | None) -> str:
    where = f"in {path} or the environment" if path else "in the environment"
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        said = "no such setting" if problem["type"] == "extra_forbidden" else problem["msg"]
        lines.append(f"{key}: {said}")
    return f"settings are wrong ({where}): " + "; ".join(lines)
