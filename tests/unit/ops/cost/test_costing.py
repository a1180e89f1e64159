"""What replicas cost: arithmetic by hand, price tables of one's own, and the audit tables of a small repository."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from farshore.config.settings import Config, CostConfig, DirectoryConfig, ReplicaConfig
from farshore.errors import ConfigInvalid, FarshoreError
from farshore.limits import GIB, MIB
from farshore.ops.cost.cost import ReplicaCost, plan_usage, repository_cost
from farshore.ops.cost.estimate import Usage, estimate, pages_of, restore_gets
from farshore.ops.cost.facts import BackupRuns, Facts, ReplicaFacts
from farshore.ops.verify.remote.scrub import scrub_repository
from farshore.plan.prices import Price, decode_prices, load_prices, place_of, quote, shipped_prices
from farshore.plan.schedules import MONTH_DAYS
from farshore.run import Run
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource

IA = Price(
    "aws",
    "standard-ia",
    gb_month=0.0125,
    put_1000=0.01,
    list_1000=0.005,
    get_1000=0.001,
    egress_gb=0.09,
    retrieval_gb=0.01,
    days_min=30,
)
OWN = """
as_of = 2026-10-01
[providers.vault]
class = "disk"
[[price]]
provider = "aws"
regions = ["eu-central-1"]
class = "STANDARD"
gb_month = 0.02
[[price]]
provider = "vault"
class = "disk"
gb_month = 0.001
[replicas.oslo]
class = "glacier-ir"
egress_gb = 0
"""


# --- arithmetic -------------------------------------------------------------------------------------------------------


def test_a_month_is_storage_requests_egress_and_retrieval() -> None:
    usage = Usage(
        "oslo", bytes_stored=1000 * GIB, bytes_grown=80 * GIB, puts=30_000, lists=2_000, gets=50_000, bytes_out=10 * GIB
    )
    reported = estimate(IA, usage)

    assert reported.month.storage == pytest.approx(12.5)  # 1000 x 0.0125
    assert reported.month.requests == pytest.approx(0.3 + 0.01 + 0.05)  # 30 x 0.01, 2 x 0.005, 50 x 0.001
    assert reported.month.egress == pytest.approx(0.9)  # 10 x 0.09
    assert reported.month.retrieval == pytest.approx(0.1)  # 10 x 0.01
    assert reported.month.total == pytest.approx(13.86)
    assert reported.growth == pytest.approx(1.0)  # 80 x 0.0125
    assert reported.year_ahead == pytest.approx(25.86)


def test_a_restore_of_everything_reads_what_the_latest_snapshots_need() -> None:
    usage = Usage("oslo", bytes_stored=1000 * GIB, objects=64_500, restore_bytes=400 * GIB, restore_objects=25_700)
    reported = estimate(IA, usage)

    assert restore_gets(usage) == 400 * 256 + 25_700  # segments of 4 MiB, and an object each
    assert reported.restore.requests == pytest.approx(0.1281)  # 128,100 gets at 0.001 a thousand
    assert reported.restore.egress == pytest.approx(36)
    assert reported.restore.retrieval == pytest.approx(4)
    assert reported.restore.storage == 0
    assert reported.restore.total == pytest.approx(40.1281)


def test_a_verify_with_data_reads_everything_once_and_lists_it() -> None:
    reported = estimate(IA, Usage("oslo", bytes_stored=1000 * GIB, objects=64_500))

    assert pages_of(64_500) == 65
    assert pages_of(0) == 0
    assert reported.verify.requests == pytest.approx(64.5 * 0.001 + 65 * 0.005 / 1000)
    assert reported.verify.egress == pytest.approx(90)
    assert reported.verify.retrieval == pytest.approx(10)


def test_a_gigabyte_is_as_long_as_the_provider_says() -> None:
    decimal = replace(IA, gb_bytes=10**9)

    assert estimate(decimal, Usage("x", bytes_stored=5 * 10**9)).month.storage == pytest.approx(5 * 0.0125)


def test_nothing_costs_nothing() -> None:
    assert estimate(IA, Usage("x")).month.total == 0
    assert estimate(Price("site", "standard"), Usage("x", bytes_stored=GIB, puts=1e6, bytes_out=GIB)).year_ahead == 0


# --- what is done in a month ------------------------------------------------------------------------------------------


def facts(days: float = 10.0, **reported: object) -> Facts:
    return Facts("oslo", days, {"oslo": ReplicaFacts(**reported)})  # type: ignore[arg-type]


def test_a_schedule_says_how_often_a_backup_runs() -> None:
    usage = plan_usage("oslo", facts(backups={"home": BackupRuns(10, 260, 100)}), {"home": 730.5})

    assert usage.puts == pytest.approx(7305)  # 10 objects a run
    assert usage.lists == pytest.approx(5 * 730.5)
    assert usage.gets == pytest.approx(11 * 730.5)  # of 26 requests 10 are puts and 5 lists


def test_without_a_schedule_the_window_says_it() -> None:
    usage = plan_usage("oslo", facts(backups={"home": BackupRuns(10, 260, 100)}), {"home": None})

    assert usage.puts == pytest.approx(100 * MONTH_DAYS / 10)
    assert usage.bytes_grown == 0


def test_growth_checks_and_restores_are_brought_to_a_month() -> None:
    usage = plan_usage(
        "oslo",
        facts(bytes_grown=10 * GIB, objects_checked=1000, bytes_checked=GIB, bytes_restored=2.0 * GIB),
        {},
    )

    assert usage.bytes_grown == pytest.approx(MONTH_DAYS * GIB)
    assert usage.gets == pytest.approx(100 * MONTH_DAYS)
    assert usage.bytes_out == pytest.approx(0.3 * GIB * MONTH_DAYS)


def test_a_run_of_few_requests_has_no_gets() -> None:
    usage = plan_usage("oslo", facts(backups={"home": BackupRuns(1, 12, 10)}), {"home": 1.0})

    assert (usage.puts, usage.lists, usage.gets) == (10, 2, 0)


def test_a_replica_that_no_table_knows_holds_nothing() -> None:
    assert plan_usage("elsewhere", facts(bytes_stored=1), {}) == Usage("elsewhere")


# --- prices -----------------------------------------------------------------------------------------------------------


def test_the_table_that_ships_is_dated_and_says_where_from() -> None:
    table = shipped_prices()

    assert date(2025, 1, 1) <= table.as_of < date(2030, 1, 1)
    assert table.currency == "USD"
    assert {price.provider for price in table.prices} == set(table.providers)
    for name, provider in table.providers.items():
        assert provider.source.startswith("https://"), name
        default = [one for one in table.prices if (one.provider, one.storage_class) == (name, provider.storage_class)]
        assert [one for one in default if not one.regions], name  # every region has a price
    for price in table.prices:
        assert 0 < price.gb_month < 0.1, price
        assert price.get_1000 <= 0.6, price
        assert (price.days_min > 0) == (price.retrieval_gb > 0) or price.provider == "wasabi", price
    places = [(one.provider, one.storage_class, region) for one in table.prices for region in one.regions or ("",)]
    assert len(places) == len(set(places))


@pytest.mark.parametrize(
    ("url", "region", "endpoint", "place"),
    [
        ("s3://bucket", "aws:eu-central-1", None, ("aws", "eu-central-1")),
        ("s3://bucket", "", None, ("aws", "")),
        ("s3://bucket", "", "https://s3.example.com", ("site", "")),
        ("s3://bucket", "b2:eu-central-003", "https://s3.example.com", ("b2", "eu-central-003")),
        ("gs://bucket", "", None, ("gcp", "")),
        ("az://bucket", "", None, ("azure", "")),
        ("file:///srv/vault", "site:berlin", None, ("site", "berlin")),
        ("file:///srv/vault", "", None, ("site", "")),
    ],
)
def test_the_place_of_a_replica_is_its_region_or_its_url(
    url: str, region: str, endpoint: str | None, place: tuple[str, str]
) -> None:
    assert place_of(url, region, endpoint) == place


def test_a_region_with_a_price_of_its_own_goes_before_the_usual_one() -> None:
    table = shipped_prices()

    assert quote(table, "r", "aws", "eu-central-1").price.gb_month == 0.0245
    usual = quote(table, "r", "aws", "us-east-1")
    assert usual.price.gb_month == 0.023
    assert "usual price" in usual.notes[0]
    assert quote(table, "r", "azure", "westeurope").price.storage_class == "hot"


def test_an_unknown_provider_costs_nothing_and_says_so() -> None:
    reported = quote(shipped_prices(), "r", "site", "berlin")

    assert reported.price == Price("site", "standard")
    assert reported.notes == ("no price is known, so it costs nothing here",)


def test_prices_of_ones_own_go_before_those_that_ship(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    table = load_prices(tmp_path / "own.toml")

    assert table.as_of == date(2026, 10, 1)
    assert quote(table, "r", "aws", "eu-central-1").price.gb_month == 0.02
    assert quote(table, "r", "aws", "eu-west-1").price.gb_month == 0.023
    assert quote(table, "r", "vault", "cellar").price.gb_month == 0.001
    oslo = quote(table, "oslo", "aws", "eu-north-1")
    assert (oslo.price.storage_class, oslo.price.gb_month, oslo.price.egress_gb) == ("glacier-ir", 0.004, 0)
    assert "with prices of your own" in oslo.notes


def test_one_replica_at_a_site_may_have_a_price(tmp_path: Path) -> None:
    table = decode_prices("[replicas.vault]\ngb_month = 0.004\n", "own", base=shipped_prices())
    reported = quote(table, "vault", "site", "berlin")

    assert reported.price.gb_month == 0.004
    assert reported.notes == ("with prices of your own",)


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ('[replicas.oslo]\nclass = "standrad"', "no class 'standrad' of aws for the replica oslo"),
        ("[replicas.oslo]\ngb_moth = 1", "unknown key gb_moth"),
        ("[replicas.oslo]\ngb_month = -1", "gb_month must be a number of at least 0"),
        ('[replicas.oslo]\ngb_month = "1"', "gb_month must be a number"),
        ("[replicas.oslo]\ndays_min = 1.5", "days_min must be a whole number"),
        ("[replicas.oslo]\ngb_bytes = 0", "gb_bytes must be above 0"),
        ('[[price]]\nprovider = "aws"', "price 1 has no provider or no class"),
        ('[[price]]\nprovider = "aws"\nclass = "x"\nregions = "here"', "regions must be an array"),
        ("[prices]", "unknown key prices"),
        ("as_of = 2026", "no as_of"),
        ('providers.aws = "x"', "must be a table of texts"),
        ("= 1", "is no TOML"),
    ],
)
def test_mistakes_in_a_table_are_reported(tmp_path: Path, text: str, reported: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(ConfigInvalid) as caught:
        quote(load_prices(tmp_path / "own.toml"), "oslo", "aws", "eu-central-1")
    assert reported in caught.value.message


def test_a_table_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        load_prices(tmp_path / "missing.toml")


# --- from the audit tables of a repository ----------------------------------------------------------------------------


def config_of(engine: Engine, schedule: str = "") -> Config:
    regions = {"a": "aws:eu-central-1", "b": "gcp:us-central1", "c": "site:berlin"}
    return replace(
        engine.config,
        replicas={name: ReplicaConfig(name, url, region=regions[name]) for name, url in engine.urls.items()},
        sources={"tree": DirectoryConfig("tree", Path("/nowhere"), schedule=schedule)},
        cost=CostConfig(),
    )


def cost_of(engine: Engine, name: str, schedule: str = "") -> ReplicaCost:
    result = repository_cost(config_of(engine, schedule), shipped_prices(), clock=engine.clock)
    (found,) = [one for one in result.replicas if one.replica == name]
    return found


def stored_at(engine: Engine) -> tuple[int, int]:
    """Objects and bytes at replica `a` that backups sent: what the `copies` table must add up to."""
    kinds = ("packs/", "index/", "runs/", "snapshots/", "keys/data/")
    with engine.opened() as repository:
        found = [info for info in repository.replicas["a"].store.list() if info.name.startswith(kinds)]
    return len(found), sum(info.size for info in found)


def test_a_small_repository_is_counted_from_its_own_tables(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "engine").initialize()
    source = TreeSource(clock=engine.clock, name="tree")
    source.file(b"one", os.urandom(MIB))
    engine.backup(source)
    objects, size = stored_at(engine)
    first = cost_of(engine, "a")

    assert (first.usage.objects, first.usage.bytes_stored) == (objects, size)
    assert (first.usage.restore_objects, first.usage.restore_bytes) == (objects, size)  # it is all of one snapshot
    assert first.usage.bytes_grown == 0  # a first backup says nothing of the rate
    assert first.usage.puts == 0

    engine.clock.advance(2 * 86_400)
    source.file(b"two", os.urandom(MIB))
    engine.backup(source)
    objects_later, size_later = stored_at(engine)
    second = cost_of(engine, "a")
    assert (second.usage.objects, second.usage.bytes_stored) == (objects_later, size_later)
    assert second.usage.restore_bytes < size_later  # the first snapshot's own objects are not needed
    assert second.usage.bytes_grown == pytest.approx((size_later - size) * MONTH_DAYS / 2, rel=0.01)
    assert second.usage.puts >= (objects_later - objects) * MONTH_DAYS / 2 * 0.99
    assert second.usage.gets > 0
    assert second.estimate.month.storage == pytest.approx(size_later / GIB * 0.0245)
    assert cost_of(engine, "c").estimate.month.total == 0
    hourly = cost_of(engine, "a", schedule="@hourly")
    assert hourly.usage.puts == pytest.approx(48 * second.usage.puts, rel=0.01)


def test_what_is_read_back_is_counted_as_egress(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "engine").initialize()
    source = TreeSource(clock=engine.clock, name="tree")
    source.file(b"one", os.urandom(MIB))
    result = engine.backup(source)
    assert cost_of(engine, "a").usage.bytes_out == 0
    engine.restore(result.snapshot_id, replica="a")
    assert cost_of(engine, "a").usage.bytes_out == pytest.approx(MIB * MONTH_DAYS)
    assert cost_of(engine, "b").usage.bytes_out == 0
    engine.verify()
    reported = cost_of(engine, "b").usage

    assert reported.bytes_out > MIB * MONTH_DAYS
    assert reported.gets >= reported.objects * MONTH_DAYS


def test_a_remote_check_is_no_get_where_nothing_is_asked(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "engine").initialize()
    source = TreeSource(clock=engine.clock, name="tree")
    source.file(b"one", os.urandom(MIB))
    engine.backup(source)
    before = cost_of(engine, "a").usage
    with engine.opened() as repository:
        assert scrub_repository(repository, run=Run.start(engine.clock)).clean
    after = cost_of(engine, "a").usage
    assert (after.gets, after.bytes_out < before.bytes_out + MIB * MONTH_DAYS) == (before.gets, True)


def test_without_a_repository_there_is_nothing_to_count(tmp_path: Path) -> None:
    with pytest.raises(FarshoreError):
        cost_of(Engine(tmp_path / "engine"), "a")
