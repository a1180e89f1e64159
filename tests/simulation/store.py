"""The memory store in a simulation: each call is a point where other processes go on, and where trouble is met."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from farshore.clock import Clock
from farshore.errors import StoreUnavailable
from farshore.limits import WHOLE_READ_BYTES_MAX
from farshore.stores.base import Body, ObjectInfo, PutOutcome
from farshore.stores.body import as_bytes
from farshore.stores.memory import MemoryStore, Shelf
from farshore.stores.object_retention import DEFAULT_RETENTION, Lock, LockState, ObjectRetention
from farshore.stores.traffic import ServiceClock
from tests.simulation.threads import Actor, ProcessDied, Scheduler
from tests.simulation.weather import CLOCK_STEPS_S, SUSPENSIONS_S, Weather

Answer = TypeVar("Answer")
_CALM_STEP_S = 0.02
_LATE_S = (30.0, 3600.0, 86_400.0, 10 * 86_400.0)


class Observer(Protocol):
    """Whoever sees every object that a store gains or loses, in order."""

    def on_put(self, replica: str, name: str, data: bytes, by: str) -> None: ...

    def on_delete(self, replica: str, name: str, by: str) -> None: ...


class Holding(Protocol):
    """Where a process waits for another one."""

    def holds(self, actor: Actor, verb: str, name: str, now_s: float) -> bool: ...

    def note(self, actor: Actor, verb: str, name: str, now_s: float, *, made: bool) -> None: ...


@dataclass
class Site:
    """Where stores are opened: what goes wrong there, and who looks on. `calm`: nothing goes wrong."""

    scheduler: Scheduler
    weather: Weather
    chance: random.Random
    observer: Observer
    trace: Callable[[str], None]
    service_clock: Clock
    calm: bool = True
    shows_reads: bool = False  # in the trace
    calls: int = 0
    away_until_s: dict[str, float] = field(default_factory=dict)  # by replica
    clock_offset_s: dict[str, float] = field(default_factory=dict)  # by host
    lies: dict[str, float] = field(default_factory=dict)  # by replica: the share of names that listings lack
    holds: Sequence[Holding] = ()  # of a scenario


_sites: list[Site] = []


def enter(site: Site) -> None:
    """Have stores that are opened from now on be at this site."""
    _sites.append(site)


def leave() -> None:
    """Undo `enter`."""
    _sites.pop()


class SimulatedStore(MemoryStore):
    """A `MemoryStore` whose calls other processes and trouble come between."""

    def __init__(self, *, shelf: Shelf | None = None, clock: Clock) -> None:
        self._site = _sites[-1]
        self.service_clock = ServiceClock(clock)
        super().__init__(shelf=shelf, clock=self._site.service_clock)
        self.replica = self.url.rpartition("-")[2]

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        data = as_bytes(body)
        actor = self._actor

        def put() -> PutOutcome:
            outcome = MemoryStore.put(self, name, data, retention)
            if outcome is PutOutcome.CREATED:
                self._site.observer.on_put(self.replica, name, data, actor.name)
            return outcome

        return self._call("put", name, put, changes=True)

    def get(
        self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = WHOLE_READ_BYTES_MAX
    ) -> bytes:
        return self._call("get", name, lambda: MemoryStore.get(self, name, offset, length, bytes_max=bytes_max))

    def head(self, name: str) -> ObjectInfo:
        return self._call("head", name, lambda: MemoryStore.head(self, name))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """As a service does: page by page, so that an object put meanwhile is in a later page or in none."""
        last, page = "", self._site.weather.page
        while True:
            found = self._call("list", prefix, partial(self._after, prefix, last))
            for one in found[:page]:
                last = one.name
                if not self._hides(one.name):
                    yield one
            if len(found) <= page:
                return

    def _after(self, prefix: str, last: str) -> Sequence[ObjectInfo]:
        return [one for one in MemoryStore.list(self, prefix) if one.name > last]

    def delete(self, name: str, seen: str) -> None:
        actor = self._actor

        def delete() -> None:
            there = name in self._shelf.objects
            MemoryStore.delete(self, name, seen)
            if there and name not in self._shelf.objects:
                self._site.observer.on_delete(self.replica, name, actor.name)

        self._call("delete", name, delete, changes=True)

    def lock_state(self, name: str) -> LockState:
        return self._call("lock_state", name, lambda: MemoryStore.lock_state(self, name))

    def extend_lock(self, name: str, lock: Lock) -> Lock:
        return self._call("extend_lock", name, lambda: MemoryStore.extend_lock(self, name, lock))

    @property
    def _actor(self) -> Actor:
        return self._site.scheduler.task.actor

    def _hides(self, name: str) -> bool:
        share = self._site.lies.get(self.replica, 0.0)
        return share > 0 and random.Random(name).random() < share

    def _call(self, verb: str, name: str, request: Callable[[], Answer], *, changes: bool = False) -> Answer:
        site, actor, chance = self._site, self._actor, self._site.chance
        site.scheduler.now_s += (_CALM_STEP_S if site.calm else site.weather.step_s) * chance.random()
        if not site.calm:
            self._hold(actor, verb, name)
            self._meet(actor)
        what = f"{actor.name}: {verb} {self.replica} {name}"
        if site.scheduler.now_s < site.away_until_s.get(self.replica, 0.0):
            raise StoreUnavailable(f"{self.url} is away")
        weather = site.weather
        fate = 0.5 if site.calm else chance.random()  # trouble is at both ends
        if fate < weather.fail:
            site.trace(f"{what} FAILS")
            raise StoreUnavailable(f"{verb} {self.url}/{name} failed")
        if changes and fate < weather.fail + weather.late:
            self._late(what, request)
            raise StoreUnavailable(f"{verb} {self.url}/{name} got no answer")
        site.calls += 1
        self.service_clock.note(site.service_clock.now_utc())
        answer = request()
        for hold in site.holds:
            hold.note(actor, verb, name, site.scheduler.now_s, made=True)
        if fate > 1.0 - weather.lose_reply:
            site.trace(f"{what} LOSES ITS REPLY")
            raise StoreUnavailable(f"{verb} {self.url}/{name} was done and its reply lost")
        if changes or site.shows_reads:
            site.trace(what)
        return answer

    def _late(self, what: str, request: Callable[[], object]) -> None:
        """Have a change happen when its caller waits for it no longer."""
        site = self._site
        after_s = site.chance.choice(_LATE_S)
        site.trace(f"{what} IS LATE by {after_s:.0f} s")

        def arrive() -> None:
            try:
                request()
            except Exception as error:  # noqa: BLE001 - nobody hears it
                site.trace(f"late {what}: {error}")
            else:
                site.trace(f"late {what}")

        site.scheduler.at(site.scheduler.now_s + after_s, arrive)

    def _hold(self, actor: Actor, verb: str, name: str) -> None:
        """Wait for another process, where a scenario says so."""
        site = self._site
        for hold in site.holds:
            hold.note(actor, verb, name, site.scheduler.now_s, made=False)
        for hold in site.holds:
            if hold.holds(actor, verb, name, site.scheduler.now_s):
                site.trace(f"{actor.name} IS HELD at {verb} {self.replica} {name}")
                site.scheduler.turn()

    def _meet(self, actor: Actor) -> None:
        """Let others go on, and perhaps be suspended, killed, or find another time."""
        site, weather, chance = self._site, self._site.weather, self._site.chance
        fate = chance.random()
        if fate < weather.kill:
            site.trace(f"{actor.name} IS KILLED")
            site.scheduler.kill(actor)
            raise ProcessDied
        fate -= weather.kill
        if fate < weather.suspend:
            for_s = chance.choice(SUSPENSIONS_S)
            actor.resumes_s = site.scheduler.now_s + for_s
            site.trace(f"{actor.name} IS SUSPENDED for {for_s:.0f} s")
        elif fate < weather.suspend + weather.clock_step:
            step_s = chance.choice(CLOCK_STEPS_S)
            site.clock_offset_s[actor.host] = step_s
            site.trace(f"THE CLOCK of {actor.host} is off by {step_s:.0f} s")
        if actor.resumes_s > site.scheduler.now_s or chance.random() < weather.turn:
            site.scheduler.turn()
