"""The commented example loads, and the page of the configuration knows every key and variable."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from pathlib import Path

from farshore.config import DirectoryConfig, Secret, load_config
from farshore.config.document import RESERVED
from farshore.config.parsing import CREDENTIALS
from farshore.config.schema import AUDIT, COST, HOLDER, PLACEMENT, READS, REPLICA, REPOSITORY, SOURCES, STATE

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "infra/examples/farshore.toml"
PAGE = (ROOT / "docs/reference/configuration.md").read_text()


def test_the_example_loads_without_a_warning() -> None:
    config = load_config(EXAMPLE, {})

    assert list(config.replicas) == ["frankfurt", "iowa", "sydney", "vault"]
    assert config.warnings == ()
    assert config.replicas["sydney"].credentials["key"] == Secret("command", "pass", ("show", "azure/backups"))
    home = config.sources["home"]
    assert isinstance(home, DirectoryConfig)
    assert home.rpo == timedelta(hours=26)


def test_the_example_shows_every_key(tmp_path: Path) -> None:
    commented_in = re.sub(r"^# (?=\[cost\]|\[reads\]|\[state\]|\w+ = )", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    file = tmp_path / "farshore.toml"
    file.write_text(commented_in)
    values = tomllib.loads(commented_in)

    load_config(file, {})

    assert set(values["repository"]) == set(REPOSITORY)
    assert set().union(*values["replicas"].values()) == set(REPLICA)
    assert set(values["placement"]) == set(PLACEMENT)
    assert set().union(*values["holders"].values()) == set(HOLDER)
    assert set(values["audit"]) == set(AUDIT)
    assert set(values["cost"]) == set(COST)
    assert set(values["reads"]) == set(READS)
    assert set(values["state"]) == set(STATE)
    shown = {source["type"]: set(source) for source in values["sources"].values()}
    assert shown["directory"] == {"type", *SOURCES["directory"]}
    assert shown.keys() == SOURCES.keys()


def test_the_page_knows_every_key_and_variable() -> None:
    named = (REPOSITORY, REPLICA, PLACEMENT, HOLDER, AUDIT, COST, READS, STATE, *SOURCES.values())
    keys = {key for keys in named for key in keys}
    credentials = {name for names in CREDENTIALS.values() for name in names}

    assert not [word for word in (*keys, *credentials, *RESERVED) if f"`{word}`" not in PAGE]


def test_the_tomls_and_variables_of_the_page_are_accepted(tmp_path: Path) -> None:
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (lines,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    variables = dict(line.split("=", 1) for line in lines.splitlines())
    (tmp_path / "farshore.toml").write_text(toml)

    assert load_config(tmp_path / "farshore.toml", {}).repository.quorum == 1
    config = load_config(EXAMPLE, {name: value.strip("'") for name, value in variables.items()})
    assert set(config.overrides) == set(variables)
    assert config.repository.quorum == 1
