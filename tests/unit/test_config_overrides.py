"""FARSHORE_ variables: which keys they set, and what becomes of those that set none."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.config import Config, DirectoryConfig, PostgresConfig, Secret, load_config
from farshore.errors import ConfigInvalid

TEXT = """
[repository]
quorum = 2
passphrase = { env = "FARSHORE_MY_WORD" }
[replicas.new-york]
url = "s3://bucket"
[replicas.vault]
url = "file:///srv/vault"
[sources.shop]
type = "postgres"
dsn = { env = "SHOP_DSN" }
[sources.home]
type = "directory"
path = "/home"
"""


def load(folder: Path, environment: dict[str, str]) -> Config:
    file = folder / "farshore.toml"
    file.write_text(TEXT)
    return load_config(file, environment)


def refusal(folder: Path, environment: dict[str, str]) -> ConfigInvalid:
    with pytest.raises(ConfigInvalid) as caught:
        load(folder, environment)
    return caught.value


def test_each_kind_of_value_can_be_set(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        {
            "FARSHORE_REPOSITORY__QUORUM": "1",
            "FARSHORE_REPLICAS__NEW_YORK__ENDPOINT": "http://127.0.0.1:1",
            "FARSHORE_REPLICAS__NEW_YORK__CREDENTIALS__ACCESS_KEY__ENV": "KEY",
            "FARSHORE_REPLICAS__NEW_YORK__CREDENTIALS__SECRET_KEY": '{ command = ["pass", "s3"] }',
            "FARSHORE_SOURCES__SHOP__DSN__FILE": "/run/dsn",
            "FARSHORE_SOURCES__HOME__EXCLUDE": '["a", "b"]',
            "FARSHORE_SOURCES__HOME__PAGED": "*.img",
            "FARSHORE_SOURCES__HOME__ONE_FILE_SYSTEM": "false",
            "FARSHORE_AUDIT__PATHS": "true",
            "FARSHORE_STATE__DIR": "/state",
        },
    )

    assert config.repository.quorum == 1
    assert config.replicas["new-york"].endpoint == "http://127.0.0.1:1"
    assert config.replicas["new-york"].credentials == {
        "access_key": Secret("env", "KEY"),
        "secret_key": Secret("command", "pass", ("s3",)),
    }
    assert config.sources["shop"] == PostgresConfig(name="shop", dsn=Secret("file", "/run/dsn"))
    assert config.sources["home"] == DirectoryConfig(
        name="home", path=Path("/home"), exclude=("a", "b"), paged=("*.img",), one_file_system=False
    )
    assert config.audit.paths is True
    assert config.state_dir == Path("/state")
    assert len(config.overrides) == 10


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("FARSHORE_QUORUM", "FARSHORE_REPOSITORY__QUORUM"),
        ("FARSHORE_QUORM", "FARSHORE_REPOSITORY__QUORUM"),
        ("FARSHORE_REPOSITORY__QUORM", "FARSHORE_REPOSITORY__QUORUM"),
        ("FARSHORE_REPLICAS__VALT__REGION", "FARSHORE_REPLICAS__VAULT__REGION"),
        ("FARSHORE_PASPHRASE", "FARSHORE_PASSPHRASE"),
        ("FARSHORE_STATEDIR", "FARSHORE_STATE_DIR"),
    ],
)
def test_a_variable_that_matches_no_key_is_a_warning_with_the_nearest(tmp_path: Path, name: str, nearest: str) -> None:
    """Trials F7, N13."""
    (warning,) = load(tmp_path, {name: "1"}).warnings

    assert warning.endswith(f"/farshore.toml set nothing: {name} (did you mean {nearest}?)")


def test_many_such_variables_are_one_warning(tmp_path: Path) -> None:
    """Trial F7."""
    (warning,) = load(tmp_path, {f"FARSHORE_X{number}Y": "1" for number in range(9)}).warnings

    assert warning.endswith("FARSHORE_X0Y, FARSHORE_X1Y, FARSHORE_X2Y, FARSHORE_X3Y, FARSHORE_X4Y and 4 more")


def test_variables_of_a_kubernetes_service_are_not_meant_for_us(tmp_path: Path) -> None:
    """Trial F7: what a Service called farshore, and one called farshore-web, set in every pod of their namespace."""
    address = "tcp://10.0.0.7:80"
    environment = {
        f"{name}_{rest}": address
        for name in ("FARSHORE", "FARSHORE_WEB")
        for rest in (
            *("PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR", "PORT_80_TCP_PORT", "PORT_80_TCP_PROTO", "PORT_53_UDP_ADDR"),
            *("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP"),
        )
    }

    config = load(tmp_path, environment)

    assert (config.warnings, config.overrides) == ((), ())


def test_a_variable_with_a_wrong_value_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"FARSHORE_REPOSITORY__QUORUM": "two"})

    assert error.message == (
        "environment variable FARSHORE_REPOSITORY__QUORUM: repository.quorum must be a whole number, not text"
    )


def test_a_literal_secret_in_a_variable_is_refused_and_not_repeated(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"FARSHORE_REPOSITORY__PASSPHRASE": "hunter2"})

    assert "FARSHORE_REPOSITORY__PASSPHRASE: repository.passphrase must be a reference" in error.message
    assert "hunter2" not in error.message + error.hint


def test_variables_that_the_file_refers_to_and_reserved_ones_are_no_overrides(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        {"FARSHORE_MY_WORD": "w", "FARSHORE_CONFIG": "x", "FARSHORE_DEBUG": "1", "FARSHORE_LOG": "debug", "OTHER": "y"},
    )

    assert config.overrides == ()
    assert config.reveal(Secret("env", "FARSHORE_MY_WORD")) == "w"


def test_the_passphrase_variable_is_used_where_nothing_else_is_configured(tmp_path: Path) -> None:
    file = tmp_path / "farshore.toml"
    file.write_text('[replicas.vault]\nurl = "file:///srv/vault"\n')

    assert load_config(file, {}).repository.passphrase is None
    assert load_config(file, {"FARSHORE_PASSPHRASE": "w"}).repository.passphrase == Secret("env", "FARSHORE_PASSPHRASE")
    assert load(tmp_path, {"FARSHORE_PASSPHRASE": "w"}).repository.passphrase == Secret("env", "FARSHORE_MY_WORD")


def test_an_array_that_is_no_array_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"FARSHORE_SOURCES__HOME__EXCLUDE": '["a"'})

    assert "FARSHORE_SOURCES__HOME__EXCLUDE" in error.message
