"""`farshore cost` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.shore import Shore

PRICED = """
[replicas.alpha]
url = "file://alpha"
region = "aws:eu-central-1"
[replicas.beta]
url = "file://beta"
region = "b2:eu-central-003"
[replicas.gamma]
url = "file://gamma"
region = "site:gamma"
"""


@pytest.fixture
def shore(tmp_path: Path) -> Shore:
    shore = Shore(tmp_path)
    text = (tmp_path / "farshore.toml").read_text()
    begin, end = text.index("[replicas.alpha]"), text.index("[sources.home]")
    (tmp_path / "farshore.toml").write_text(text[:begin] + PRICED + text[end:])
    shore.initialize()
    shore.good("backup", "--all")
    return shore


def test_each_replica_has_its_estimate_and_where_its_prices_are_from(shore: Shore) -> None:
    done = shore.good("cost", environment={"FARSHORE_PASSPHRASE": "no key is needed"})

    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}
    assert rows["alpha"][1:3] == ["aws:eu-central-1", "standard"]
    assert rows["gamma"][4:] == ["0.00"] * 8
    assert "list prices as of 2" in done.stdout
    assert "alpha: prices: https://aws.amazon.com/s3/pricing/" in done.stdout
    assert "gamma: no price is known, so it costs nothing here" in done.stdout


def test_the_records_add_up(shore: Shore) -> None:
    done = shore.good("cost", "--json")
    costs = done.of("cost")
    (total,) = done.of("cost-total")

    assert [one["replica"] for one in costs] == ["alpha", "beta", "gamma"]
    alpha = costs[0]
    assert alpha["usage"]["bytes_stored"] > 700_000
    assert alpha["usage"]["restore_bytes"] == alpha["usage"]["bytes_stored"]
    expected = alpha["usage"]["bytes_stored"] / alpha["price"]["gb_bytes"] * alpha["price"]["gb_month"]
    assert alpha["month"]["storage"] == pytest.approx(expected, abs=1e-6)
    assert total["month"] == pytest.approx(sum(one["month"]["total"] for one in costs), abs=1e-5)
    assert total["read_from"] == "alpha"


def test_prices_of_ones_own_come_from_the_option_or_the_configuration(shore: Shore) -> None:
    (shore.root / "own.toml").write_text("[replicas.gamma]\ngb_month = 1000\n")
    asked = shore.good("cost", "--json", "--prices", "own.toml").of("cost")[2]
    file = shore.root / "farshore.toml"
    file.write_text(file.read_text() + '[cost]\nprices = "own.toml"\n')
    configured = shore.good("cost", "--json").of("cost")[2]

    assert asked["month"]["storage"] > 0
    assert asked["month"] == configured["month"]
    assert asked["price"]["notes"] == ["with prices of your own"]


def test_mistakes_are_reported(shore: Shore) -> None:
    (shore.root / "own.toml").write_text('[replicas.alpha]\nclass = "glacer-ir"\n')
    wrong = shore.run("cost", "--prices", "own.toml")
    missing = shore.run("cost", "--prices", "none.toml")
    unknown = shore.run("cost", "--replica", "delta")

    assert wrong.code == missing.code == unknown.code == 10
    assert "Did you mean glacier-ir?" in wrong.stderr
    assert "none.toml cannot be read" in missing.stderr
