"""The user that a server runs as: oneself, or, for root, somebody without rights."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stretto.embedded.errors import ForeignFolder, StartFailed

_NAMES = ("postgres", "stretto")
_CREATED = "stretto"


@dataclass(frozen=True)
class Account:
    """A user other than oneself."""

    name: str
    uid: int
    gid: int

    def can_enter(self, folder: Path) -> bool:
        """Whether this user gets into the folder, parents included. Asks the system, so that ACLs count."""
        command = ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)]
        done = subprocess.run(
            command, cwd="/", user=self.uid, group=self.gid, extra_groups=[], stderr=subprocess.DEVNULL, check=False
        )
        return done.returncode == 0

    def require_enter(self, folder: Path) -> None:
        """Raise ForeignFolder naming the first parent that shuts this user out."""
        if self.can_enter(folder):
            return
        closed = next(p for p in reversed((folder, *folder.parents)) if not self.can_enter(p))
        raise ForeignFolder(
            f"PostgreSQL refuses root, and user {self.name}, as whom it runs instead, cannot enter {closed}",
            expected="a data folder whose parents everybody may enter",
            fix=f"choose another folder (--data /var/lib/stretto), or chmod o+x {closed}",
        )


def for_folder(folder: Path) -> Account | None:
    """Who should serve the data in `folder`: None, meaning oneself, unless one is root.

    For root: the folder's owner when it has one already, else `postgres` or `stretto`, which is created if need be.
    """
    if os.geteuid() != 0:
        return None
    if folder.exists() and (owner := folder.stat().st_uid) != 0:
        try:
            entry = pwd.getpwuid(owner)
        except KeyError:
            return Account(str(owner), owner, folder.stat().st_gid)
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    return _existing(*_NAMES) or _create() or _existing("nobody") or _none()


def _existing(*names: str) -> Account | None:
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    return None


def _create() -> Account | None:
    for tool, arguments in (
        ("useradd", ["--system", "--user-group", "--no-create-home", "--shell", "/bin/false", _CREATED]),
        ("adduser", ["-S", "-D", "-H", "-s", "/bin/false", _CREATED]),  # busybox
    ):
        if path := shutil.which(tool):
            subprocess.run([path, *arguments], capture_output=True, check=False)
            if account := _existing(_CREATED):
                return account
    return None


def _none() -> Account:
    raise StartFailed(
        "PostgreSQL refuses root, and no other user could be found or created",
        expected="a user named postgres or stretto",
        fix=f"create one (useradd --system {_CREATED}), or run as an ordinary user",
    )
