"""A wrapper that misbehaves on request, for tests of everything that stands on a store.

What goes wrong is data: a `Plan` is asked before each call and names a `Fault` or None. Ready plans: `queued` (a list
of faults for each verb), `at_call` (the k-th call, for sweeps over every position), `from_call` (a store that went
away), `at_random` (from a seeded clock), or any function of verb, name and call number.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from farshore.clock import Clock
from farshore.errors import Failure, ObjectNotFound, StoreDenied, StoreFull, StoreUnavailable
from farshore.limits import WHOLE_READ_BYTES_MAX
from farshore.stores.base import ANY_OBJECT, Body, ObjectInfo, PutOutcome, Store
from farshore.stores.body import as_bytes
from farshore.stores.object_retention import DEFAULT_RETENTION, Lock, ObjectRetention
from farshore.stores.wrappers import Answer, WrappingStore


class FaultKind(StrEnum):
    """What goes wrong in one call."""

    FAIL = "fail"  # raises, and nothing is done
    LOSE_REPLY = "lose-reply"  # does it, then raises; a listing breaks off in the middle
    TRUNCATE = "truncate"  # half of the bytes (get, put) or of the names (list) are given or kept, without a word
    CORRUPT = "corrupt"  # one byte in the middle is given or kept altered, without a word
    VANISH = "vanish"  # a put or an extension of a lock reports success and keeps nothing; a list names nothing
    STALE = "stale"  # what was put through this wrapper is not seen by this get, head or list
    REPLACE = "replace"  # a put takes a name that is taken, as a service does that ignores the condition
    DELAY = "delay"  # waits on the clock, then goes on
    HANG = "hang"  # waits until an event, as a connection does on which nothing comes any more; then goes on


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. `error` is what FAIL and LOSE_REPLY raise; `wait_s` is for DELAY, `until` for HANG."""

    kind: FaultKind
    error: type[Failure] = StoreUnavailable
    wait_s: float = 0.0
    until: threading.Event | None = None


FAIL = Fault(FaultKind.FAIL)
DENY = Fault(FaultKind.FAIL, StoreDenied)
FULL = Fault(FaultKind.FAIL, StoreFull)
LOSE_REPLY = Fault(FaultKind.LOSE_REPLY)
TRUNCATE = Fault(FaultKind.TRUNCATE)
CORRUPT = Fault(FaultKind.CORRUPT)
VANISH = Fault(FaultKind.VANISH)
STALE = Fault(FaultKind.STALE)
REPLACE = Fault(FaultKind.REPLACE)

_VIEWS = frozenset({"head", "lock_state"})  # verbs, beside those with a body of their own, that STALE applies to

Plan = Callable[[str, str, int], Fault | None]  # verb, name (or prefix), number of the call from 1 over all verbs


def no_faults(verb: str, name: str, number: int) -> None:
    """Let everything pass."""


def queued(faults: Mapping[str, Iterable[Fault | None]]) -> Plan:
    """Return a plan that takes the next fault of its verb's queue at each call; None lets a call pass."""
    queues = {verb: iter(queue) for verb, queue in faults.items()}
    return lambda verb, _name, _number: next(queues.get(verb, iter(())), None)


def at_call(number: int, fault: Fault = FAIL) -> Plan:
    """Return a plan with one fault, at the call of this number (from 1)."""
    return lambda _verb, _name, called: fault if called == number else None


def from_call(number: int, fault: Fault = FAIL) -> Plan:
    """Return a plan that faults at the call of this number and at every later one: a store that went away."""
    return lambda _verb, _name, called: fault if called >= number else None


