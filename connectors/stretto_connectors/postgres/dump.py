"""A database's schema, carried by pg_dump: one archive of it, its sections as SQL, and SQL run as one transaction."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from stretto_connectors.postgres.tools import Tools
from stretto_schemas.errors import CheckFailed, StrettoError

Section = Literal["pre-data", "post-data"]
"""`pre-data` is what must be there before the rows: types, functions, tables. `post-data` is better made after them:
indexes, keys, constraints, triggers, rules, policies."""

_LEFT_OUT: Final = ("--no-owner", "--no-privileges", "--no-publications", "--no-subscriptions", "--no-tablespaces")

_NEWER_SETTINGS: Final = {17: "SET transaction_timeout = 0;"}
"""Lines of pg_dump's preamble that a server older than the version named does not know."""


class LockNotGranted(CheckFailed):
    """pg_dump waited too long for a table that somebody is about to change: try again with a new snapshot."""


def dump_schema(tools: Tools, connection: str, snapshot: str, archive: Path, *, lock_timeout_ms: int) -> None:
    """Write the whole schema, less our own, as of an exported snapshot, into an archive. Raises LockNotGranted or
    CheckFailed with what pg_dump said."""
    ended = tools.run(
        "pg_dump",
        [
            "--format=custom",
            "--schema-only",
            f"--snapshot={snapshot}",
            "--exclude-schema=stretto",
            f"--lock-wait-timeout={lock_timeout_ms}",
            *_LEFT_OUT,
            f"--file={archive}",
        ],
        connection,
    )
    if ended.code == 0:
        return
    if "canceling statement due to" in ended.errors:
        raise LockNotGranted(f"pg_dump got no lock on a table of the source: {ended.said}")
    raise CheckFailed(
        f"the source's schema could not be read: {ended.said}",
        expected="a role that may read every table of the source, as pg_dump locks all of them",
        fix="grant what is missing on the source (pg_read_all_data has it all), then run `stretto follower add` again",
    )


def section_sql(tools: Tools, archive: Path, section: Section, server_major: int) -> str:
    """One section of the archive as a script for psql, for a server of that major version."""
    ended = tools.run("pg_restore", [f"--section={section}", *_LEFT_OUT, "--file=-", str(archive)])
    if ended.code != 0:
        raise CheckFailed(f"pg_restore cannot read the archive that pg_dump wrote: {ended.said}")
    unknown = {line for since, line in _NEWER_SETTINGS.items() if server_major < since}
    return "".join(line for line in ended.output.decode().splitlines(keepends=True) if line.strip() not in unknown)


def run_script(tools: Tools, connection: str, script: str, path: Path, doing: str) -> None:
    """Run SQL through psql, stopping at the first error. `path` is where the script is put for it.

    Raises CheckFailed with the server's first error. What of the script is done then is the script's matter: one that
    begins with BEGIN has done nothing.
    """
    path.write_text(script, encoding="utf-8")
    ended = tools.run(
        "psql",
        [
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-v",
            "VERBOSITY=terse",
            "-v",
            "SHOW_CONTEXT=never",
            "-o",
            "/dev/null",
            f"--file={path}",
        ],
        connection,
    )
    if ended.code != 0:
        raise refused_script(ended.said, doing)


def refused_script(said: str, doing: str) -> StrettoError:
    """What a refused statement of a schema script means."""
    fix = "correct it on the follower, then run `stretto follower add` again: it begins anew"
    if "already exists" in said:
        fix = "use an empty database, or one that has all published tables, empty: then only rows are copied"
    elif "max_locks_per_transaction" in said or "out of shared memory" in said:
        fix = "raise max_locks_per_transaction on the follower and restart it: the schema is made in one transaction"
    elif "permission denied" in said or "must be owner" in said:
        fix = "let the follower's role own its database: alter database ... owner to ..."
    return CheckFailed(f"the follower refused a statement while {doing}: {said}", fix=fix)
