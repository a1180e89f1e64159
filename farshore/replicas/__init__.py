"""The same question to all replicas at once, with a bound on the silence of each, and one error where none answers.

docs/operate/replicas.md has the bounds. A request to a store that hangs cannot be cancelled, only abandoned. A thread
pool of the library would be joined when the process ends, and so would hold it for minutes after everything was done;
`DetachedThreads` are not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Generic, TypeVar

from farshore import limits
from farshore.clock import Clock
from farshore.errors import Bug, FarshoreError, RepositoryMissing, StoreUnavailable

Work = Callable[[], None]
Answer = TypeVar("Answer")
OnWait = Callable[[tuple[str, ...]], None]  # called with the replicas that have not answered yet
LifeSign = Callable[[str], object]  # replica -> a value that changes while the replica sends anything
_PATIENCE_FACTOR = 2.0  # of the time of the first answer: a long listing needs as long everywhere
_LOOK_EVERY_S = 1.0  # for signs of life
_UNASKED_HINT = (
    "Each replica has a reason of its own; docs/reference/errors.md explains the codes. "
    "Retry what may pass, mend the rest."
)


class FirstBug:
    """Keeps the first `Bug` of threads whose answers are dropped. Safe from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bug: Bug | None = None

    def keep(self, error: BaseException | None) -> None:
        """Keep an error if it is a `Bug` and the first; any other is left to the caller."""
        if isinstance(error, Bug):
            with self._lock:
                self._bug = self._bug or error

    def check(self, error: BaseException | None = None) -> None:
        """Raise what was kept, once, at the end of an operation.

        Args:
            error: The error that the operation ends with anyway. Only one that is expected to happen gives way to a
                bug, which may be behind it: no interrupt does, and no other bug.
        """
        with self._lock:
            bug, self._bug = self._bug, None
        if bug is not None and (error is None or isinstance(error, FarshoreError)):
            raise bug from error


class DetachedThreads:
    """At most `count` threads, started on demand and reused. Safe from many threads.

    `first_bug`: where their work keeps a broken promise, because its answer may be dropped.
    """

    def __init__(self, threads_max: int, name: str) -> None:
        self._threads_max = threads_max
        self._name = name
        self.first_bug = FirstBug()
        self._lock = threading.Lock()
        self._waiting: SimpleQueue[Work | None] = SimpleQueue()
        self._idle = 0
        self._threads = 0
        self._closed = False

    def start(self, work: Work) -> bool:
        """Begin `work`, which raises nothing, beside the caller; False, without beginning, if all are busy."""
        with self._lock:
            if self._closed:
                return False
            if self._idle:
                self._idle -= 1
                self._waiting.put(work)
                return True
            if self._threads >= self._threads_max:
                return False
            self._threads += 1
        threading.Thread(target=self._run, args=(work,), name=self._name, daemon=True).start()
        return True

    def close(self) -> None:
        """Let idle threads end, and the others when their work does. Waits for none. Safe to repeat."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._waiting.put(None)

    def _run(self, work: Work | None) -> None:
        while work is not None:
            work()
            work = None  # its closure may hold megabytes
            with self._lock:
                if self._closed:
                    return
                self._idle += 1
            work = self._waiting.get()


def wait_quietly(_: tuple[str, ...]) -> None:
    """Report the wait to nobody."""


@dataclass
class _Round(Generic[Answer]):
    """One question under way. Filled by the threads that ask."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    news: threading.Event = field(default_factory=threading.Event)
    given: dict[str, Answer] = field(default_factory=dict)
    failed: dict[str, FarshoreError] = field(default_factory=dict)
    broken: list[BaseException] = field(default_factory=list)
    first_bug: FirstBug = field(default_factory=FirstBug)  # of answers that arrive when nobody waits any more

    def ask(self, name: str, question: Callable[[str], Answer]) -> None:
        """Keep the answer of one replica, or why there is none; whatever ends the question, nobody waits on."""
        try:
            answer = question(name)
            with self.lock:
                self.given[name] = answer
        except FarshoreError as error:
            with self.lock:
                self.failed[name] = error
        except BaseException as error:  # noqa: BLE001 - raised by the thread that asked
            with self.lock:
                self.broken.append(error)
            self.first_bug.keep(error)
        self.news.set()

    def pending(self, names: Collection[str]) -> tuple[str, ...]:
        """Return the replicas that have not answered, in the order of the names."""
        with self.lock:
            self.news.clear()
            if self.broken:
                raise self.broken[0]
            return tuple(name for name in names if name not in self.given and name not in self.failed)


