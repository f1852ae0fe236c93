"""The manifests of deploy/kubernetes: as they lie there, and as kustomize builds them where it is at hand."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"

Tree = dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """One object for Kubernetes."""

    origin: str
    """File below deploy/kubernetes, or the folder that was built."""
    tree: Tree

    @property
    def kind(self) -> str:
        return str(self.tree["kind"])

    @property
    def name(self) -> str:
        return str(self.tree["metadata"]["name"])

    @property
    def pod(self) -> Tree | None:
        """The template's spec, of what makes pods."""
        found: Tree | None = self.tree.get("spec", {}).get("template", {}).get("spec")
        return found

    def __str__(self) -> str:
        return f"{self.origin}:{self.kind}/{self.name}"


def kustomizations() -> list[Path]:
    """Every folder with a kustomization.yaml."""
    return sorted(path.parent for path in KUBERNETES.rglob("kustomization.yaml"))


def kustomization(folder: Path) -> Tree:
    """Its content."""
    tree: Tree = yaml.safe_load((folder / "kustomization.yaml").read_text())
    return tree


def written() -> list[Manifest]:
    """What the files named as resources hold."""
    return [
        Manifest(f"{folder.relative_to(KUBERNETES)}/{name}", tree)
        for folder in kustomizations()
        for name in kustomization(folder).get("resources", [])
        if name.endswith(".yaml")
        for tree in yaml.safe_load_all((folder / name).read_text())
    ]


@functools.cache
def built() -> tuple[Manifest, ...]:
    """What kustomize makes of each folder that can be applied; nothing where neither it nor kubectl is on the PATH."""
    return tuple(_build())


def _build() -> Iterator[Manifest]:
    for folder in kustomizations():
        if kustomization(folder)["kind"] != "Component":
            yield from build(folder, f"{folder.relative_to(KUBERNETES)}/")


def build(folder: Path, origin: str) -> Iterator[Manifest]:
    """What kustomize makes of a folder."""
    commands = {"kustomize": ["kustomize", "build"], "kubectl": ["kubectl", "kustomize"]}
    command = next((command for program, command in commands.items() if shutil.which(program)), None)
    if command is None:
        return
    made = subprocess.run([*command, str(folder)], check=True, capture_output=True, text=True, timeout=60)
    assert made.stderr == ""
    for tree in yaml.safe_load_all(made.stdout):
        yield Manifest(origin, tree)


def manifests() -> list[Manifest]:
    """All of it."""
    return [*written(), *built()]


def containers(pod: Tree) -> list[Tree]:
    """All containers of a pod, those that run before the others too."""
    return [*pod.get("initContainers", []), *pod["containers"]]
