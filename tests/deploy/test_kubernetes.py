"""The manifests: what Kubernetes takes, what the processes are, and that one fits the other."""

from __future__ import annotations

import re
import shutil
import threading
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from kubernetes_validate.utils import all_versions
from typer.testing import CliRunner

from stretto.cli import app
from stretto.process.http import HealthServer
from stretto_schemas.errors import SettingsError
from stretto_schemas.settings import Settings, load
from tests.deploy.manifests import (
    KUBERNETES,
    ROOT,
    Manifest,
    Tree,
    build,
    built,
    containers,
    kustomization,
    kustomizations,
    manifests,
    written,
)

OLDEST = (1, 29)
VERSIONS = sorted(
    version
    for version in {tuple(int(part) for part in each.split(".")[:2]) for each in all_versions()}
    if version >= OLDEST
)
CUSTOM = {"PodMonitor"}
"""Kinds of operators, of which Kubernetes has no schema."""

POD_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
"""What the Pod Security Standard `restricted` allows."""

SETTINGS = KUBERNETES / "example" / "shop" / "stretto.toml"
PAGE = ROOT / "docs" / "deploy" / "kubernetes.md"

WHOLE = {"status", "doctor", "verify"}
"""Commands that log in at both databases."""

PRINCIPALS = {
    "stretto-capture": "stretto-capture",
    "stretto-follower": "stretto-follower",
    "stretto-lag": "stretto-lag",
    "stretto-setup": "stretto-admin",
    "stretto-tools": "stretto-admin",
}
"""Workload, and who it is for Kafka."""

ALL = manifests()
PODS = [manifest for manifest in ALL if manifest.pod is not None]
DEPLOYMENTS = [manifest for manifest in PODS if manifest.kind == "Deployment"]


class Idle:
    """A process that has nothing to do and is ready."""

    name = "capture"

    def __init__(self) -> None:
        self.status: Callable[[], dict[str, object]] = lambda: {"state": "running"}

    def ready(self, max_lag_s: float | None = None) -> tuple[bool, str]:
        return True, "idle" if max_lag_s is None else "nothing waits"

    def run(self, stop: threading.Event) -> None:
        stop.wait()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where the pages that every process has are served."""
    with HealthServer(Idle(), "127.0.0.1", 0, setting="capture_port") as http:
        yield http.port


@pytest.fixture
def example() -> list[Manifest]:
    """The example as kustomize builds it; the files alone do not tell."""
    ours = [manifest for manifest in built() if manifest.origin.startswith("example/")]
    if not ours:
        pytest.skip("the example is not built: neither kustomize nor kubectl is on the PATH")
    return ours


def image() -> dict[str, str]:
    """Variables that the image sets."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    last = [line for line in lines if line.startswith("ENV ")][-1]
    return dict(pair.split("=", 1) for pair in last.split()[1:])


