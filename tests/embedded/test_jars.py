"""Kafka's jars: fetched from a repository that can be slow, wrong or away, and checked at every start."""

from __future__ import annotations

import gc
import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from stretto.embedded import jars
from stretto.embedded.errors import ChecksumMismatch, NotFetched

FETCH = "from stretto.embedded import jars; print(len(jars.class_path()))"


@pytest.fixture(scope="module")
def cached() -> Path:
    """The user's own cache, filled."""
    jars.class_path()
    return jars.folder()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache."""
    monkeypatch.setenv("STRETTO_CACHE_DIR", str(tmp_path))
    yield tmp_path / "jars"
    with warnings.catch_warnings():  # jgo leaves the socket of an answer that it did not like to the collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class Repository:
    """A Maven repository on this machine that serves the user's cache, and can stop in the middle or change bytes."""

    def __init__(self, root: Path) -> None:
        self.served: list[str] = []
        self.changed = ""
        self.stop_after: int | None = None
        self.stuck = threading.Event()
        self.go_on = threading.Event()
        repository = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = root / self.path.lstrip("/")
                if path.suffix != ".jar" or not path.exists():
                    self.send_error(404)
                    return
                if repository.stop_after is not None and len(repository.served) >= repository.stop_after:
                    repository.stuck.set()
                    repository.go_on.wait(30)
                repository.served.append(path.name)
                content = path.read_bytes()
                if path.name == repository.changed:
                    content = content[:-1] + bytes([content[-1] ^ 1])
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                try:
                    self.wfile.write(content)
                except OSError:
                    return  # the reader was killed

            def log_message(self, *_: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def repository(cached: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    made = Repository(cached)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("STRETTO_MAVEN_URL", made.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield made
    made.go_on.set()
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def fetching() -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", FETCH], stdout=subprocess.PIPE, text=True, env=os.environ.copy())


def test_two_processes_that_fetch_at_once_fetch_each_jar_once(repository: Repository, cache: Path) -> None:
    both = [fetching(), fetching()]
    assert [process.communicate(timeout=60)[0].strip() for process in both] == ["45", "45"]
    assert sorted(repository.served) == sorted(jar.path.name for jar in jars.pinned())
    assert not list(cache.glob("fetch-*"))


def test_a_fetch_that_was_killed_goes_on_where_it_was(repository: Repository, cache: Path) -> None:
    repository.stop_after = 20
    with fetching() as process:
        assert repository.stuck.wait(30)
        process.send_signal(signal.SIGKILL)
    repository.stop_after = None
    repository.go_on.set()
    already = 45 - len(jars.missing())
    assert 10 <= already < 45
    assert len(jars.class_path()) == 45
    assert not list(cache.glob("fetch-*"))


def test_a_jar_that_the_repository_changed_is_refused(repository: Repository, cache: Path) -> None:
    repository.changed = "kafka-raft-4.4.0.jar"
    with pytest.raises(ChecksumMismatch, match=r"kafka-raft-4\.4\.0\.jar, just fetched"):
        jars.class_path()
    assert not list(cache.rglob("kafka-raft-4.4.0.jar"))


def test_a_jar_that_the_repository_lacks_is_named(
    repository: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRETTO_MAVEN_URL", f"{repository.url}/nowhere")
    with pytest.raises(NotFetched, match="the repository does not have it"):
        jars.class_path()
    assert len(jars.missing()) == 45
    assert cache.is_dir()


def test_a_damaged_cache_is_named_with_both_checksums_and_the_way_out(cached: Path, cache: Path) -> None:
    shutil.copytree(cached, cache)
    damaged = next(cache.rglob("kafka-clients-4.4.0.jar"))
    with damaged.open("r+b") as file:
        file.seek(1000)
        file.write(b"damaged")
    pin = next(jar for jar in jars.pinned() if jar.path.name == damaged.name)
    with pytest.raises(ChecksumMismatch) as caught:
        jars.class_path()
    assert str(damaged) in caught.value.found
    assert pin.sha256 not in caught.value.found
    assert pin.sha256 in caught.value.expected
    assert f"rm {damaged}" in caught.value.fix


def test_without_network_it_says_what_is_missing_and_where_the_cache_is(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STRETTO_MAVEN_URL", raising=False)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # where nobody listens
    with pytest.raises(NotFetched) as caught:
        jars.class_path()
    assert ".jar of Apache Kafka 4.4.0 is not cached" in caught.value.found
    assert str(cache) in caught.value.expected
    assert caught.value.exit_code == 3
