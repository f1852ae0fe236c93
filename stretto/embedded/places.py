"""Where things are kept: what can be fetched again in the cache folder, what cannot in the data folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stretto.embedded.errors import DiskFull, ForeignFolder


def cache_dir() -> Path:
    """`$STRETTO_CACHE_DIR`, else `$XDG_CACHE_HOME/stretto`, else `~/.cache/stretto`. It need not exist."""
    if chosen := os.environ.get("STRETTO_CACHE_DIR"):
        return Path(chosen).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "stretto"


def data_dir() -> Path:
    """`$STRETTO_DATA_DIR`, else `$XDG_DATA_HOME/stretto`, else `~/.local/share/stretto`; for root `/var/lib/stretto`.

    PostgreSQL refuses root, and the user that it runs as instead cannot enter root's home.
    """
    if chosen := os.environ.get("STRETTO_DATA_DIR"):
        return Path(chosen).expanduser().absolute()
    if chosen := os.environ.get("XDG_DATA_HOME"):
        return Path(chosen).absolute() / "stretto"
    if os.geteuid() == 0:
        return Path("/var/lib/stretto")
    return Path.home() / ".local" / "share" / "stretto"


@contextmanager
def scratch_dir(prefix: str = "stretto-") -> Iterator[Path]:
    """Give a temporary folder that other users may enter but not list (a server may run as one), then delete it."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_dir(folder: Path) -> None:
    """Make a folder and its parents, enterable by others whatever the umask. Raises ForeignFolder, DiskFull."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            raise disk_full(folder) from None
        raise ForeignFolder(
            f"folder {folder} cannot be made: {error.strerror}",
            fix="name a folder that you may write: --data, or STRETTO_DATA_DIR",
        ) from None
    if not folder.is_dir():
        raise ForeignFolder(f"{folder} is no folder", fix="name another: --data, or STRETTO_DATA_DIR")


def require_space(folder: Path, need_bytes: int, what: str) -> None:
    """Raise DiskFull when less than `need_bytes` are free where `folder` is or will be."""
    there = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(there).free
    if free < need_bytes:
        raise disk_full(folder, f"{what} needs {need_bytes >> 20} MB free in {folder}, and {free >> 20} MB are")


def disk_full(folder: Path, found: str = "") -> DiskFull:
    """The error for a folder on a full disk."""
    return DiskFull(
        found or f"the disk is full: {folder}",
        fix="free some space, or use a folder on another disk: --data, STRETTO_DATA_DIR, STRETTO_CACHE_DIR",
    )
