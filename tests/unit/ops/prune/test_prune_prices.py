"""Classes with a shortest time: what a prune deletes before it is over is priced before anything goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from farshore.access.read_prices import deletion_prices
from farshore.config.settings import Config, CostConfig, ReplicaConfig, RepositoryConfig
from farshore.limits import GIB
from farshore.ops.prune.outcome import DeleteMax
from farshore.plan.prices import EarlyPrice, EarlyPrices
from farshore.results import Progress
from farshore.stores.memory import Kept
from tests.unit.ops.engine import Engine
from tests.unit.ops.prune.prune_world import DAY_S, forget, ids, prune, prune_showing, with_snapshots

PER_BYTE_DAY = 2.0
ALL = DeleteMax(percent=100)
COLD = EarlyPrices("standard", {"cold": EarlyPrice(30, PER_BYTE_DAY)}, "USD")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Three snapshots, a day apart; the packs of the first two are in a class with a shortest time of 30 days."""
    engine = with_snapshots(tmp_path / "engine", 3)
    first, second, _ = ids(engine)
    shelf = engine.shelf("a")
    for name in engine.objects("a", "packs/"):
        shelf.kept.setdefault(name, Kept()).storage_class = "COLD"
    forget(engine, first, second)
    return engine


def expected(engine: Engine, going: set[str]) -> float:
    now_utc, objects = engine.clock.now_utc(), engine.shelf("a").objects
    found = 0.0
    for name in going:
        data, stored_utc = objects[name]
        days = (now_utc - stored_utc).total_seconds() / DAY_S
        found += len(data) * PER_BYTE_DAY * max(30 - days, 0)
    return found


def test_what_goes_early_is_priced_in_a_dry_run_and_before_a_prune(engine: Engine) -> None:
    before = engine.objects("a", "packs/")
    (planned,) = prune(engine, dry_run=True, delete_max=ALL, early_prices={"a": COLD}).replicas
    assert planned.early.objects > 0
    assert planned.early.currency == "USD"
    there_when_shown: list[int] = []

    def note(progress: Progress) -> None:
        if "shortest time" in progress.detail and "USD" in progress.detail:
            there_when_shown.append(len(engine.objects("a", "packs/")))

    (done,) = prune_showing(engine, note, early_prices={"a": COLD}, delete_max=ALL).replicas
    assert there_when_shown == [len(before)]
    going = before.keys() - engine.objects("a", "packs/").keys()
    assert (planned.early.objects, done.early) == (len(going), planned.early)


def test_the_price_is_of_the_days_that_are_left(engine: Engine) -> None:
    before = dict(engine.shelf("a").objects)
    engine.clock.advance(20 * DAY_S)
    (planned,) = prune(engine, dry_run=True, delete_max=ALL, early_prices={"a": COLD}).replicas
    prune(engine, delete_max=ALL)
    going = {name for name in before if name.startswith("packs/")} - engine.objects("a", "packs/").keys()
    engine.shelf("a").objects.update({name: before[name] for name in going})
    assert planned.early.cost == pytest.approx(expected(engine, going), rel=1e-6)
    assert planned.early.bytes == sum(len(before[name][0]) for name in going)


def test_nothing_is_priced_once_the_time_is_over_or_in_other_classes(engine: Engine) -> None:
    others = EarlyPrices("standard", {"archive": EarlyPrice(365, PER_BYTE_DAY)}, "USD")
    assert prune(engine, dry_run=True, early_prices={"a": others}).replicas[0].early.objects == 0
    assert prune(engine, dry_run=True).replicas[0].early.objects == 0
    engine.clock.advance(31 * DAY_S)
    assert prune(engine, dry_run=True, delete_max=ALL, early_prices={"a": COLD}).replicas[0].early.objects == 0


def test_prices_are_those_of_the_table_by_the_class_of_each_object(tmp_path: Path) -> None:
    replicas = {
        "plain": ReplicaConfig("plain", "s3://bucket/a", region="aws:us-east-1"),
        "cold": ReplicaConfig("cold", "s3://bucket/b", region="aws:us-east-1", storage_class="GLACIER_IR"),
        "disk": ReplicaConfig("disk", "file:///srv/disk"),
    }
    config = Config(RepositoryConfig(quorum=1), replicas=replicas, sources={}, state_dir=tmp_path)
    prices = deletion_prices(config)
    assert prices["plain"].of("", GIB, 0) == prices["plain"].of("STANDARD", GIB, 0) == 0
    assert prices["plain"].of("STANDARD_IA", GIB, 10) == pytest.approx(20 / 30 * 0.0125)
    assert prices["cold"].of("", GIB, 0) == prices["cold"].of("GLACIER_IR", GIB, 0) > 0
    assert prices["cold"].of("GLACIER_IR", GIB, 90) == 0
    assert prices["disk"].of("", GIB, 0) == 0

    broken = tmp_path / "own.toml"
    broken.write_text("no = [table")
    assert deletion_prices(replace(config, cost=CostConfig(broken))) == prices