class _Silence:
    """How long each replica has been silent, and how long it may be. One thread.

    Args:
        patient: Wait for every replica, up to `SILENCE_S_MAX` of silence. Else a replica has only the patience for
            listings, or twice the time of the first answer, from the first answer on.
    """

    def __init__(self, names: Collection[str], *, now_s: float, patient: bool, alive: LifeSign | None) -> None:
        self._patient = patient
        self._alive = alive
        self._started_s = now_s
        self._answered_s: float | None = None
        self._signs = {name: alive(name) for name in names} if alive else {}
        self._heard_s = dict.fromkeys(names, now_s)

    def listen(self, pending: Collection[str], now_s: float, *, answered: bool) -> None:
        """Note signs of life, and the first answer."""
        if answered and self._answered_s is None:
            self._answered_s = now_s
        for name in pending if self._alive else ():
            sign = self._alive(name) if self._alive else None
            if sign != self._signs[name]:
                self._signs[name], self._heard_s[name] = sign, now_s

    def left_s(self, name: str, now_s: float) -> float:
        """Return how much longer a replica may be silent."""
        if self._patient or self._answered_s is None:
            return self._heard_s[name] + limits.SILENCE_S_MAX - now_s
        patience_s = max(limits.LISTING_PATIENCE_S, _PATIENCE_FACTOR * (self._answered_s - self._started_s))
        return max(self._answered_s + patience_s, self._heard_s[name] + limits.LISTING_PATIENCE_S) - now_s


def ask_all(
    names: Collection[str],
    ask: Callable[[str], Answer],
    *,
    clock: Clock,
    patient: bool,
    alive: LifeSign | None = None,
    on_wait: OnWait = wait_quietly,
    first_bug: FirstBug | None = None,
) -> tuple[dict[str, Answer], dict[str, FarshoreError]]:
    """Ask every replica at the same time; return the answers, and why there is none, by name.

    A replica that is silent for too long has failed; what it says later is dropped.

    Args:
        patient: Give every replica `SILENCE_S_MAX`. Else, once one has answered, the others have `LISTING_PATIENCE_S`
            left, or twice the time of that answer.
        alive: A replica whose value changes is not silent: the pages of a long listing arrive.
        on_wait: Called once, in this thread, with the replicas that have not answered within `WAIT_SHOWN_S`.
        first_bug: Keeps a broken promise of ours that a replica's thread meets, also when its answer is dropped.
    """
    threads = DetachedThreads(max(len(names), 1), "ask")
    asked: _Round[Answer] = _Round(first_bug=first_bug or threads.first_bug)
    started_s = clock.monotonic_s()
    silence = _Silence(names, now_s=started_s, patient=patient, alive=alive)
    for name in names:
        threads.start(lambda name=name: asked.ask(name, ask))  # type: ignore[misc]
    threads.close()
    shown = False
    dropped: dict[str, FarshoreError] = {}
    while pending := [name for name in asked.pending(names) if name not in dropped]:
        now_s = clock.monotonic_s()
        silence.listen(pending, now_s, answered=bool(asked.given))
        left_s = {name: silence.left_s(name, now_s) for name in pending}
        dropped.update({name: _silent(name) for name in pending if left_s[name] <= 0})
        waits = [left for left in left_s.values() if left > 0]
        if not waits:
            break
        shown_in_s = started_s + limits.WAIT_SHOWN_S - now_s
        if not shown and shown_in_s <= 0:
            shown = True
            on_wait(tuple(name for name in pending if name not in dropped))
        waits += [] if shown else [max(shown_in_s, 0.0)]
        clock.wait_s(min([*waits, _LOOK_EVERY_S] if alive else waits), asked.news)
    return _in_order(names, asked, dropped)


