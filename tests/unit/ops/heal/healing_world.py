"""An engine with three replicas and a few snapshots, and ways to heal it."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import replace

from farshore.catalog.snapshots import Snapshot
from farshore.format import names
from farshore.ops.heal.context import open_context
from farshore.ops.heal.heal import HealOptions, heal_repository
from farshore.ops.heal.sync_replica import CopyWithin
from farshore.repair.outcome import HealedReplica, HealResult
from farshore.run import Run
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.tree_source import TreeSource


def healed_engine(engine: Engine, snapshots: int = 3) -> TreeSource:
    """Back up a source several times; return it."""
    source = TreeSource(clock=engine.clock)
    for number in range(snapshots):
        for file in range(3):
            source.file(f"{number}-{file}".encode(), random.Random(number * 10 + file).randbytes(40_000))
        engine.backup(source)
    return source


def heal(
    engine: Engine, replica: str | None = None, *, keyless: bool = False, new: Collection[str] = (),
    read_data: bool = False, dry_run: bool = False, copy_within: CopyWithin = lambda *_: False,
) -> HealResult:  # fmt: skip
    engine.clock.advance(0.001)
    with open_context(engine.config, keyless=keyless, clock=engine.clock) as context:
        context.replicas = {n: replace(one, store=engine.wrap(n, one.store)) for n, one in context.replicas.items()}
        context.repository.replicas = {n: context.replicas[n] for n in context.repository.replicas}
        return heal_repository(
            context,
            HealOptions(replica=replica, new=new, read_data=read_data, dry_run=dry_run),
            copy_within=copy_within,
            run=Run.start(engine.clock),
        )


def of(result: HealResult, replica: str) -> HealedReplica:
    (found,) = [one for one in result.replicas if one.replica == replica]
    return found


def actions(result: HealResult) -> set[tuple[str, str, str]]:
    """What was done: replica, found, action."""
    return {(one.replica, one.found, one.action) for one in result.repairs}


def empty(engine: Engine, replica: str) -> None:
    engine.shelf(replica).objects.clear()


def add_replica(engine: Engine, name: str) -> None:
    engine.urls |= fresh_memory_urls(name)
    engine.places[name] = engine.urls[name]


def evidence(engine: Engine, replica: str) -> dict[str, bytes]:
    """Everything that must be alike everywhere: all but leases."""
    return {name: data for name, data in engine.objects(replica).items() if not name.startswith(names.LEASES)}


def assert_alike(engine: Engine) -> None:
    first, *others = engine.urls
    for other in others:
        assert evidence(engine, other) == evidence(engine, first), other


def assert_restores(engine: Engine) -> int:
    """Restore every listed snapshot from every replica that lists it, alone; return how often."""
    count = 0
    engine.forget_cache()
    snapshots: list[Snapshot] = engine.snapshots()
    for snapshot in snapshots:
        shown = []
        for replica in snapshot.replicas:
            result, tree = engine.restore(snapshot.snapshot_id, replica=replica)
            assert not result.problems
            shown.append(tree)
            count += 1
        assert all(one == shown[0] for one in shown)
    return count
