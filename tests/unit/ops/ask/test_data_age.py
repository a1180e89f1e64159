"""The age of a snapshot's data reaches all who judge by it (Trial D12)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from farshore.catalog.snapshots import latest_snapshot_per_replica, list_snapshots
from farshore.cli.snapshots import format_data_moment
from farshore.model import DATA_AS_OF, UNKNOWN_MOMENT
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource


def test_snapshot_of_a_standby_is_as_old_as_its_data(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "engine").initialize()
    source = TreeSource(clock=engine.clock)
    source.file(b"a", b"1")
    yesterday = (engine.clock.now_utc() - timedelta(days=1)).replace(microsecond=0)
    source.facts[DATA_AS_OF] = f"{yesterday:%Y-%m-%dT%H:%M:%SZ}"
    engine.backup(source)
    with engine.opened() as repository:
        assert [one.data_utc for one in list_snapshots(repository)] == [yesterday]
        assert {held["home"] for held in latest_snapshot_per_replica(repository).values()} == {yesterday}
    source.facts[DATA_AS_OF] = UNKNOWN_MOMENT
    engine.backup(source)
    with engine.opened() as repository:
        listed = list_snapshots(repository)
        assert [one.data_utc for one in listed] == [yesterday, None]
        assert [format_data_moment(one) for one in listed] == [f"{yesterday:%Y-%m-%dT%H:%M:%SZ}", UNKNOWN_MOMENT]
        assert format_data_moment(replace(listed[0], facts=())) == ""
        assert {held["home"] for held in latest_snapshot_per_replica(repository).values()} == {yesterday}
