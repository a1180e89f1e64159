"""Threads that take turns: real code runs unchanged, one thread at a time, in an order that a seed decides.

Within `cooperative` the thread class, locks and queues of Python are replaced by ones of a `Scheduler`. Each thread is
a greenlet. It goes on until it waits, ends, or reaches a `point`; then the scheduler chooses who is next. Time is
virtual: where all wait, it moves on to the next time-out. A thread belongs to the process (`Actor`) that started
it; a process can be suspended or killed between any two of its steps.
"""

from __future__ import annotations

import fcntl
import heapq
import logging
import queue
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from greenlet import getcurrent, greenlet

from farshore import replicas

FOREVER = float("inf")
_TURNS_MAX = 2_000_000  # of one history; more is a loop that waits for nothing


class ProcessDied(BaseException):
    """Ends the threads of a process that was killed. No handler of errors catches it."""


class Stuck(Exception):
    """Every thread waits for another, and no time-out is left."""


@dataclass(eq=False)
class Actor:
    """One process: its threads, and whether it may run. `weight`: how often it is chosen."""

    name: str
    host: str
    weight: float = 1.0
    dead: bool = False
    resumes_s: float = 0.0  # not chosen before this moment
    tasks: list[Task] = field(default_factory=list)
    ready: list[Task] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return not self.tasks


class Task(greenlet):  # type: ignore[misc] # it ships no type information
    """One thread of an actor."""

    def __init__(self, scheduler: Scheduler, actor: Actor, work: Callable[[], object], number: int) -> None:
        super().__init__(self._work, scheduler.hub)
        self.actor = actor
        self.number = number
        self.waiting = False
        self.woken = False  # by somebody, not by its time-out
        self.waits = 0  # how often it waited: a time-out of an earlier wait wakes nobody
        self.ended: list[Task] = []  # those that join it
        self._scheduler = scheduler
        self._do = work
        self.error: BaseException | None = None

    def _work(self) -> None:
        try:
            self._do()
        except (ProcessDied, SystemExit):
            pass
        except BaseException as error:  # noqa: BLE001 - judged by whoever looks at the history
            self.error = error
        finally:
            self.actor.tasks.remove(self)
            for one in self.ended:
                self._scheduler.wake(one)
            self.ended.clear()


class Scheduler:
    """Who goes on, and what time it is. Everything that it decides follows from `chance`."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.hub = getcurrent()
        self.now_s = 0.0
        self.actors: list[Actor] = []
        self.errors: list[tuple[Actor, BaseException]] = []
        self.over: Callable[[], bool] = lambda: False  # whether the rest of the history is of no interest
        self._numbers = 0
        self._turns = 0
        self._timers: list[tuple[float, int, int, Task]] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    # --- for threads -------------------------------------------------------------------------------------------------

    @property
    def task(self) -> Task:
        """The thread that runs now."""
        current = getcurrent()
        assert isinstance(current, Task), "a thread outside of the simulation reached it"
        return current

    def next_number(self) -> int:
        """Return a number that was not returned before."""
        self._numbers += 1
        return self._numbers

    def spawn(self, actor: Actor, work: Callable[[], object]) -> Task:
        """Start a thread of a process."""
        task = Task(self, actor, work, self.next_number())
        if not actor.tasks and actor not in self.actors:
            self.actors.append(actor)
        actor.tasks.append(task)
        actor.ready.append(task)
        return task

    def block(self, timeout_s: float | None = None) -> bool:
        """Wait until somebody wakes this thread; False where the time is over first."""
        task = self.task
        self._live(task)
        task.woken, task.waiting = False, True
        task.waits += 1
        if timeout_s is not None:
            heapq.heappush(self._timers, (self.now_s + max(timeout_s, 0.0), self.next_number(), task.waits, task))
        self.hub.switch()
        self._live(task)
        return task.woken

    def wake(self, task: Task) -> None:
        """Let a thread that waits go on; one whose time was over meanwhile learns that it was woken all the same."""
        task.woken = True
        if task.waiting:
            task.waiting = False
            task.actor.ready.append(task)

    def turn(self) -> None:
        """Let another thread go on, or this one again."""
        task = self.task
        self._live(task)
        task.actor.ready.append(task)
        self.hub.switch()
        self._live(task)

    def _live(self, task: Task) -> None:
        if task.actor.dead:
            raise ProcessDied

    # --- for the adversary -------------------------------------------------------------------------------------------

    def at(self, moment_s: float, event: Callable[[], None]) -> None:
        """Have something happen at a moment, beside all threads."""
        heapq.heappush(self._events, (moment_s, self.next_number(), event))

    def kill(self, actor: Actor) -> None:
        """End a process: none of its threads makes another call. Called by one of them, it ends at its next wait."""
        actor.dead = True
        actor.ready.clear()
        if getcurrent() is self.hub:
            for task in list(actor.tasks):
                with suppress(ProcessDied):  # of one that has not begun
                    task.throw(ProcessDied)
            actor.tasks.clear()

    # --- the loop ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Go on until every thread has ended, or waits for what no longer happens in processes that are suspended.

        Raises:
            Stuck: Threads of a process that may run wait for each other.
        """
        while not self.over():
            self._turns += 1
            if self._turns > _TURNS_MAX:
                raise Stuck(f"no end after {_TURNS_MAX} turns")
            self._expire()
            actor = self._choose()
            if actor is not None:
                self._resume(actor)
            elif not self._sleep():
                break
        waiting = [one.name for one in self.actors if not one.dead and not one.over and one.resumes_s < FOREVER]
        if waiting and not self.over():
            raise Stuck(f"threads of {', '.join(waiting)} wait for each other")

    def _choose(self) -> Actor | None:
        able = [one for one in self.actors if one.ready and not one.dead and one.resumes_s <= self.now_s]
        if len(able) < 2:
            return able[0] if able else None
        return self.chance.choices(able, [one.weight for one in able])[0]

    def _resume(self, actor: Actor) -> None:
        ready = actor.ready
        task = ready.pop(self.chance.randrange(len(ready)) if len(ready) > 1 else 0)
        if task.dead:
            return
        task.switch()
        if task.dead and task.error is not None:
            self.errors.append((actor, task.error))
        if actor.dead:
            self.kill(actor)
        if actor.over:
            self.actors.remove(actor)

    def _expire(self) -> None:
        while self._events and self._events[0][0] <= self.now_s:
            heapq.heappop(self._events)[2]()
        while self._timers and self._timers[0][0] <= self.now_s:
            _, _, waits, task = heapq.heappop(self._timers)
            if self._waits(task, waits):
                task.waiting = False
                task.actor.ready.append(task)

    def _sleep(self) -> bool:
        """Move on to the next moment at which something happens; False where nothing does."""
        moments = [self._events[0][0]] if self._events else []
        while self._timers and not self._waits(self._timers[0][3], self._timers[0][2]):
            heapq.heappop(self._timers)
        moments += [self._timers[0][0]] if self._timers else []
        moments += [one.resumes_s for one in self.actors if one.ready and self.now_s < one.resumes_s < FOREVER]
        if not moments:
            return False
        self.now_s = max(self.now_s, min(moments))
        return True

    @staticmethod
    def _waits(task: Task, waits: int) -> bool:
        return task.waiting and task.waits == waits and not task.dead and not task.actor.dead

    def close(self) -> None:
        """End all threads that are left."""
        for actor in list(self.actors):
            self.kill(actor)
        self.actors.clear()


