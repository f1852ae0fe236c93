"""scripts/setup, which all other scripts run first: in a checkout of its own, without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.checkout import ROOT, copy_checkout

NO_NETWORK = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_INDEX_URL": "http://127.0.0.1:1/simple",
    "PIP_EXTRA_INDEX_URL": "",
    "http_proxy": "http://127.0.0.1:1",
    "https_proxy": "http://127.0.0.1:1",
    "no_proxy": "",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What git has, without any environment."""
    return copy_checkout(tmp_path / "checkout")


@pytest.fixture
def wheels() -> Path:
    """The cache that the environment these tests run in was made from."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(os.environ.get("STRETTO_CACHE_DIR") or f"{home}/stretto") / "wheels"
    if not folder.is_dir():
        pytest.skip(f"these tests were not set up by scripts/setup: no {folder}")
    return folder


def set_up(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it without a network."""
    return subprocess.run(
        [str(checkout / "scripts" / "setup")],
        env={**os.environ, **NO_NETWORK, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def needed() -> set[str]:
    """What runs and installs the project itself: the large rest takes a minute to install."""
    parts = [(ROOT / "deploy" / "image" / name).read_text() for name in ("run.lock", "build.lock")]
    return {"editables", *re.findall(r"^([\w.-]+)==", "".join(parts), re.MULTILINE)}


def shorten_lock(checkout: Path, wanted: set[str]) -> None:
    """Of requirements.lock only these."""
    lock = checkout / "requirements.lock"
    entries = re.findall(r"^[\w.-]+==[^\n]*\n(?:    [^\n]*\n)*", lock.read_text(), re.MULTILINE)
    lock.write_text("".join(entry for entry in entries if entry.partition("==")[0] in wanted))


def test_every_package_of_the_lock_is_in_the_cache(wheels: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--no-index"]
    command += ["--find-links", str(wheels), "--only-binary", ":all:", "--require-hashes"]
    done = subprocess.run(
        [*command, "-r", str(ROOT / "requirements.lock")], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_second_checkout_needs_no_network_and_a_second_run_does_nothing(checkout: Path, wheels: Path) -> None:
    shorten_lock(checkout, needed())
    first = set_up(checkout)
    assert (first.returncode, first.stdout) == (0, f"{checkout}/.venv\n"), first.stderr
    assert first.stderr.startswith("Setting up ")
    version = subprocess.run(
        [checkout / ".venv" / "bin" / "stretto", "--version"], check=True, capture_output=True, text=True
    )
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", version.stdout)
    again = set_up(checkout)
    assert (again.returncode, again.stdout, again.stderr) == (0, first.stdout, "")


def test_without_network_and_cache_it_says_what_is_missing_and_where(checkout: Path, tmp_path: Path) -> None:
    shorten_lock(checkout, {"msgspec"})
    failed = set_up(checkout, STRETTO_CACHE_DIR=str(tmp_path / "cache"))
    assert failed.returncode == 3
    assert failed.stdout == ""
    assert "error: no network, and not all packages are cached" in failed.stderr
    assert f"{tmp_path}/cache/wheels" in failed.stderr
    assert "fix: " in failed.stderr


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A package index on this machine: its address and its folder."""
    folder = tmp_path / "index"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


def test_a_package_that_is_not_the_pinned_one_is_not_installed(
    checkout: Path, tmp_path: Path, wheels: Path, index: tuple[str, Path]
) -> None:
    shorten_lock(checkout, {"editables", "msgspec"})
    cache = tmp_path / "cache" / "wheels"
    cache.mkdir(parents=True)
    for wheel in wheels.iterdir():
        (cache / wheel.name).symlink_to(wheel)
    [wheel] = cache.glob("msgspec-*.whl")
    wheel.unlink()
    address, folder = index
    (folder / "msgspec").mkdir()
    (folder / "msgspec" / wheel.name).write_bytes(b"something else")
    (folder / "msgspec" / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    failed = set_up(checkout, STRETTO_CACHE_DIR=str(tmp_path / "cache"), PIP_INDEX_URL=address, http_proxy="")
    assert failed.returncode == 3
    assert "a package is not the one that requirements.lock names" in failed.stderr
    assert not (checkout / ".venv" / "bin" / "stretto").exists()
