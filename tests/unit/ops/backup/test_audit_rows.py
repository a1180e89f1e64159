"""What a backup records of objects and copies in the audit tables."""

from __future__ import annotations

import random
from pathlib import Path

from farshore.access.query import run_query
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