_running: list[Scheduler] = []
real_flock = fcntl.flock


def current_scheduler() -> Scheduler:
    """The scheduler of the block that runs now."""
    return _running[-1]


class CooperativeLock:
    """As `threading.Lock`. Who waits first gets it first."""

    def __init__(self) -> None:
        self._locked = False
        self._waiting: deque[Task] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if not self._locked:
            self._locked = True
            return True
        if not blocking or timeout == 0:
            return False
        scheduler = current_scheduler()
        task = scheduler.task
        self._waiting.append(task)
        try:
            given = scheduler.block(timeout if timeout > 0 else None)
        except ProcessDied:
            if task in self._waiting:
                self._waiting.remove(task)
            raise
        if not given:
            self._waiting.remove(task)
        return given

    def release(self) -> None:
        if not self._locked:
            raise RuntimeError("release unlocked lock")
        while self._waiting:
            task = self._waiting.popleft()
            if not task.dead and not task.actor.dead:
                current_scheduler().wake(task)  # it is locked still, by that one
                return
        self._locked = False

    def locked(self) -> bool:
        return self._locked

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()


class CooperativeThread:
    """As `threading.Thread`, as far as this program and the standard library's pools use it."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self.name = name or "thread"
        self.daemon = daemon
        self._do = lambda: target(*args, **(kwargs or {})) if target else None
        self._task: Task | None = None
        self._number = current_scheduler().next_number()

    def __hash__(self) -> int:
        return self._number  # pools keep their threads in a set, whose order must not follow from addresses

    def start(self) -> None:
        scheduler = current_scheduler()
        self._task = scheduler.spawn(scheduler.task.actor, self._do)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.dead

    def join(self, timeout: float | None = None) -> None:
        if self._task is None or self._task.dead or not _running:
            return
        scheduler = current_scheduler()
        self._task.ended.append(scheduler.task)
        if not scheduler.block(timeout):
            self._task.ended.remove(scheduler.task)

    @property
    def ident(self) -> int | None:
        return None if self._task is None else id(self._task)


def _flock(descriptor: int, operation: int) -> None:
    """As `fcntl.flock`. A process that waits for another lets the others go on."""
    wait_s = 0.1
    while True:
        try:
            real_flock(descriptor, operation if operation & fcntl.LOCK_UN else operation | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if operation & fcntl.LOCK_NB:
                raise
            current_scheduler().block(wait_s)
            wait_s = min(2 * wait_s, 86_400.0)


@contextmanager
def cooperative(chance: random.Random) -> Iterator[Scheduler]:
    """Replace the threads of Python by ones that take turns, for a block.

    Real locks that were made before stay: none of them may be held across a point where another thread goes on.
    """
    scheduler = Scheduler(chance)
    simple_queue = queue._PySimpleQueue  # type: ignore[attr-defined] # noqa: SLF001 - the C one waits for real
    replaced: list[tuple[Any, str, object]] = [
        (threading, "Thread", CooperativeThread),
        (threading, "Lock", CooperativeLock),
        (threading, "_allocate_lock", CooperativeLock),
        (threading, "_CRLock", None),  # so that `RLock` makes the one in Python, of the lock above
        (threading, "get_ident", lambda: id(getcurrent())),
        (threading, "_time", lambda: scheduler.now_s),
        (queue, "SimpleQueue", simple_queue),
        (replicas, "SimpleQueue", simple_queue),
        (fcntl, "flock", _flock),
    ]
    before = [(place, name, getattr(place, name)) for place, name, _ in replaced]
    pools = logging.getLogger("concurrent.futures")
    level = pools.level
    pools.setLevel(logging.CRITICAL + 1)  # a worker of a pool reports that its process died
    _running.append(scheduler)
    try:
        for place, name, value in replaced:
            setattr(place, name, value)
        yield scheduler
        scheduler.close()
    finally:
        for place, name, value in before:
            setattr(place, name, value)
        pools.setLevel(level)
        _running.pop()
