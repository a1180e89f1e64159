"""A repository whose snapshots are forgotten and pruned in tests, and what must hold after every step."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

from farshore.access.unlock import Need
from farshore.catalog.needs import objects_of
from farshore.catalog.snapshots import list_snapshots, resolve_snapshot
from farshore.format import names
from farshore.ops.prune.outcome import PruneOptions, PruneResult
from farshore.ops.prune.prune import prune_repository
from farshore.ops.retain.forget import forget_snapshots
from farshore.results import ProgressCallback, no_progress
from farshore.run import Run
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.templates import Template
from tests.unit.ops.tree_source import TreeSource

DAY_S = 86_400
NOW = timedelta(0)
_made: dict[tuple[int, str], Template] = {}


def grown(engine: Engine, count: int = 3, *, size: int = 20_000) -> TreeSource:
    """Make snapshots, each a day after the one before and with one more file, of which the oldest goes."""
    tree = TreeSource(clock=engine.clock)
    for number in range(count):
        add_night(engine, tree, number, size=size)
    return tree


def with_snapshots(root: Path, count: int, replicas: str = "a") -> Engine:
    """Return an engine with these snapshots; those of a test before are used again."""
    engine = Engine(root, urls=fresh_memory_urls(*replicas), quorum=(len(replicas) + 1) // 2)
    if (count, replicas) in _made:
        return engine.begin_with(_made[count, replicas])
    grown(engine.initialize(), count)
    _made[count, replicas] = engine.template()
    return engine


def content(number: int, size: int = 20_000) -> bytes:
    """Return the content of the file of one night."""
    return random.Random(number).randbytes(size)


def add_night(engine: Engine, tree: TreeSource, number: int, *, size: int = 20_000) -> None:
    tree.file(f"{number}".encode(), content(number, size))
    if number:
        tree.remove(f"{number - 1}".encode())
    engine.backup(tree)
    engine.clock.advance(DAY_S)


def ids(engine: Engine) -> list[str]:
    with engine.opened() as repository:
        return [one.snapshot_id for one in list_snapshots(repository)]


def forget(engine: Engine, *snapshots: str) -> None:
    with engine.opened() as repository:
        chosen = [resolve_snapshot(repository, one) for one in snapshots]
        forget_snapshots(repository, chosen, reason="a test", rule="", run=Run.start(engine.clock))


def prune(engine: Engine, **options: Any) -> PruneResult:
    return prune_showing(engine, no_progress, **options)


def prune_showing(engine: Engine, on_progress: ProgressCallback, **options: Any) -> PruneResult:
    with engine.opened(Need.READ) as repository:
        asked = PruneOptions(**{"grace": NOW, **options})
        return prune_repository(repository, asked, Run.start(engine.clock, progress=on_progress))


def states(result: PruneResult) -> dict[str, str]:
    return {one.replica: str(one.state) for one in result.replicas}


def needed_by(engine: Engine, snapshot: str) -> set[str]:
    return {one.name for one in objects_of(engine.commit_of(snapshot), engine.needs_of(snapshot))}


def everything(engine: Engine, replica: str) -> set[str]:
    """The objects at a replica that a snapshot may need."""
    of_snapshots = (names.PACKS, names.RUNS, names.DATA_KEYS, names.SNAPSHOTS)
    return {name for name in engine.objects(replica) if name.startswith(of_snapshots)}
