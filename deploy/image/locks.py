"""Cut requirements.lock down to what the image installs: run.lock to run, build.lock to build the project's wheel.

Run it with the Python of scripts/setup after each change of requirements.lock: `python deploy/image/locks.py`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==")


def entries() -> dict[str, str]:
    """Each package of requirements.lock with its lines: version and hashes."""
    found: dict[str, str] = {}
    name = ""
    for line in (ROOT / "requirements.lock").read_text().splitlines(keepends=True):
        if pin := _PIN.match(line):
            name = canonicalize_name(pin[1])
            found[name] = ""
        if name and not line.startswith("#"):
            found[name] += line
    return found


def closure(wanted: Iterable[str]) -> set[str]:
    """Names of these requirements and of all that they need on this Python, extras as asked for."""
    done: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(each) for each in wanted]
    while waiting:
        requirement = waiting.pop()
        extras = frozenset(requirement.extras)
        place = (canonicalize_name(requirement.name), extras)
        if place in done:
            continue
        done.add(place)
        waiting += [
            each
            for each in map(Requirement, requires(requirement.name) or ())
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in (extras or {""}))
        ]
    return {name for name, _ in done}


def locks() -> Iterator[tuple[Path, str]]:
    """Both files, with what they are to hold."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    known = entries()
    for file, wanted in (
        ("run.lock", [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["lag"]]),
        ("build.lock", project["build-system"]["requires"]),
    ):
        yield HERE / file, "".join(known[name] for name in sorted(closure(wanted)))


if __name__ == "__main__":
    for path, text in locks():
        path.write_text(text)
