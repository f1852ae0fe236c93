"""Apache Kafka's jars: fetched once from Maven Central by jgo, each held to a pinned checksum at every start.

`kafka-jars.sha256` beside this module names them, in the format of `sha256sum` with paths of a Maven repository:
`cd <cache>/jars && sha256sum -c kafka-jars.sha256` checks a cache by hand. `python -m stretto.embedded.jars VERSION`
resolves another version's and writes the file anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stretto.embedded import places
from stretto.embedded.errors import ChecksumMismatch, NotFetched
from stretto_schemas.errors import StrettoError

PINS = Path(__file__).with_name("kafka-jars.sha256")
_SPACE = 128 << 20
"""The jars take 45 MB, and once more while they are on their way."""
_FETCHERS = 4
_TIMEOUT_S = 20
_log = logging.getLogger("stretto.embedded")


@dataclass(frozen=True)
class Jar:
    """One pinned file: its SHA-256 and its path below a Maven repository."""

    sha256: str
    path: PurePosixPath

    @property
    def coordinate(self) -> tuple[str, str, str]:
        """Group, artifact and version, as the path spells them."""
        *group, artifact, version = self.path.parent.parts
        return ".".join(group), artifact, version


def folder() -> Path:
    """Where the jars are cached."""
    return places.cache_dir() / "jars"


def pinned() -> list[Jar]:
    """The jars of the class path, in its order."""
    pairs = (line.split() for line in PINS.read_text().splitlines() if line and not line.startswith("#"))
    return [Jar(sha256, PurePosixPath(path)) for sha256, path in pairs]


def kafka_version() -> str:
    """The version of Apache Kafka that is pinned."""
    return next(jar.coordinate[2] for jar in pinned() if jar.coordinate[1].startswith("kafka_"))


def missing() -> list[Jar]:
    """The pinned jars that are not in the cache."""
    return [jar for jar in pinned() if not (folder() / jar.path).exists()]


def class_path(report: Callable[[str], None] = _log.info) -> list[Path]:
    """Every jar, fetched where it is not cached yet, each verified.

    Two processes may call this at once: one fetches, the other waits. A fetch that was killed goes on where it was.
    Raises NotFetched, ChecksumMismatch, DiskFull.
    """
    if missing():
        with _locked():
            if lacking := missing():
                _fetch(lacking, report)
    with ThreadPoolExecutor(_FETCHERS) as pool:
        return list(pool.map(_verified, pinned()))


def _verified(jar: Jar) -> Path:
    path = folder() / jar.path
    found = _sha256(path)
    if found != jar.sha256:
        raise ChecksumMismatch(
            f"{path} is not the file that was pinned: its SHA-256 is {found}",
            expected=f"{jar.sha256} (in {PINS})",
            fix=f"delete it (rm {path}) and run again: it is fetched anew",
        )
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    places.make_dir(folder())
    with (folder() / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # goes with the process, however that ends
        yield


def _fetch(lacking: list[Jar], report: Callable[[str], None]) -> None:
    for old in folder().glob("fetch-*"):  # of a fetch that was killed: nobody else holds the lock
        shutil.rmtree(old, ignore_errors=True)
    places.require_space(folder(), _SPACE, "fetching Apache Kafka")
    report(f"Fetching Apache Kafka {kafka_version()}: {len(lacking)} files into {folder()}")
    with (
        tempfile.TemporaryDirectory(prefix="fetch-", dir=folder()) as staging,
        _trusting_system_certificates(),
        ThreadPoolExecutor(_FETCHERS) as pool,
    ):
        futures = [pool.submit(_fetch_one, jar, Path(staging)) for jar in lacking]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetch_one(jar: Jar, staging: Path) -> None:
    import requests
    from jgo.maven import MavenContext

    group, artifact, version = jar.coordinate
    try:
        context = MavenContext(repo_cache=staging, timeout=_TIMEOUT_S, remote_repos=_mirror())
        got = Path(context.project(group, artifact).at_version(version).artifact().resolve())
    except requests.RequestException as error:
        raise _not_fetched(jar, _plain(error)) from None
    except RuntimeError:
        raise _not_fetched(jar, "the repository does not have it") from None
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            raise places.disk_full(folder()) from None
        raise _not_fetched(jar, error.strerror or str(error)) from None
    found = _sha256(got)
    if found != jar.sha256:
        raise ChecksumMismatch(
            f"{jar.path.name}, just fetched, is not the file that was pinned: its SHA-256 is {found}",
            expected=f"{jar.sha256} (in {PINS})",
            fix="try again; if it stays, something between here and Maven Central changes files: do not use them",
        )
    target = folder() / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    got.replace(target)


def _mirror() -> dict[str, str] | None:
    """A company's mirror instead of Maven Central; the checksums stay the same."""
    url = os.environ.get("STRETTO_MAVEN_URL", "").rstrip("/")
    return {"mirror": url} if url else None


def _not_fetched(jar: Jar, why: str) -> StrettoError:
    return NotFetched(
        f"{jar.path.name} of Apache Kafka {kafka_version()} is not cached and could not be fetched: {why}",
        expected=f"the {len(pinned())} files of {PINS.name} in {folder()}, or a way to Maven Central",
        fix=f"connect once and run again (proxy: HTTPS_PROXY, mirror: STRETTO_MAVEN_URL, certificates: REQUESTS_CA_BUNDLE), "
        f"or copy {folder()} from a machine that has it",
    )


def _plain(error: Exception) -> str:
    kind = type(error).__name__
    said = {"SSLError": "the TLS certificate is not trusted", "ProxyError": "the proxy does not answer"}
    return said.get(kind, "no network" if "Connection" in kind else f"no answer in time ({kind})")


@contextlib.contextmanager
def _trusting_system_certificates() -> Iterator[None]:
    """Let requests trust what the machine trusts, as pip does: its own list lacks a company's certificates."""
    paths = ssl.get_default_verify_paths()
    known = (paths.cafile, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
    system = next((path for path in known if path and Path(path).exists()), None)
    if system is None or "REQUESTS_CA_BUNDLE" in os.environ or "CURL_CA_BUNDLE" in os.environ:
        yield
        return
    os.environ["REQUESTS_CA_BUNDLE"] = system
    try:
        yield
    finally:
        del os.environ["REQUESTS_CA_BUNDLE"]


def pin(version: str) -> None:
    """Resolve Kafka's run-time dependencies, fetch them and write the pins anew. For maintainers; trusts what it gets."""
    from jgo.maven import Dependency, MavenContext

    with tempfile.TemporaryDirectory() as repository, _trusting_system_certificates():
        context = MavenContext(repo_cache=Path(repository), timeout=_TIMEOUT_S)
        broker = Dependency(context.project("org.apache.kafka", "kafka_2.13").at_version(version).artifact())
        inputs, transitive = context.resolver.resolve([broker])
        artifacts = [dependency.artifact for dependency in (*inputs, *transitive)]
        # The binding that Kafka's own archive carries and its POM does not: without it nothing is logged.
        log4j = next(a.version for a in artifacts if a.artifactId == "log4j-core")
        artifacts.append(context.project("org.apache.logging.log4j", "log4j-slf4j-impl").at_version(log4j).artifact())
        paths = [Path(artifact.resolve()) for artifact in artifacts]
        lines = [f"{_sha256(path)}  {path.relative_to(repository)}" for path in paths]
    PINS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    pin(sys.argv[1])
