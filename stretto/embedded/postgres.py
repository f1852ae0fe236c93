"""A PostgreSQL server of one's own, on the loopback address."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import psycopg

from stretto.embedded import accounts, pginstall, places, ports, processes
from stretto.embedded.errors import AlreadyRunning, StartFailed
from stretto.embedded.processes import Child
from stretto.embedded.server import Server

START_S = 60.0
STOP_S = 30.0
_FIRST_SPACE = 200 << 20
"""A new cluster takes 40 MB, its first WAL segments 16 MB each."""
_LATER_SPACE = 48 << 20
_STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

DEFAULTS: Mapping[str, str] = {
    "fsync": "on",
    "listen_addresses": ports.HOST,
    "log_line_prefix": "%m [%p] ",
    "log_min_error_statement": "panic",  # statements carry rows, and rows are not for logs
    "max_replication_slots": "60",
    "max_wal_senders": "30",
    "max_wal_size": "4GB",
    "max_worker_processes": "16",
    "shared_buffers": "256MB",
    "timezone": "UTC",
    "track_commit_timestamp": "on",
    "unix_socket_directories": "",  # their paths have a length limit, a data folder's has none
    "wal_level": "logical",
}


class EmbeddedPostgres(Server):
    """One server on the folder `data`, which it makes and keeps: `stop` deletes nothing, `start` goes on from there.

    Everybody on this machine may connect as the superuser `postgres`. For root the server runs as another user.
    `settings` go above `DEFAULTS`; both lie in an included file, so ALTER SYSTEM still wins.
    """

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        bin_dir: Path | None = None,
        name: str = "postgres",
    ) -> None:
        super().__init__(name, data)
        self.log = self.data / "postgres.log"
        self._cluster = self.data / "cluster"
        self._chosen_port = port
        self._port = port
        self._settings = dict(settings or {})
        self._chosen_bin = bin_dir
        self._bin: Path | None = None

    @property
    def port(self) -> int:
        """The port; one that is chosen at the first start stays."""
        if self._port is None:
            raise StartFailed(f"{self.name} has not been started, so it has no port yet")
        return self._port

    @property
    def dsn(self) -> str:
        """libpq's connection string of the superuser's database."""
        return f"host={ports.HOST} port={self.port} user=postgres dbname=postgres"

    @property
    def bin_dir(self) -> Path:
        """The folder with `psql`, `pgbench`, `pg_dump` and the others of this very version."""
        if self._bin is None:
            self._bin = pginstall.bin_dir(self._chosen_bin, accounts.for_folder(self.data))
        return self._bin

    def start(self) -> Self:
        """Make the cluster when there is none, start the server, return once it answers.

        Raises PortTaken, DiskFull, ForeignFolder, AlreadyRunning, StartFailed.
        """
        if self.pid is not None:
            return self
        if left := self.leftover():
            raise AlreadyRunning(
                f"a PostgreSQL already runs on {self.data} (pid {left.pid})", fix=f"end it: kill -INT {left.pid}"
            )
        fresh = not (self._cluster / "PG_VERSION").exists()
        places.require_space(self.data, _FIRST_SPACE if fresh else _LATER_SPACE, self.name)
        account = self._prepare()
        if fresh:
            self._initialise(account)
        if self._chosen_port is not None:
            ports.require_free(self._chosen_port, self.name)
        elif self._port is None or not ports.is_free(self._port):
            self._port = ports.choose()
        self._write_settings(account)
        # Our own id file says that no server runs here, so this one can only mislead: pids are used again.
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        command = [str(self.bin_dir / "postgres"), "-D", str(self._cluster)]
        child = Child(self.name, command, log=self.log, id_file=self._id_file, env=_environment(), account=account)
        self._child = child
        try:
            child.wait_ready(self._answers, START_S)
        except StartFailed:
            if "could not bind" in child.said() and "Address already in use" in child.said():
                raise ports.taken(self.port, self.name) from None
            raise
        except BaseException:
            child.kill()
            raise
        return self

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop the server as `pg_ctl stop -m mode` does; it is killed when it takes longer than `STOP_S`."""
        if self._child is not None:
            self._child.stop(_STOP_SIGNALS[mode], STOP_S)
            self._child = None

    def _prepare(self) -> accounts.Account | None:
        places.make_dir(self.data)
        account = accounts.for_folder(self.data)
        if account:
            os.chown(self.data, account.uid, account.gid)
            account.require_enter(self.data)
        return account

    def _initialise(self, account: accounts.Account | None) -> None:
        # Made under another name, so that a kill in the middle leaves no half cluster behind.
        new = self.data / "cluster.new"
        shutil.rmtree(new, ignore_errors=True)
        done = subprocess.run(
            [
                self.bin_dir / "initdb",
                *(
                    "-D",
                    new,
                    "-U",
                    "postgres",
                    "-A",
                    "trust",
                    "--locale=C",
                    "-E",
                    "UTF8",
                    "--no-sync",
                    "--no-instructions",
                ),
            ],
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            umask=0o077,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        if done.returncode != 0:
            shutil.rmtree(new, ignore_errors=True)
            raise processes.failed(
                f"{self.name}'s initdb", f"ended with exit code {done.returncode}", self.log, done.stderr
            )
        with (new / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude 'stretto.conf'\n")
        new.rename(self._cluster)

    def _write_settings(self, account: accounts.Account | None) -> None:
        path = self._cluster / "stretto.conf"
        settings = dict(DEFAULTS)
        if int((self._cluster / "PG_VERSION").read_text()) >= 18:  # older servers count origins as slots
            settings["max_active_replication_origins"] = settings["max_replication_slots"]
        settings |= {**self._settings, "port": str(self.port)}
        lines = ["# Written anew at each start. ALTER SYSTEM and postgresql.auto.conf win over it."]
        for key, value in settings.items():
            quoted = value.replace("'", "''")
            lines.append(f"{key} = '{quoted}'")
        try:
            path.write_text("\n".join(lines) + "\n")
        except OSError as error:
            raise processes.failed(
                self.name, "cannot write its settings", self.log, f"{error.strerror}: {path}"
            ) from None
        if account:
            os.chown(path, account.uid, account.gid)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _environment() -> dict[str, str]:
    """As little as possible: PGDATA, PGPORT and the like of the caller are not for this server."""
    kept = {k: v for k, v in os.environ.items() if k in ("LD_LIBRARY_PATH", "TMPDIR", "ASAN_OPTIONS")}
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **kept}
