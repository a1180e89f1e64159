"""Histories in which processes meet where the protocol is thin: each holds one at a call until another has made one.

The seed decides on all else: content, replicas that lose replies, who is killed. The program must hold in each; a rule
that is taken out falls in one of them (mutants.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from farshore.format import names
from tests.simulation import acts
from tests.simulation.threads import Actor
from tests.simulation.weather import DAY_S, Weather
from tests.simulation.world import ADMIN, World

_OTHER = f"{ADMIN}2"
_END = "/end/"
_CONDEMNED = "/condemned"
_CLOSED = "/closed"
_HELD_S = 2 * DAY_S  # at most: what it waits for may never happen


@dataclass(frozen=True)
class Moment:
    """A call of a process: `who` is the number of its step; `part` is in the name of the object or the prefix.

    `reached`: it is about to be made; else it was made.
    """

    who: int
    verb: str
    part: str
    reached: bool = False

    def is_at(self, actor: str, verb: str, name: str) -> bool:
        """Whether this call is the one."""
        return actor.startswith(f"{self.who} ") and verb == self.verb and self.part in name


@dataclass
class Hold:
    """The process that is about to make a call waits until another one has come so far. `since`: from then on."""

    at: Moment
    until: Moment
    since: Moment | None = None
    held: Actor | None = None
    over: bool = False

    def holds(self, actor: Actor, verb: str, name: str, now_s: float) -> bool:
        """Hold a process that is about to make this call; whether it waits now."""
        waits = not self.over and self.held is None and self.since is None and self.at.is_at(actor.name, verb, name)
        if waits:
            self.held = actor
            actor.resumes_s = now_s + _HELD_S
        return waits

    def note(self, actor: Actor, verb: str, name: str, now_s: float, *, made: bool) -> None:
        """Let it go on, or begin to hold, where a call says so."""
        if made and self.since is not None and self.since.is_at(actor.name, verb, name):
            self.since = None
        if self.over or self.until.reached == made or not self.until.is_at(actor.name, verb, name):
            return
        self.over = True
        if self.held is not None:
            self.held.resumes_s = now_s


@dataclass(frozen=True)
class Away:
    """A replica that is out of reach, between two moments after the beginning."""

    replica: str
    from_s: float
    for_s: float


Step = tuple[float, str, str, acts.Act]  # seconds after the beginning, a name, a host, what it does


@dataclass(frozen=True)
class Scenario:
    """Steps, and where they meet."""

    steps: Sequence[Step]
    holds: Sequence[tuple[Moment, Moment] | tuple[Moment, Moment, Moment]]
    aways: Sequence[Away] = field(default=())


def _backup(after_s: float, host: str = "one") -> Step:
    return after_s, "backup", host, lambda world, actor: acts.back_up(world, actor, returns=True)


def _prune(after_s: float, host: str = ADMIN, replica: str | None = None) -> Step:
    return after_s, "prune", host, lambda world, actor: acts.prune_now(world, actor, replica)


def _step(after_s: float, name: str, act: acts.Act, host: str = _OTHER) -> Step:
    return after_s, name, host, act


_SWEEP = Moment(0, "delete", names.PACKS)
SCENARIOS: dict[str, Scenario] = {
    "a backup begins while a prune is about to delete": Scenario(
        [_prune(0), _backup(60)], [(_SWEEP, Moment(1, "put", names.SNAPSHOTS))]
    ),
    "an unforget while a prune is about to delete": Scenario(
        [_prune(0), _step(60, "unforget", acts.unforget)], [(_SWEEP, Moment(1, "put", names.UNFORGOTTEN))]
    ),
    "a backup is asleep before it decides, until the prune is over": Scenario(
        [_prune(120), _backup(0)], [(Moment(1, "put", _END), Moment(0, "put", _CLOSED))]
    ),
    "a backup decides after the plan and before the pruner looks at leases": Scenario(
        [_prune(120), _backup(0)],
        [
            (Moment(1, "put", _END), Moment(0, "put", _CONDEMNED)),
            (Moment(0, "list", names.LEASES), Moment(1, "put", names.SNAPSHOTS), Moment(0, "put", _CONDEMNED)),
        ],
    ),
    "a backup has decided, and is asleep before its commit": Scenario(
        [_prune(120), _backup(0)],
        [
            (Moment(1, "put", _END), Moment(0, "put", _CONDEMNED)),
            (Moment(1, "put", names.SNAPSHOTS), Moment(0, "put", _CLOSED)),
            (Moment(0, "list", names.LEASES), Moment(1, "put", _END), Moment(0, "put", _CONDEMNED)),
        ],
    ),
    "a backup is asleep before its lease, until the prune has looked": Scenario(
        [_prune(120), _backup(0)],
        [(Moment(1, "put", names.LEASES), replace(_SWEEP, reached=True)), (_SWEEP, Moment(1, "put", names.SNAPSHOTS))],
    ),
    "a heal while a prune of one replica that was alone is about to delete": Scenario(
        [_prune(DAY_S, replica="a"), _backup(0), _step(2 * DAY_S, "heal", acts.heal)],
        [(_SWEEP, Moment(2, "put", names.SNAPSHOTS))],
        [Away("a", 0, DAY_S / 2), Away("b", DAY_S - 60, DAY_S / 2), Away("c", DAY_S - 60, DAY_S / 2)],
    ),
    "a deletion arrives after a heal has put the object again": Scenario(
        [
            _prune(0, replica="a"),
            _prune(3600, _OTHER, "a"),
            _step(2 * 3600, "unforget", acts.unforget),
            _step(3 * 3600, "heal", acts.heal),
        ],
        [(_SWEEP, Moment(3, "put", names.SNAPSHOTS))],
    ),
}


def play_scenario(world: World, begin: Callable[[Step, int], None]) -> list[Hold]:
    """Let the steps of a scenario begin at their moments; return where processes are held."""
    name = world.chance.choice(list(SCENARIOS))
    world.trace(f"SCENARIO: {name}")
    chosen, now_s = SCENARIOS[name], world.scheduler.now_s
    for number, step in enumerate(chosen.steps):
        world.scheduler.at(now_s + step[0], lambda step=step, number=number: begin(step, number))  # type: ignore[misc]
    for one in chosen.aways:
        world.scheduler.at(now_s + one.from_s, lambda one=one: _take_away(world, one))  # type: ignore[misc]
    return [Hold(*one) for one in chosen.holds]


def _take_away(world: World, away: Away) -> None:
    world.site.away_until_s[away.replica] = world.scheduler.now_s + away.for_s
    world.trace(f"REPLICA {away.replica} IS AWAY for {away.for_s / DAY_S:.1f} days")


def mild(weather: Weather) -> Weather:
    """Return a weather in which a scenario mostly goes as it is meant to."""
    return replace(
        weather, fail=0.0, lose_reply=weather.lose_reply / 10, late=0.0, suspend=0.0, kill=0.0, clock_step=0.0,
        away=0, liar=False,
    )  # fmt: skip
