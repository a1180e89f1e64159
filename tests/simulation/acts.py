"""What processes do in a simulation: each act is one run of one real operation on one host."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta

from farshore.access.unlock import Need
from farshore.catalog.snapshots import Snapshot, list_snapshots
from farshore.errors import SnapshotUnknown
from farshore.ops.backup.backup import run_backup
from farshore.ops.heal.context import open_context
from farshore.ops.heal.heal import HealOptions, heal_repository
from farshore.ops.prune.outcome import DeleteMax, PruneOptions, PruneState
from farshore.ops.prune.prune import prune_repository
from farshore.ops.restore.restore import restore_snapshot
from farshore.ops.retain.forget import forget_snapshots
from farshore.ops.retain.unforget import list_forgotten, unforget_snapshot
from farshore.ops.verify.verify import verify_repository
from farshore.run import Run
from tests.simulation.threads import Actor
from tests.simulation.world import ADMIN, REPLICAS, World, enroll_writer
from tests.unit.ops.engine import tree

_ANY = DeleteMax(percent=100.0)  # a small repository loses most of its packs at once
_GRACES = (timedelta(0), timedelta(hours=1), timedelta(days=7))

Act = Callable[[World, Actor], str]


def back_up(world: World, actor: Actor, identity: str = "", *, returns: bool = False) -> str:
    """Back up the source of a write-only host, as it is now; `returns`: with a content that was forgotten."""
    source = world.changed_source(actor.host, returns=returns)
    world.contents[actor.name] = source.contents()
    with world.opened(actor.host, Need.WRITE) as repository:
        run = Run.start(repository.clock)
        result = run_backup(repository, source, identity=identity, allow_empty=True, run=run)
    held = [one.replica for one in result.replicas if one.committed]
    world.green.setdefault(result.snapshot_id, held)
    return f"snapshot {result.snapshot_id} at {' '.join(held)}"


def heal(world: World, actor: Actor, *, read_data: bool = False) -> str:
    """Bring all replicas in sync."""
    config = world.config(actor.host)
    clock = world.clock(actor.host)
    with open_context(config, clock=clock) as context:
        result = heal_repository(context, HealOptions(read_data=read_data), run=Run.start(clock))
    states = " ".join(f"{one.replica}={one.state.value}" for one in result.replicas)
    if world.site.calm and any(one.state.value not in ("level", "healed", "in-sync") for one in result.replicas):
        raise AssertionError(f"a heal left {states}: {result}")
    return states


def verify(world: World, actor: Actor) -> str:
    """Check every object of every snapshot, packs read whole; in calm weather nothing may be found."""
    with world.opened(actor.host, Need.READ) as repository:
        result = verify_repository(repository, read_data_percent=100.0, run=Run.start(repository.clock))
    if result.damaged and not world.site.lies:
        raise AssertionError(f"a verify found damage: {result.damaged[:3]}")
    return "clean" if result.clean else "not clean"


def forget(world: World, actor: Actor) -> str:
    """Forget one snapshot that is not the newest of its source."""
    with world.opened(actor.host, Need.READ) as repository:
        found = list_snapshots(repository)
        newest = {one.source_id: one.snapshot_id for one in found}
        old = [one for one in found if one.snapshot_id not in newest.values()]
        if not old:
            return "nothing to forget"
        chosen = old[world.chance.randrange(len(old))]
        forget_snapshots(repository, [chosen], reason="simulated", rule="", run=Run.start(repository.clock))
    return f"forgot {chosen.snapshot_id}"


def prune(world: World, actor: Actor) -> str:
    """Delete what no kept snapshot needs, at one replica or at each, after some grace or at once."""
    chance = world.chance
    options = PruneOptions(
        replica=chance.choice((None, None, *REPLICAS)), grace=chance.choice(_GRACES),
        delete_max=_ANY,
        max_time=chance.choice((None, timedelta(minutes=1), timedelta(days=1))),
    )  # fmt: skip
    return _prune(world, actor, options)


def prune_all(world: World, actor: Actor) -> str:
    """Delete all that nothing needs, at each replica."""
    return _prune(world, actor, PruneOptions(grace=timedelta(0), even_last=True, delete_max=_ANY))


def prune_now(world: World, actor: Actor, replica: str | None = None) -> str:
    """Delete all that nothing needs, at a replica or at each."""
    return _prune(world, actor, PruneOptions(replica=replica, grace=timedelta(0), delete_max=_ANY))


def _prune(world: World, actor: Actor, options: PruneOptions) -> str:
    with world.opened(actor.host, Need.READ) as repository:
        result = prune_repository(repository, options, Run.start(repository.clock))
    bad = [one for one in result.replicas if one.state not in (PruneState.PRUNED, PruneState.CLEAN)]
    if bad and world.site.calm:
        raise AssertionError(f"a prune in calm weather left {bad}")
    return " ".join(
        f"{one.replica}={one.state.value} freed {one.freed.objects} {one.error[:120]}" for one in result.replicas
    )


def unforget(world: World, actor: Actor) -> str:
    """Let one forgotten snapshot count again."""
    with world.opened(actor.host, Need.READ) as repository:
        found = list_forgotten(repository)
        if not found:
            return "nothing to unforget"
        chosen = found[world.chance.randrange(len(found))].snapshot
        try:
            unforget_snapshot(repository, chosen, reason="simulated", run=Run.start(repository.clock))
        except SnapshotUnknown:
            return f"{chosen} was unforgotten meanwhile"
    return f"unforgot {chosen}"


def enroll(world: World, actor: Actor) -> str:
    """Give a new host a certificate; it backs up from then on."""
    host = f"new{next(world.numbers)}"
    world.writers[host] = f"source-{host}"
    try:
        enroll_writer(world, host)
    except BaseException:
        del world.writers[host]
        raise
    return f"enrolled {host}"


def restore(world: World, actor: Actor) -> str:
    """Restore one listed snapshot while others work; content that is wrong is never given."""
    with world.opened(actor.host, Need.READ) as repository:
        found = list_snapshots(repository)
    if not found:
        return "nothing to restore"
    chosen = found[world.chance.randrange(len(found))]
    _restore(world, actor, chosen)
    return f"restored {chosen.snapshot_id}"


def restore_all(world: World, actor: Actor, *replicas: str) -> str:
    """Restore every snapshot that is listed where only these replicas, or all, are reached: each must come back."""
    with world.opened(actor.host, Need.READ, *replicas) as repository:
        found = list_snapshots(repository)
    for one in found:
        _restore(world, actor, one, *replicas)
    return f"restored {len(found)} from {' '.join(replicas) or 'all'}"


def _restore(world: World, actor: Actor, snapshot: Snapshot, *replicas: str) -> None:
    target = world.root / f"restored-{next(world.numbers)}"
    with world.opened(actor.host, Need.READ, *replicas) as repository:
        restore_snapshot(repository, snapshot, target, repair=False, run=Run.start(repository.clock))
    shown = tree(target)
    shutil.rmtree(target)
    if shown != world.content_of(snapshot.snapshot_id):
        raise AssertionError(f"snapshot {snapshot.snapshot_id} came back with other content")


def admin(world: World, name: str) -> Actor:
    """Return a process on one of the admin's hosts, each of which has a cache of its own."""
    host = world.chance.choice((ADMIN, f"{ADMIN}2"))
    return Actor(f"{name}@{host}", host)