def settings_of(container: Tree, tmp_path: Path) -> Settings:
    """The settings that a container runs with, under the example's file. Raises SettingsError, also for an unknown variable."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    given = {each["name"]: each["value"] for each in container["env"]}
    files = {name: str(secret) for name in given if name.endswith("_FILE")}
    return load(SETTINGS, {**image(), **given, **files})


def mounted(pod: Tree, container: Tree, path: str) -> Tree:
    """The volume in which a path lies."""
    (mount,) = [each for each in container["volumeMounts"] if Path(path).is_relative_to(each["mountPath"])]
    (volume,) = [each for each in pod["volumes"] if each["name"] == mount["name"]]
    found: Tree = volume
    return found


def logins(pod: Tree, container: Tree) -> set[str]:
    """Servers for which a container has the password, and the CA that the settings name."""
    tree = tomllib.loads(SETTINGS.read_text())
    authorities = {"kafka": tree["kafka"]["options"]["ssl.ca.location"]}
    for side in ("source", "follower"):
        found = re.search(r"sslrootcert=(\S+)", tree[side]["dsn"])
        assert found is not None
        authorities[side] = found[1]
    paths = {each["name"]: each["value"] for each in container["env"]}
    secrets = {each["name"] for each in pod["volumes"] if "secret" in each}
    places = [Path(each["mountPath"]) for each in container["volumeMounts"] if each["name"] in secrets]
    return {
        server
        for server, authority in authorities.items()
        for variable in [f"STRETTO_{server.upper()}__{'SASL_' if server == 'kafka' else ''}PASSWORD_FILE"]
        if variable in paths
        and all(any(Path(path).is_relative_to(place) for place in places) for path in (paths[variable], authority))
    }


def executed() -> list[tuple[str, str, list[str]]]:
    """Kind, name and arguments of each `kubectl exec` of the page."""
    kinds = {"deploy": "Deployment", "deployment": "Deployment", "job": "Job"}
    found = re.findall(r"kubectl .*\bexec (\S+)/(\S+) -- stretto ([^\n`#]+)", PAGE.read_text())
    return [(kinds[kind], name, arguments.split()) for kind, name, arguments in found]


def each_container() -> list[Any]:
    """As parameters: pod and container."""
    return [
        pytest.param(manifest.pod, container, id=f"{manifest}:{container['name']}")
        for manifest in PODS
        if manifest.pod
        for container in containers(manifest.pod)
    ]


@pytest.mark.parametrize("folder", kustomizations(), ids=lambda folder: str(folder.relative_to(KUBERNETES)))
def test_a_kustomization_names_the_files_of_its_folder_and_no_others(folder: Path) -> None:
    tree = kustomization(folder)
    named = [*tree.get("resources", []), *tree.get("components", [])]
    named += [patch["path"] for patch in tree.get("patches", [])]
    named += [file for made in tree.get("configMapGenerator", []) for file in made["files"]]
    files = {name for name in named if (folder / name).is_file()}
    assert files == {path.name for path in folder.iterdir() if path.is_file()} - {"kustomization.yaml"}
    assert all((folder / name / "kustomization.yaml").is_file() for name in set(named) - files), named


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: ".".join(map(str, version)))
def test_kubernetes_knows_every_field(version: tuple[int, int]) -> None:
    for manifest in ALL:
        if manifest.kind not in CUSTOM:
            kubernetes_validate.validate(manifest.tree, "{}.{}".format(*version), strict=True)


@pytest.mark.parametrize("manifest", PODS, ids=str)
def test_a_namespace_that_demands_the_restricted_standard_takes_the_pods(manifest: Manifest) -> None:
    pod = manifest.pod
    assert pod is not None
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod)
    assert not {"sysctls", "windowsOptions", "seLinuxOptions"} & set(context)
    for volume in pod["volumes"]:
        assert set(volume) - {"name"} <= POD_VOLUMES
    for container in containers(pod):
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert set(own) == {"allowPrivilegeEscalation", "capabilities", "readOnlyRootFilesystem"}
        assert not any("hostPort" in port for port in container.get("ports", []))


@pytest.mark.parametrize(("pod", "container"), each_container())
def test_a_container_runs_as_the_image_means_it_and_within_bounds(pod: Tree, container: Tree) -> None:
    user = re.search(r"useradd .*--uid (\d+)", (ROOT / "Dockerfile").read_text())
    assert user is not None
    ids = {pod["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")}
    assert ids == {int(user[1])}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "memory" in container["resources"]["limits"]
    assert {"cpu", "memory"} == set(container["resources"]["requests"])
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert all("sizeLimit" in volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume)
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize(("pod", "container"), each_container())
def test_a_container_runs_a_command_of_the_command_line(pod: Tree, container: Tree) -> None:
    assert "command" not in container  # the image's entry point is the program
    done = CliRunner().invoke(app, [*container["args"], "--help"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(("pod", "container"), each_container())
def test_every_variable_is_a_setting_and_every_path_is_mounted(pod: Tree, container: Tree, tmp_path: Path) -> None:
    settings = settings_of(container, tmp_path)
    for each in container["env"]:
        if each["name"].endswith("_FILE"):
            assert "secret" in mounted(pod, container, each["value"])
    config = next(each["value"] for each in container["env"] if each["name"] == "STRETTO_CONFIG")
    assert "configMap" in mounted(pod, container, config)
    assert Path(config).name == SETTINGS.name
    assert "emptyDir" in mounted(pod, container, "/tmp/x")
    if container["args"] == ["run", "follower"]:
        assert "emptyDir" in mounted(pod, container, str(settings.follower.spill_dir))


@pytest.mark.parametrize("manifest", PODS, ids=str)
def test_no_variable_comes_from_services(manifest: Manifest) -> None:
    assert manifest.pod is not None
    assert manifest.pod["enableServiceLinks"] is False
    with pytest.raises(SettingsError, match="STRETTO_CAPTURE_SERVICE_HOST is no setting"):
        load(None, {"STRETTO_CAPTURE_SERVICE_HOST": "10.0.0.1"})


@pytest.mark.parametrize("manifest", DEPLOYMENTS, ids=str)
def test_probes_and_scrapes_ask_for_pages_that_are_served(manifest: Manifest, port: int, tmp_path: Path) -> None:
    assert manifest.pod is not None
    (container,) = manifest.pod["containers"]
    http = settings_of(container, tmp_path).http
    ports = {"capture": http.capture_port, "follower": http.follower_port, "lag": http.lag_port, "web": http.web_port}
    served = ports[container["args"][-1]]
    assert container["ports"] == [{"name": "http", "containerPort": served}]
    assert http.host == image()["STRETTO_HTTP__HOST"]
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: get["path"] for name, get in asked.items()} == {
        "startup": "/livez",
        "liveness": "/livez",
        "readiness": "/readyz",
    }
    assert {get["port"] for get in asked.values()} == {"http"}
    notes = manifest.tree["spec"]["template"]["metadata"].get("annotations")
    assert (notes is None) == (container["args"] == ["web"])  # the page has no metrics
    assert notes is None or notes["prometheus.io/port"] == str(served)
    for path in {get["path"] for get in asked.values()} | ({notes["prometheus.io/path"]} if notes else set()):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            assert answer.status == HTTPStatus.OK


@pytest.mark.parametrize("origin", sorted({manifest.origin for manifest in ALL}))
def test_what_selects_pods_finds_some_and_no_others(origin: str) -> None:
    here = [manifest for manifest in ALL if manifest.origin == origin]
    labels = {str(pod): pod.tree["spec"]["template"]["metadata"]["labels"] for pod in PODS if pod.origin == origin}
    for manifest in here:
        spec = manifest.tree.get("spec", {})
        if manifest.kind == "Service":
            wanted = spec["selector"]
            assert spec["ports"][0]["targetPort"] == "http"
            assert spec["publishNotReadyAddresses"] is True
        elif manifest.kind in ("Deployment", "PodDisruptionBudget"):
            wanted = spec["selector"]["matchLabels"]
        else:
            continue
        found = [name for name, own in labels.items() if wanted.items() <= own.items()]
        workload = f"{origin}:Deployment/{manifest.name}"
        assert found == [workload], manifest


def test_all_pods_are_behind_the_network_policy_and_the_monitor() -> None:
    everywhere = {"app.kubernetes.io/name": "stretto"}
    chosen = {manifest.kind: manifest.tree["spec"] for manifest in written()}
    assert chosen["NetworkPolicy"]["podSelector"]["matchLabels"] == everywhere
    assert chosen["PodMonitor"]["selector"]["matchLabels"] == everywhere
    (components,) = chosen["PodMonitor"]["selector"]["matchExpressions"]
    labelled = [manifest.tree["spec"]["template"]["metadata"]["labels"] for manifest in PODS]
    assert all(everywhere.items() <= each.items() for each in labelled)
    assert set(components["values"]) == {each[components["key"]] for each in labelled} - {"setup", "tools", "web"}
    assert [each["port"] for each in chosen["PodMonitor"]["podMetricsEndpoints"]] == ["http"]
    assert [each["port"] for each in chosen["NetworkPolicy"]["ingress"][0]["ports"]] == ["http"]


def test_a_captures_successor_waits_for_it_and_a_follower_has_a_stand_by() -> None:
    specs = {manifest.name: manifest.tree["spec"] for manifest in written() if manifest.kind == "Deployment"}
    assert specs["stretto-capture"]["replicas"] == 1
    assert specs["stretto-capture"]["strategy"] == {"type": "Recreate"}
    assert specs["stretto-follower"]["replicas"] == 2


def test_a_job_does_not_try_again_what_trying_cannot_mend() -> None:
    """Codes 2 and 4, as docs/cli.md has them."""
    specs = {manifest.name: manifest.tree["spec"] for manifest in written() if manifest.kind == "Job"}
    assert set(specs) == {"stretto-setup", "stretto-tools"}
    on_exit = {"operator": "In", "values": [2, 4]}
    for spec in specs.values():
        assert spec["podFailurePolicy"]["rules"] == [{"action": "FailJob", "onExitCodes": on_exit}]
        assert spec["template"]["spec"]["restartPolicy"] == "Never"  # without it Kubernetes takes no such policy


def test_the_pod_for_commands_by_hand_lasts_and_yet_ends() -> None:
    (job,) = [manifest for manifest in written() if manifest.name == "stretto-tools"]
    assert job.pod is not None
    (container,) = containers(job.pod)
    assert container["args"][:2] == ["status", "--watch"]
    assert job.tree["spec"]["activeDeadlineSeconds"] > 0


def test_the_page_runs_commands_where_they_have_the_logins_that_they_need(example: list[Manifest]) -> None:
    assert {arguments[0] for _, _, arguments in executed()} == WHOLE
    assert PAGE.read_text().count("kubectl -n shop exec") == len(executed())
    for kind, name, arguments in executed():
        done = CliRunner().invoke(app, [*arguments, "--help"])
        assert done.exit_code == 0, done.output
        (pod,) = [each.pod for each in example if (each.kind, each.name) == (kind, name)]
        assert pod is not None
        assert logins(pod, pod["containers"][0]) == {"source", "follower", "kafka"}


def test_every_process_is_somebody_of_its_own_for_kafka(example: list[Manifest]) -> None:
    """As docs/security.md has them, with a Secret of its own, also in the container that runs before the others."""
    granted = set(re.findall(r"--allow-principal User:(\S+)", (ROOT / "docs" / "security.md").read_text()))
    assert granted == set(PRINCIPALS.values())
    assert "sasl_username" not in tomllib.loads(SETTINGS.read_text())["kafka"]
    pods = {manifest.name: manifest.pod for manifest in example if manifest.pod is not None}
    assert set(pods) == set(PRINCIPALS)
    for name, pod in pods.items():
        for container in containers(pod):
            given = {each["name"]: each["value"] for each in container["env"]}
            assert given["STRETTO_KAFKA__SASL_USERNAME"] == PRINCIPALS[name]
            secret = mounted(pod, container, given["STRETTO_KAFKA__SASL_PASSWORD_FILE"])["secret"]["secretName"]
            assert secret == "stretto-kafka-" + PRINCIPALS[name].removeprefix("stretto-")


def test_a_process_has_no_logins_but_its_own(example: list[Manifest]) -> None:
    pods = {manifest.name: manifest.pod for manifest in example if manifest.kind == "Deployment" and manifest.pod}
    found = {name: logins(pod, pod["containers"][0]) for name, pod in pods.items()}
    assert found == {
        "stretto-capture": {"source", "kafka"},
        "stretto-follower": {"follower", "kafka"},
        "stretto-lag": {"source", "follower", "kafka"},
    }
    assert {
        name: {each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each}
        for name, pod in pods.items()
    } == {
        "stretto-capture": {"stretto-source", "stretto-kafka-capture"},
        "stretto-follower": {"stretto-follower", "stretto-kafka-follower"},
        "stretto-lag": {"stretto-source", "stretto-follower", "stretto-kafka-lag"},
    }


def test_the_components_that_the_example_leaves_out_fit_in(example: list[Manifest], tmp_path: Path) -> None:
    """The page has the image, the namespace and the login at Kafka of the rest."""
    copy = shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    file = copy / "example" / "kustomization.yaml"
    file.write_text(file.read_text().replace("  # - ../", "  - ../"))
    made = list(build(copy / "example", "example/"))
    added = {(each.kind, each.name) for each in made} - {(each.kind, each.name) for each in example}
    assert added == {("Deployment", "stretto-web"), ("Service", "stretto-web"), ("PodMonitor", "stretto")}
    (pod,) = [each.pod for each in made if each.name == "stretto-web" and each.pod is not None]
    assert logins(pod, pod["containers"][0]) == {"source", "follower", "kafka"}
    assert pod["containers"][0]["image"] == "registry.example.org/stretto:0.1.0"
    assert {each.tree["metadata"]["namespace"] for each in made} == {"shop"}


def test_the_example_is_what_it_is_meant_to_be(example: list[Manifest]) -> None:
    assert {manifest.tree["metadata"].get("namespace") for manifest in example} <= {"shop"}
    for manifest in example:
        if manifest.pod is None:
            continue
        tree = tomllib.loads(SETTINGS.read_text())
        (name,) = {each["configMap"]["name"] for each in manifest.pod["volumes"] if "configMap" in each}
        assert name in {each.name for each in example if each.kind == "ConfigMap" and each.origin == manifest.origin}
        assert name.startswith("stretto-")
        for container in containers(manifest.pod):
            assert container["image"] == "registry.example.org/stretto:0.1.0"
            variables = {each["name"] for each in container["env"]}
            authority = tree["kafka"]["options"]["ssl.ca.location"]
            assert mounted(manifest.pod, container, authority)["secret"]["secretName"].startswith("stretto-kafka-")
            for side in ("source", "follower"):
                if f"STRETTO_{side.upper()}__PASSWORD_FILE" in variables:
                    named = re.search(r"sslrootcert=(\S+)", tree[side]["dsn"])
                    assert named is not None
                    assert mounted(manifest.pod, container, named[1])["secret"]["secretName"] == f"stretto-{side}"
