"""What a backup records of objects and copies in the audit tables."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from farshore.access.query import run_query
from farshore.access.unlock import Need
from farshore.catalog.needs import objects_of
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource

NOISE = random.Random(3).randbytes(100_000)


def _ask(engine: Engine, sql: str) -> list[tuple[object, ...]]:
    return run_query(engine.config, sql, replica="a", clock=engine.clock).rows


def test_a_copy_that_was_brought_later_has_a_row_of_its_own(tmp_path: Path) -> None:
    engine = Engine(tmp_path).initialize(write_only=True)
    tree = TreeSource(clock=engine.clock)
    tree.file(b"a", NOISE)
    with engine.away("c"):
        engine.backup(tree)
    held = "SELECT count(*) FROM copies_now WHERE replica = 'c' AND state = 'acknowledged' AND object LIKE 'packs/%'"
    assert _ask(engine, held) == [(0,)]
    engine.clock.wait_s(60)
    engine.backup(tree)
    assert _ask(engine, held) == [(1,)]
    lacking = """
        SELECT needed.object, replica FROM (SELECT object, unnest(replicas) AS replica FROM lineage) AS needed
        WHERE NOT EXISTS (SELECT 1 FROM copies_now AS held WHERE held.object = needed.object
                          AND held.replica = needed.replica AND held.state = 'acknowledged')
    """
    assert _ask(engine, lacking) == [], "every copy that a snapshot counts on has a row"


def test_every_object_has_a_row_and_checksums_only_where_some_were_sent(tmp_path: Path) -> None:
    engine = Engine(tmp_path).initialize(write_only=True)
    tree = TreeSource(clock=engine.clock)
    tree.file(b"a", NOISE)
    engine.backup(tree)
    reported = _ask(engine, "SELECT kind, count(*) FROM objects WHERE checksums = [] GROUP BY kind ORDER BY kind")
    assert reported == [(kind, 1) for kind in ("commit", "data-key", "index", "manifest", "needs", "pack")]


def _rows_of(engine: Engine, before: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in engine.objects("a", "audit/").items() if name not in before}


def test_the_rows_of_an_unchanged_backup_are_four_small_objects(tmp_path: Path) -> None:
    engine = Engine(tmp_path).initialize(write_only=True)
    tree = TreeSource(clock=engine.clock)
    for number in range(20):
        tree.file(b"%d" % number, NOISE[number:])
    engine.backup(tree)
    for _ in range(2):
        engine.clock.wait_s(3600)
        before = engine.objects("a", "audit/")
        engine.backup(tree)
        new = _rows_of(engine, before)
        assert len(new) == 4
        assert sum(map(len, new.values())) <= 12 * 1024


_NEEDED = "SELECT object FROM lineage WHERE snapshot_id = '{}' ORDER BY object"


def _needed(engine: Engine, snapshot_id: str) -> set[str]:
    """What a snapshot needs by its commit, and the fragments that its run made."""
    made = _ask(engine, f"SELECT object FROM objects WHERE snapshot_id = '{snapshot_id}' AND kind = 'index'")
    commit = engine.commit_of(snapshot_id)
    return {one.name for one in objects_of(commit, engine.needs_of(snapshot_id))} | {str(row[0]) for row in made}


def _check_lineage(engine: Engine, snapshots: list[str]) -> None:
    for snapshot_id in snapshots:
        rows = [str(row[0]) for row in _ask(engine, _NEEDED.format(snapshot_id))]
        assert len(rows) == len(set(rows))
        assert set(rows) == _needed(engine, snapshot_id)


def test_changes_of_needs_say_what_every_snapshot_needs(tmp_path: Path) -> None:
    """Through files that come and go, a lost state, another host, and a run that died before its rows were sealed."""
    engine = Engine(tmp_path).initialize(write_only=True)
    other = engine.at("elsewhere")
    tree = TreeSource(clock=engine.clock)
    made: list[str] = []

    def night(at: Engine, number: int) -> None:
        at.clock.wait_s(60)
        tree.file(b"%d" % number, NOISE[number * 1000 :])
        if number > 1:
            tree.remove(b"%d" % (number - 2))
        made.append(at.backup(tree, need=Need.WRITE if at is engine else Need.READ).snapshot_id)

    for number in range(4):
        night(engine, number)
    whole = "SELECT count(*) FROM snapshots WHERE needs_since = sequence"
    assert _ask(engine, whole) == [(1,)]
    shutil.rmtree(engine.state_dir / "audit")
    night(engine, 4)
    assert _ask(engine, whole) == [(2,)], "a host that does not know what it recorded names all"
    night(engine, 5)
    assert _ask(engine, whole) == [(2,)]
    _check_lineage(engine, made)
    night(other, 6)
    night(engine, 7)
    night(engine, 8)
    assert _ask(engine, whole) == [(4,)]
    _check_lineage(engine, made)