def require_all(asked: tuple[dict[str, Answer], dict[str, FarshoreError]]) -> dict[str, Answer]:
    """Return the answers of `ask_all`; raise the first error, in the order asked, where a replica gave none."""
    answers, failed = asked
    for error in failed.values():
        raise error
    return answers


def _in_order(
    names: Collection[str], asked: _Round[Answer], dropped: Mapping[str, FarshoreError]
) -> tuple[dict[str, Answer], dict[str, FarshoreError]]:
    """Return answers and errors in the order of the names, and drop later ones."""
    with asked.lock:
        answers = {name: asked.given[name] for name in names if name in asked.given}
        errors = {name: asked.failed[name] for name in names if name in asked.failed}
    late = {name: error for name, error in dropped.items() if name not in answers and name not in errors}
    return answers, {name: errors.get(name) or late[name] for name in names if name in errors or name in late}


def _silent(name: str) -> StoreUnavailable:
    return StoreUnavailable(f"{name} did not answer in time and was not waited for any longer")


def ask_first(
    names: Sequence[str],
    ask: Callable[[str], Answer],
    *,
    clock: Clock,
    alive: LifeSign | None = None,
    on_wait: OnWait = wait_quietly,
    first_bug: FirstBug | None = None,
) -> tuple[str | None, dict[str, Answer], dict[str, FarshoreError]]:
    """Ask one replica after the other until one answers; return its name, the answer, and why others gave none.

    The next one is asked when all before have failed or the last was silent for `SILENT_S_MIN`. Replicas that were not
    asked are in neither result. Without any answer the name is None.

    Args:
        alive: Nobody else is asked, and nobody dropped, while the value of one that was asked changes.
        on_wait: Called once, in this thread, with the replicas that have not answered within `WAIT_SHOWN_S`.
        first_bug: As for `ask_all`.
    """
    threads = DetachedThreads(max(len(names), 1), "ask")
    asked: _Round[Answer] = _Round(first_bug=first_bug or threads.first_bug)
    begun: list[str] = []
    waiting, shown, last_s = list(names), False, clock.monotonic_s()
    started_s, signs = last_s, list[object]()
    while True:
        pending = asked.pending(begun)
        now_s = clock.monotonic_s()
        if asked.given:
            break
        if alive and (heard := [alive(name) for name in pending]) != signs:
            signs, last_s = heard, now_s
        if waiting and (not pending or now_s - last_s >= limits.SILENT_S_MIN):
            begun.append(waiting.pop(0))
            last_s = now_s
            threads.start(lambda name=begun[-1]: asked.ask(name, ask))  # type: ignore[misc]
            continue
        if not pending or (not waiting and now_s - last_s >= limits.SILENCE_S_MAX):
            break
        if not shown and now_s - started_s >= limits.WAIT_SHOWN_S:
            shown = True
            on_wait(pending)
        bounds_s = [last_s + (limits.SILENT_S_MIN if waiting else limits.SILENCE_S_MAX)]
        bounds_s += [] if shown else [started_s + limits.WAIT_SHOWN_S]
        bounds_s += [now_s + _LOOK_EVERY_S] if alive else []
        clock.wait_s(max(min(bounds_s) - now_s, 0.0), asked.news)
    threads.close()
    answers, failed = _in_order(begun, asked, {name: _silent(name) for name in pending})
    return next(iter(answers), None), answers, failed


def unasked_error(failed: Mapping[str, FarshoreError]) -> FarshoreError:
    """Return the error of an operation for which no replica could be asked.

    Of one replica it is the replica's own error. Of several it has the kind of the first, where a missing repository
    counts only when every replica says so.
    """
    if not failed:
        return StoreUnavailable("no replica is configured")
    if len(failed) == 1:
        return next(iter(failed.values()))
    first = next((one for one in failed.values() if not isinstance(one, RepositoryMissing)), None)
    kind = type(first or next(iter(failed.values())))
    hints = {error.hint for error in failed.values()}
    reasons = "".join(f"\n  {name}: {error.code}: {error.message}" for name, error in failed.items())
    message = f"none of {len(failed)} replicas could be asked{reasons}"
    joined = kind(message, hints.pop() if len(hints) == 1 else _UNASKED_HINT)
    joined.replicas = dict(failed)
    return joined
