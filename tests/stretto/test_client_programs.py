"""pg_dump and psql as Stretto runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from stretto.embedded.postgres import EmbeddedPostgres
from stretto_connectors.postgres.tools import Tools
from stretto_schemas.errors import UsageError

SECRETS = "password=geheim1 sslpassword='geheim2 =x' oauth_client_secret=geheim3"

LOOK = (
    r"""\! tr '\0' '\n' < /proc/$PPID/cmdline; stat -c %a "$PGSERVICEFILE"; cat "$PGSERVICEFILE"; echo $PGSERVICEFILE"""
)
"""Run by psql: its own command line, and the service file that it read."""


def test_no_secret_stands_on_a_command_line_and_nothing_stays(leader: EmbeddedPostgres) -> None:
    ended = Tools(leader.bin_dir, 18).run("psql", ["-X", "-c", LOOK, "-Atc", "select 1 + 1"], f"{leader.dsn} {SECRETS}")
    assert ended.code == 0, ended.errors
    seen, _, rest = ended.output.decode().partition("600\n")
    assert "--dbname=" in seen
    assert "geheim" not in seen
    service, path, answer = rest.rsplit("\n", 3)[:3]
    assert service == "[stretto]\nsslpassword=geheim2 =x\noauth_client_secret=geheim3"
    assert answer == "2", "the server was reached"
    assert not Path(path).exists()


@pytest.mark.parametrize(
    ("dsn", "found"),
    [("service=mine sslpassword=geheim", "names a service"), ("host=x sslpassword='geheim '", "ends with a blank")],
)
def test_a_secret_that_cannot_be_handed_over_is_a_usage_error(leader: EmbeddedPostgres, dsn: str, found: str) -> None:
    with pytest.raises(UsageError, match=found) as caught:
        Tools(leader.bin_dir, 18).run("psql", ["-c", "select 1"], dsn)
    assert "geheim" not in str(caught.value)