def at_random(clock: Clock, share: float, faults: tuple[Fault, ...] = (FAIL, LOSE_REPLY)) -> Plan:
    """Return a plan that picks one of `faults` for this share of the calls. A seeded clock makes it repeat."""

    def plan(_verb: str, _name: str, _number: int) -> Fault | None:
        if clock.jitter() >= share:
            return None
        return faults[int(clock.jitter() * len(faults))]

    return plan


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was made, and the fault it met."""

    number: int
    verb: str
    name: str
    fault: Fault | None


class FaultyStore(WrappingStore):
    """The same store with the faults of a plan. Safe for use by many threads: the plan is asked by one at a time."""

    def __init__(self, store: Store, *, clock: Clock, plan: Plan = no_faults) -> None:
        super().__init__(store)
        self._clock = clock
        self._plan = plan
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._put_names: set[str] = set()

    @property
    def calls(self) -> list[Call]:
        """Every call so far, in order: a run without faults tells a sweep how far to go."""
        with self._lock:
            return list(self._calls)

    def hide(self, name: str) -> None:
        """Have STALE hide an object as if it had been put through this wrapper."""
        with self._lock:
            self._put_names.add(name)

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        fault = self._meet("put", name)
        kind = fault.kind if fault else None
        if kind is FaultKind.VANISH:
            return PutOutcome.CREATED
        if kind in (FaultKind.TRUNCATE, FaultKind.CORRUPT):
            body = _spoiled(as_bytes(body), kind)
        outcome = (
            self._replace(name, body, retention)
            if kind is FaultKind.REPLACE
            else self._store.put(name, body, retention)
        )
        with self._lock:
            self._put_names.add(name)
        self._lose_reply(fault, "put", name)
        return outcome

    def get(
        self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = WHOLE_READ_BYTES_MAX
    ) -> bytes:
        fault = self._meet("get", name)
        self._hide(fault, name)
        data = self._store.get(name, offset, length, bytes_max=bytes_max)
        self._lose_reply(fault, "get", name)
        return _spoiled(data, fault.kind) if fault else data

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        fault = self._meet("list", prefix)
        if fault is None:
            yield from self._store.list(prefix)
            return
        found = [] if fault.kind is FaultKind.VANISH else list(self._store.list(prefix))
        if fault.kind is FaultKind.STALE:
            with self._lock:
                found = [info for info in found if info.name not in self._put_names]
        cut = fault.kind in (FaultKind.TRUNCATE, FaultKind.LOSE_REPLY)
        yield from found[: len(found) // 2] if cut else found
        self._lose_reply(fault, "list", prefix)

    def extend_lock(self, name: str, lock: Lock) -> Lock:
        fault = self._meet("extend_lock", name)
        if fault is not None and fault.kind is FaultKind.VANISH:
            return lock
        now = self._store.extend_lock(name, lock)
        self._lose_reply(fault, "extend_lock", name)
        return now

    def _call(self, verb: str, name: str, request: Callable[[], Answer]) -> Answer:
        fault = self._meet(verb, name)
        if verb in _VIEWS:
            self._hide(fault, name)
        answer = request()
        self._lose_reply(fault, verb, name)
        return answer

    def _meet(self, verb: str, name: str) -> Fault | None:
        """Ask the plan about this call, and do what comes before the call itself."""
        with self._lock:
            number = len(self._calls) + 1
            fault = self._plan(verb, name, number)
            self._calls.append(Call(number, verb, name, fault))
        if fault is not None and fault.kind is FaultKind.FAIL:
            raise fault.error(f"{verb} {self.url}/{name} failed by plan (call {number})")
        if fault is not None and fault.kind is FaultKind.DELAY:
            self._clock.wait_s(fault.wait_s)
        if fault is not None and fault.kind is FaultKind.HANG and fault.until is not None:
            fault.until.wait()
        return fault

    def _replace(self, name: str, body: Body, retention: ObjectRetention) -> PutOutcome:
        """Put over whatever is there; the last writer's bytes stay, and each is told that it made the object."""
        with self._lock:
            self._store.delete(name, ANY_OBJECT)
            return self._store.put(name, body, retention)

    def _lose_reply(self, fault: Fault | None, verb: str, name: str) -> None:
        if fault is not None and fault.kind is FaultKind.LOSE_REPLY:
            raise fault.error(f"{verb} {self.url}/{name} was done and its reply lost by plan")

    def _hide(self, fault: Fault | None, name: str) -> None:
        if fault is not None and fault.kind is FaultKind.STALE:
            with self._lock:
                if name in self._put_names:
                    raise ObjectNotFound(f"{self.url}/{name} is not seen yet by plan")


def _spoiled(data: bytes, kind: FaultKind) -> bytes:
    if kind is FaultKind.TRUNCATE:
        return data[: len(data) // 2]
    if kind is FaultKind.CORRUPT and data:
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    return data
