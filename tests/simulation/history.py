"""One history: processes that begin at moments of a seed, in its weather; then calm, and everything that must hold."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from farshore.errors import Bug
from tests.simulation import acts, scenarios
from tests.simulation.base import Base, begun, simulated
from tests.simulation.scenarios import mild, play_scenario
from tests.simulation.threads import Actor, Scheduler, Stuck
from tests.simulation.weather import AWAY_S, DAY_S, HOUR_S, Weather
from tests.simulation.world import ADMIN, QUORUM, REPLICAS, World

_GAPS_S = (0.0, 0.0, 0.0, 0.5, 3.0, 60.0, 3 * HOUR_S, DAY_S, 8 * DAY_S)
_SCENARIOS = 0.4  # of the histories; the others have no plan
Step = tuple[str, str, acts.Act]  # a name, a host, what it does
_ACTS: dict[str, int] = {
    "backup": 8, "attempt": 1, "prune": 6, "heal": 3, "forget": 3, "unforget": 2, "verify": 1, "restore": 1,
    "enroll": 1,
}  # fmt: skip
_DENSE_ACTS = {"backup": 5, "prune": 5, "heal": 2, "unforget": 2}  # all at once, over what was garbage at the beginning
_DENSE_GAPS_S = (0.0, 0.0, 0.2, 1.0, 5.0)


@dataclass
class Outcome:
    """What a history ended with. `faults`: what did not hold; none: all held."""

    seed: int
    faults: list[str]
    lines: list[str] = field(repr=False)
    snapshots: int = 0
    calls: int = 0

    @property
    def holds(self) -> bool:
        return not self.faults


def play(base: Base, root: Path, seed: int, *, shows_reads: bool = False, to_the_end: bool = True) -> Outcome:
    """Play the history of a seed; the same seed gives the same history wherever hashes of texts are the same.

    Args:
        shows_reads: In the trace.
        to_the_end: Have everything healed, verified and restored in the end; else what was looked at on the way counts.
    """
    chance = random.Random(seed)
    with simulated(random.Random(chance.random())) as scheduler:
        weather = Weather.drawn(chance)
        is_scenario = chance.random() < _SCENARIOS
        weather = mild(weather) if is_scenario else weather
        with begun(base, root, scheduler, weather, chance) as world:
            world.site.shows_reads = shows_reads
            try:
                _play(world, scheduler, is_scenario=is_scenario, to_the_end=to_the_end)
            except Stuck as stuck:
                world.faults.append(f"stuck: {stuck}")
            _judge_errors(world, scheduler)
            return Outcome(
                seed,
                [*world.obligations.broken, *world.faults],
                world.lines,
                len(world.obligations.commits),
                world.site.calls,
            )


def _play(world: World, scheduler: Scheduler, *, is_scenario: bool, to_the_end: bool) -> None:
    world.trace(f"{world.weather}")
    scheduler.over = lambda: bool(world.obligations.broken)
    if is_scenario:
        world.site.holds = play_scenario(world, lambda step, number: _begin_step(world, step, number))
    else:
        _schedule(world, scheduler)
    world.site.calm = False
    scheduler.run()
    world.site.calm = True
    world.site.clock_offset_s.clear()
    world.site.away_until_s.clear()
    world.site.lies.clear()
    scheduler.now_s += 3 * DAY_S  # leases of the dead are over
    for steps in _calm() if to_the_end else [[("prune", ADMIN, acts.prune_all)]]:
        if world.obligations.broken or world.faults or scheduler.errors:
            return
        for name, host, act in steps:
            actor = Actor(name, host)
            world.start(actor, lambda act=act, actor=actor: act(world, actor))  # type: ignore[misc]
            scheduler.run()
    if to_the_end:
        _judge(world)


def _calm() -> list[list[Step]]:
    """The end of every history, in parts: after each, everything must have held."""
    each: list[Step] = [(f"restore from {one}", f"{ADMIN}-{one}", _restore_from(one)) for one in REPLICAS]
    return [
        each,
        [("prune", ADMIN, acts.prune_all), ("last heal", ADMIN, acts.heal), ("prune again", ADMIN, acts.prune_all)],
        [("last verify", ADMIN, acts.verify)],
        [("last backup of one", "one", acts.back_up), ("last backup of two", "two", acts.back_up)],
    ]


def _restore_from(replica: str) -> acts.Act:
    return lambda world, actor: acts.restore_all(world, actor, replica)


def _schedule(world: World, scheduler: Scheduler) -> None:
    """Let the processes of a history begin, and replicas go away, at their moments."""
    chance, moment_s = world.chance, scheduler.now_s
    dense = chance.random() < 0.5
    kinds, gaps_s = (_DENSE_ACTS, _DENSE_GAPS_S) if dense else (_ACTS, _GAPS_S)
    for number in range(chance.randrange(3, 10)):
        (name,) = chance.choices(list(kinds), list(kinds.values()))
        if number < 2:
            name = "backup"
        moment_s += chance.choice(gaps_s)
        scheduler.at(moment_s, lambda name=name, number=number: _begin(world, name, number))  # type: ignore[misc]
    for _ in range(world.weather.away):
        replica, begins_s = chance.choice(REPLICAS), scheduler.now_s + chance.random() * (moment_s - scheduler.now_s)
        scheduler.at(begins_s, lambda replica=replica: _take_away(world, replica))  # type: ignore[misc]
    for _ in range(world.weather.old_caches):
        begins_s = scheduler.now_s + chance.random() * (moment_s - scheduler.now_s)
        scheduler.at(begins_s, lambda: _keep_cache(world, moment_s))
    if world.weather.liar:
        world.site.lies[chance.choice(REPLICAS)] = 0.2


def _begin(world: World, name: str, number: int) -> None:
    chance = world.chance
    if name in ("backup", "attempt"):
        host = chance.choice(list(world.writers))
        identity = f"night {number // 4}" if name == "attempt" else ""
        act: Callable[[World, Actor], str] = lambda world, actor: acts.back_up(world, actor, identity)  # noqa: E731
    else:
        host = chance.choice((ADMIN, f"{ADMIN}2"))  # each with a cache of its own
        act = getattr(acts, name)
    actor = Actor(f"{number} {name} on {host}", host, weight=chance.choice((1.0, 1.0, 0.1, 0.01)))
    world.start(actor, lambda: act(world, actor))


def _begin_step(world: World, step: scenarios.Step, number: int) -> None:
    _, name, host, act = step
    actor = Actor(f"{number} {name} on {host}", host)
    world.start(actor, lambda: act(world, actor))


def _take_away(world: World, replica: str) -> None:
    for_s = world.chance.choice(AWAY_S)
    world.site.away_until_s[replica] = world.scheduler.now_s + for_s
    world.trace(f"REPLICA {replica} IS AWAY for {for_s / DAY_S:.1f} days")


def _keep_cache(world: World, until_s: float) -> None:
    """Put back, later, the cache that a host has now: as a machine does that is restored from an image."""
    host = world.chance.choice(list(world.writers))
    now, kept = world.root / host / "cache", world.root / f"old-cache-of-{host}"
    if not now.is_dir() or kept.exists():
        return
    shutil.copytree(now, kept)

    def put_back() -> None:
        if any(one.host == host for one in world.scheduler.actors):
            return  # a machine is not restored while it works
        shutil.rmtree(now)
        kept.rename(now)
        world.trace(f"THE CACHE of {host} is an old one")

    world.scheduler.at(max(until_s, world.scheduler.now_s) - 1.0, put_back)


def _judge(world: World) -> None:
    """What must hold at the end, beside what was looked at on the way."""
    sight = world.obligations
    alive = {known.head.snapshot: one for one, known in sight.commits.items() if not sight.forgotten(one)}
    for snapshot, one in alive.items():
        if sight.is_misdated(one):
            continue  # it stays where it is: a copy would look sound once its date is over
        if len(sight.holders(one)) < len(REPLICAS):
            world.faults.append(f"{snapshot} is only at {sight.holders(one)} after a heal of all")
    for replica in REPLICAS:
        if garbage := sight.garbage(replica):
            world.faults.append(f"O12: {replica} has {len(garbage)} objects that nothing needs, such as {garbage[0]}")
    forgotten = {known.head.snapshot for one, known in sight.commits.items() if sight.forgotten(one)}
    for snapshot, replicas in world.green.items():
        if len(replicas) < QUORUM:
            world.faults.append(f"a green run had {snapshot} at {replicas} only")
        if snapshot not in alive and snapshot not in forgotten:
            world.faults.append(f"{snapshot} of a green run is gone, and nobody forgot it")


def _judge_errors(world: World, scheduler: Scheduler) -> None:
    for actor, error in scheduler.errors:
        kind = "a broken promise" if isinstance(error, Bug) else type(error).__name__
        world.faults.append(f"{actor.name}: {kind}: {error}")
