"""Kafka Connect and Debezium's plugin: fetched from Maven Central by jgo, held to pinned checksums.

`connect-jars.sha256` names them as `stretto/embedded/kafka-jars.sha256` names the broker's. They lie in the same cache,
and the plugin is unpacked beside them. `python -m tests.debezium.jars CONNECT DEBEZIUM` writes the pins of other versions.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from jgo.maven import Dependency, MavenContext

from stretto.embedded import jars
from stretto.embedded.jars import Jar
from stretto_schemas.errors import CheckFailed

PINS = Path(__file__).with_name("connect-jars.sha256")
_PLUGIN_SUFFIX = "-plugin.tar.gz"
_FETCHERS = 4
_TIMEOUT_S = 30


def pinned() -> list[Jar]:
    """Every pinned file; the plugin's archive is the last."""
    pairs = (line.split() for line in PINS.read_text().splitlines())
    return [Jar(sha256, PurePosixPath(path)) for sha256, path in pairs]


def debezium_version() -> str:
    """The version of Debezium that is pinned."""
    return pinned()[-1].coordinate[2]


def class_path() -> list[Path]:
    """The worker's jars, fetched where they are not cached, each verified; and what writes its log."""
    return [*_files()[:-1], *(path for path in jars.class_path() if path.name.startswith("log4j-"))]


def plugin_path() -> Path:
    """The folder with the unpacked plugin, for the worker's `plugin.path`."""
    packed = _files()[-1]
    folder = packed.with_name(f"plugins-{pinned()[-1].sha256[:16]}")
    with jars._locked():
        if not folder.exists():
            new = Path(tempfile.mkdtemp(prefix="unpack-", dir=packed.parent))
            with tarfile.open(packed) as tar:
                tar.extractall(new, filter="data")
            new.replace(folder)
    return folder


def _files() -> list[Path]:
    with jars._locked():
        lacking = [jar for jar in pinned() if not (jars.folder() / jar.path).exists()]
        if lacking:
            with jars._trusting_system_certificates(), ThreadPoolExecutor(_FETCHERS) as pool:
                list(pool.map(_fetch, lacking))
    return [_verified(jar) for jar in pinned()]


def _verified(jar: Jar) -> Path:
    path = jars.folder() / jar.path
    found = jars._sha256(path)
    if found != jar.sha256:
        raise CheckFailed(
            f"{path} has SHA-256 {found}", expected=f"{jar.sha256}, pinned in {PINS.name}", fix=f"rm {path}"
        )
    return path


def _fetch(jar: Jar) -> None:
    group, artifact, version = jar.coordinate
    path = jars.folder() / jar.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=path.parent) as staging:
        context = MavenContext(repo_cache=Path(staging), timeout=_TIMEOUT_S, remote_repos=jars._mirror())
        component = context.project(group, artifact).at_version(version)
        wanted = _plugin(component) if jar.path.name.endswith(_PLUGIN_SUFFIX) else component.artifact()
        shutil.move(wanted.resolve(), path)


def _plugin(component: Any) -> Any:
    return component.artifact(classifier="plugin", packaging="tar.gz")


def pin(connect: str, debezium: str) -> None:
    """Resolve Connect's run-time dependencies and write the pins anew. For maintainers; trusts what it gets."""
    with tempfile.TemporaryDirectory() as repository, jars._trusting_system_certificates():
        context = MavenContext(repo_cache=Path(repository), timeout=_TIMEOUT_S)
        wanted = [
            Dependency(context.project("org.apache.kafka", name).at_version(connect).artifact())
            for name in ("connect-runtime", "connect-json")
        ]
        inputs, transitive = context.resolver.resolve(wanted)
        artifacts = [dependency.artifact for dependency in (*inputs, *transitive)]
        artifacts.append(_plugin(context.project("io.debezium", "debezium-connector-postgres").at_version(debezium)))
        paths = [Path(artifact.resolve()) for artifact in artifacts]
        PINS.write_text("".join(f"{jars._sha256(path)}  {path.relative_to(repository)}\n" for path in paths))


if __name__ == "__main__":
    pin(*sys.argv[1:])
