from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from farshore.access.read_prices import read_prices
from farshore.config.settings import Config, CostConfig, ReadsConfig, ReplicaConfig, RepositoryConfig
from farshore.limits import GIB

FRANKFURT = ReplicaConfig("frankfurt", "s3://bucket/a", region="aws:eu-central-1")
IOWA = ReplicaConfig("iowa", "gs://bucket/b", region="gcp:us-central1")
VAULT = ReplicaConfig("vault", "file:///srv/vault")


def config(tmp_path: Path, *replicas: ReplicaConfig) -> Config:
    return Config(
        repository=RepositoryConfig(quorum=1),
        replicas={one.name: one for one in replicas},
        sources={},
        state_dir=tmp_path,
    )


def test_egress_and_requests_are_those_of_the_price_table(tmp_path: Path) -> None:
    prices = read_prices(config(tmp_path, FRANKFURT, IOWA, VAULT))
    assert prices["frankfurt"].per_byte * GIB == pytest.approx(0.09)
    assert prices["iowa"].per_byte * GIB == pytest.approx(0.12)
    assert prices["frankfurt"].per_request > 0
    assert prices["frankfurt"].expensive
    assert prices["vault"].of(GIB) == 0


def test_within_the_region_of_this_host_nothing_is_sent_out_of_it(tmp_path: Path) -> None:
    near = replace(config(tmp_path, FRANKFURT, IOWA), reads=ReadsConfig(host_region="aws:eu-central-1"))
    prices = read_prices(near)
    assert prices["frankfurt"].per_byte == 0
    assert prices["frankfurt"].per_request > 0
    assert prices["iowa"].per_byte * GIB == pytest.approx(0.12)


def test_prices_of_ones_own_go_first_and_a_broken_table_stops_no_restore(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("[replicas.vault]\negress_gb = 1.0\n")
    priced = replace(config(tmp_path, FRANKFURT, VAULT), cost=CostConfig(own))
    assert read_prices(priced)["vault"].per_byte * GIB == pytest.approx(1.0)
    own.write_text("no = [table")
    prices = read_prices(priced)
    assert prices["vault"].of(GIB) == 0
    assert prices["frankfurt"].per_byte * GIB == pytest.approx(0.09)
    own.write_text('[replicas.vault]\nclass = "no-such-class"\n')
    assert "frankfurt" in read_prices(priced)


def test_where_nothing_is_chosen_or_billed_no_table_is_read(tmp_path: Path) -> None:
    assert read_prices(config(tmp_path, FRANKFURT)) == {}
    assert read_prices(config(tmp_path, VAULT, replace(VAULT, name="spare"))) == {}


def test_a_colder_class_bills_for_retrieval_too(tmp_path: Path) -> None:
    cold = replace(FRANKFURT, storage_class="STANDARD_IA")
    assert read_prices(config(tmp_path, cold, VAULT))["frankfurt"].per_byte * GIB == pytest.approx(0.10)
