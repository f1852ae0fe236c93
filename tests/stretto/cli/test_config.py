"""`stretto config`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from stretto.settings.reference import reference
from stretto.settings.show import as_toml, masked_dsn
from stretto_schemas.errors import SettingsError
from stretto_schemas.settings import Settings, load
from tests.fix_cli import Cli

ROOT = Path(__file__).parents[3]


def test_the_settings_page_is_what_the_model_says() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == reference()


def test_every_setting_is_in_the_reference_with_its_meaning() -> None:
    settings = load(None, {})
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    sections = [getattr(settings, name) for name in Settings.model_fields if name != "prefix"]
    assert len(rows) == 1 + sum(len(type(section).model_fields) for section in sections)
    assert not [row for row in rows if row.endswith("|  |")]


def test_show_prints_toml_that_loads_again_to_the_same_settings(tmp_path: Path) -> None:
    settings = load(
        None,
        {
            "STRETTO_SOURCE__TABLES": '["public.*", "\\"a.b\\".c"]',
            "STRETTO_KAFKA__OPTIONS": '{"client.rack": "a\\"b"}',
            "STRETTO_SOURCE__DSN": "host=x dbname='it\\'s'",
        },
    )
    (tmp_path / "s.toml").write_text(as_toml(settings))
    assert load(tmp_path / "s.toml", {}) == settings


@pytest.mark.parametrize(
    "dsn",
    [
        "host=db user=u password=geheim dbname=d",
        "postgresql://u:geheim@db/d",
        "postgresql://db/d?password=geheim&user=u",
        "host=db password='geh eim' sslpassword=geheim",
        "host=db password=geheim oops",
    ],
)
def test_no_password_inside_a_dsn_is_shown(dsn: str) -> None:
    assert "geh" not in masked_dsn(dsn)


def test_no_secret_is_shown_wherever_it_was_written(bare_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("geheim-1\n")
    settings = {
        "STRETTO_SOURCE__DSN": "postgresql://u:geheim-2@db/d",
        "STRETTO_FOLLOWER__PASSWORD_FILE": str(tmp_path / "secret"),
        "STRETTO_KAFKA__SASL_PASSWORD": "geheim-3",
        "STRETTO_KAFKA__OPTIONS": '{"ssl.key.password": "geheim-4", "client.rack": "r1"}',
        "STRETTO_LAG__HOOK_URL": "https://u:geheim-5@hooks/T0/geheim-6?token=geheim-7",
    }
    toml = bare_cli.good("config", "show", **settings)
    tree = json.loads(bare_cli.good("config", "show", "-f", "json", **settings))
    assert "geheim" not in toml + json.dumps(tree)
    assert tree["follower"]["password"] == "***"
    assert tree["lag"]["hook_url"] == "***"
    assert tree["kafka"]["options"] == {"ssl.key.password": "***", "client.rack": "r1"}
    assert tomllib.loads(toml) == tree


@pytest.mark.parametrize("url", ["hooks/geheim", "ftp://geheim", "http://hooks/geheim x", "http://hooks/gehei\u00e4m"])
def test_a_hooks_address_that_is_none_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match=r"lag\.hook_url: .*begins with http") as refused:
        load(None, {"STRETTO_LAG__HOOK_URL": url})
    assert "gehei" not in str(refused.value)
    assert load(None, {"STRETTO_LAG__HOOK_URL": ""}).lag.hook_url.get_secret_value() == ""


def test_the_file_is_taken_from_the_option_on_either_side_the_variable_or_the_folder(bare_cli: Cli) -> None:
    for name in ("option", "variable", "stretto"):
        (bare_cli.folder / f"{name}.toml").write_text(f'prefix = "from-{name}"')

    def prefix(*arguments: str, **changed: str) -> object:
        return json.loads(bare_cli.good(*arguments, "-f", "json", **changed))["prefix"]

    variable = {"STRETTO_CONFIG": "variable.toml"}
    assert prefix("config", "show", "-c", "option.toml", **variable) == "from-option"
    assert prefix("-c", "option.toml", "config", "show", **variable) == "from-option"
    assert prefix("config", "show", **variable) == "from-variable"
    assert prefix("config", "show") == "from-stretto"


def test_without_any_file_the_one_that_up_wrote_is_taken(bare_cli: Cli) -> None:
    folder = bare_cli.folder / "no-stack"
    folder.mkdir()
    (folder / "stretto.toml").write_text('prefix = "from-up"')
    assert json.loads(bare_cli.good("config", "show", "-f", "json"))["prefix"] == "from-up"
