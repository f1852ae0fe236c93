"""A Prometheus of the machine, with Stretto's rules, on loopback."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from stretto.embedded import ports
from stretto.embedded.processes import wait_until

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "compose" / "prometheus" / "stretto.rules.yml"
START_S = 60.0


@contextmanager
def prometheus(program: str, folder: Path, targets: Mapping[str, str]) -> Iterator[str]:
    """Give its `host:port` while the block runs. `targets`: by job, `host:port`."""
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
        ],
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{ports.choose()}"
    log = folder / "prometheus.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={address}",
                "--log.level=warn",
            ],
            stdout=output,
            stderr=output,
        )
    try:
        assert wait_until(lambda: _is_ready(address) or process.poll() is not None, START_S), log.read_text()
        assert process.poll() is None, log.read_text()
        yield address
    finally:
        process.terminate()
        process.wait(START_S)


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False
