"""Reads of objects from whichever replica has a good copy, the best one first. Decision 0009.

Every read asks the replicas in an order that follows from their measured speed (`pace`) and their prices
(`reading_order`). A copy that is missing or wrong is noted, and the next replica asked. When an
answer is late the next replica is asked as well (a hedged read), and the first good answer counts: a slow replica costs
little, and one that hangs nothing. Later answers are dropped.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from farshore import limits
from farshore.clock import Clock
from farshore.config import Prefer
from farshore.errors import (
    BucketNotFound,
    Corrupt,
    Failure,
    FarshoreError,
    NotFound,
    ObjectNotFound,
    StoreDenied,
    StorePaused,
    StoreUnavailable,
    Unsupported,
)
from farshore.format import names
from farshore.model import DamagedObject
from farshore.replicas import DetachedThreads
from farshore.replicas.reading_order import ReadCandidate, order_candidates
from farshore.replicas.repository import Replica, Repository, whole_bytes_max

Mender = Callable[[Replica, str, str, str, bytes | None], None]  # replica, name, found, source, whole object
Answer = TypeVar("Answer")
Decoded = TypeVar("Decoded")


_NOT_ASKED = (StoreUnavailable, StorePaused, StoreDenied, BucketNotFound)  # nothing is known of what a replica holds


class HedgeBudget:
    """How many reads may be asked twice only to be quicker: a share of all, and a few to begin with. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = float(limits.HEDGE_BURST)

    def earn(self) -> None:
        """Count one read."""
        with self._lock:
            self._left = min(self._left + limits.HEDGE_SHARE_MAX, float(limits.HEDGE_BURST))

    def spend(self) -> bool:
        """Use one hedge request, if one is left."""
        with self._lock:
            if self._left < 1.0:
                return False
            self._left -= 1.0
            return True


@dataclass(slots=True)
class _Asked(Generic[Answer]):
    """One request under way. `late`: somebody else was asked, too. `dropped`: nobody waits for it any more."""

    replica: Replica
    size: int
    started_s: float
    answer: Answer | None = None
    error: BaseException | None = None
    done: bool = False
    late: bool = False
    dropped: bool = False


class ReplicaReader:
    """Reads objects of one repository. Safe from many threads.

    Args:
        replicas: Who may be asked, in the order of the configuration.
        listed: Those that list the snapshot that is read: they go first, and what they lack is damage. None: all.
        threads: For the requests; they are left alone where they hang.
        hedge: Whether a late answer is asked of another replica, too.
        damaged: Where findings go, by replica and name.
        unasked: Where the reason goes why a replica could not be asked; the first one of each stays.
        mender: Called with each object that is missing or wrong at one replica and was then read from another.
    """

    def __init__(
        self,
        *,
        replicas: Sequence[Replica],
        clock: Clock,
        threads: DetachedThreads,
        prefer: Prefer = Prefer.BALANCED,
        hedge: bool = True,
        listed: Collection[str] | None = None,
        damaged: dict[tuple[str, str], DamagedObject] | None = None,
        unasked: dict[str, FarshoreError] | None = None,
        mender: Mender | None = None,
    ) -> None:
        self.replicas = tuple(replicas)
        self._by_name = {one.name: one for one in replicas}
        self._clock = clock
        self._threads = threads
        self._prefer = prefer
        self._hedge = hedge
        self._listed = self._by_name.keys() if listed is None else set(listed)
        self._budget = HedgeBudget()
        self.mender = mender
        self._lock = threading.Lock()
        self.damaged = {} if damaged is None else damaged
        self.unasked = {} if unasked is None else unasked
        self.used: set[str] = set()
        self._silences: dict[str, FarshoreError] = {}  # of those in `unasked` that may still answer
        self.hedged = 0  # requests that were made because another one was late

    def among(self, chosen: Collection[str]) -> ReplicaReader:
        """Return a reader that asks only these replicas."""
        return ReplicaReader(
            replicas=[one for one in self.replicas if one.name in chosen],
            clock=self._clock,
            threads=self._threads,
            prefer=self._prefer,
            hedge=self._hedge,
            listed=self._listed,
            damaged=self.damaged,
            unasked=self.unasked,
            mender=self.mender,
        )

    def healthy(self) -> set[str]:
        """Return the replicas that answer, as far as is known."""
        now_s = self._clock.monotonic_s()
        return {one.name for one in self.replicas if one.pace.healthy(now_s)}

    def order(self, size: int) -> list[Replica]:
        """Return the replicas in the order in which a read of `size` bytes asks them now."""
        now_s = self._clock.monotonic_s()
        candidates = [
            ReadCandidate(
                name=one.name,
                time_s=one.pace.expected_s(size),
                money=one.price.of(size),
                listed=one.name in self._listed,
                healthy=one.pace.healthy(now_s),
            )
            for one in self.replicas
        ]
        return [self._by_name[name] for name in order_candidates(candidates, self._prefer)] if candidates else []

    def get(
        self,
        name: str,
        decode: Callable[[bytes], Decoded],
        *,
        size: int = 0,
        offset: int = 0,
        length: int | None = None,
    ) -> Decoded:
        """Return what `decode` makes of the first good copy of an object, or of a range of it.

        Args:
            decode: Raises Corrupt, NotFound or Unsupported for bytes that are not good, which are then damage.
            size: The bytes that are expected, for the order and the bounds.

        Raises:
            FarshoreError: No replica has a good copy: the first error that may pass, or the first.
        """
        whole = offset == 0 and length is None
        bytes_max = whole_bytes_max(name, size)

        def ask(replica: Replica) -> bytes:
            return replica.store.get(name, offset, length, bytes_max=bytes_max)

        return self._read(name, ask, decode, size, whole=whole)

    def ask(self, name: str, question: Callable[[Replica], Answer], *, size: int = 0) -> Answer:
        """Return the first good answer, where one replica needs more than one request to give it.

        Args:
            question: As `decode`; asked of two replicas at the same time where the first is late.
        """
        return self._read(name, question, lambda answer: answer, size)

    def _read(
        self,
        name: str,
        ask: Callable[[Replica], Answer],
        decode: Callable[[Answer], Decoded],
        size: int,
        *,
        whole: bool = False,
    ) -> Decoded:
        waiting = deque(self.order(size))
        if not waiting:
            raise ObjectNotFound(f"no replica can be asked for {name}")
        self._budget.earn()
        news = threading.Event()
        asked: list[_Asked[Answer]] = []
        errors: list[FarshoreError] = []
        bad: list[DamagedObject] = []
        try:
            while asked or waiting:
                if waiting and all(one.late for one in asked):
                    alone = not asked and len(waiting) == 1
                    asked.append(self._ask(waiting.popleft(), name, ask, size, news, alone=alone))
                self._await(asked[-1], waiting, news)
                for one in [one for one in asked if one.done]:
                    asked.remove(one)
                    try:
                        answer, value = self._judge(one, decode)
                        self._report_bad(bad, one.replica, answer if whole else None)
                        return value
                    except FarshoreError as error:
                        if one.error is None and not isinstance(error, (Corrupt, NotFound, Unsupported)):
                            raise  # trouble of ours, which no other copy would help
                        bad += self._note(one.replica, name, error)
                        errors.append(error)
            raise _most_useful(errors)
        finally:
            self._drop(asked)

    def _ask(
        self,
        replica: Replica,
        name: str,
        ask: Callable[[Replica], Answer],
        size: int,
        news: threading.Event,
        *,
        alone: bool,
    ) -> _Asked[Answer]:
        """Begin one request; in this thread where no other could be asked, or where no thread is left."""
        one: _Asked[Answer] = _Asked(replica, size, self._clock.monotonic_s())

        def work() -> None:
            try:
                one.answer = ask(replica)
            except Failure as error:
                one.error = error
                self._threads.first_bug.keep(error)  # or it would be lost where nobody waits for this answer
            except Exception as error:  # noqa: BLE001 - a closed store says this or that, when nobody listens any more
                one.error = ObjectNotFound(f"{replica.name} did not give {name}: {error}")
            except BaseException as error:  # noqa: BLE001 - raised by the thread that waits for it
                one.error = error
            self._arrived(one)
            news.set()

        if alone or not self._hedge or not self._threads.start(work):
            work()
        return one

    def _arrived(self, one: _Asked[Answer]) -> None:
        """Learn from an answer, also from one that nobody waits for; let go of its bytes then."""
        now_s = self._clock.monotonic_s()
        pace = one.replica.pace
        if one.error is None:
            pace.record(one.size, now_s - one.started_s)
        elif not isinstance(one.error, (Corrupt, NotFound)):
            pace.failed(now_s)
        with self._lock:
            one.done = True
            if one.error is None and one.replica.name in self._silences:
                del self._silences[one.replica.name]
                self.unasked.pop(one.replica.name, None)
            if one.dropped:
                one.answer = None
            late = one.late
        if late:
            pace.ended()

    def _await(self, last: _Asked[Answer], waiting: deque[Replica], news: threading.Event) -> None:
        """Wait until an answer is there, or the request that was made last is late and the next may be made."""
        pace = last.replica.pace
        bounds_s = [pace.late_s(last.size), pace.silent_s(last.size)] if waiting and not last.late else []
        for number, bound_s in enumerate(bounds_s):
            left_s = last.started_s + bound_s - self._clock.monotonic_s()
            if news.is_set() or self._clock.wait_s(max(left_s, 0.0), news):
                break
            if number == 1 or (not waiting[0].price.expensive and self._budget.spend()):
                self._overdue(last, silent=number == 1)
                return
        else:
            if not news.is_set():
                news.wait()  # the store's own time-outs end it
        news.clear()

    def _overdue(self, one: _Asked[Answer], *, silent: bool) -> None:
        """Mark a request as late, unless its answer arrived at this moment; note a replica that never answered."""
        with self._lock:
            if one.done:
                return
            one.late = True
            name = one.replica.name
            if silent and name not in self.used and name not in self.unasked:
                error = StoreUnavailable(f"{name} did not answer in time and was not waited for any longer")
                self.unasked[name] = self._silences[name] = error
            self.hedged += 1
        one.replica.pace.late(one.size, self._clock.monotonic_s() - one.started_s)

    def _judge(self, one: _Asked[Answer], decode: Callable[[Answer], Decoded]) -> tuple[Answer, Decoded]:
        if one.error is not None:
            raise one.error
        answer: Answer = one.answer  # type: ignore[assignment]  # one that is None is an answer, too
        one.answer = None
        value = decode(answer)
        with self._lock:
            self.used.add(one.replica.name)
        return answer, value

    def _report_bad(self, bad: Sequence[DamagedObject], source: Replica, answer: object) -> None:
        """Report bad copies to the mender, now that there is a good one."""
        if self.mender is None:
            return
        body = answer if isinstance(answer, bytes) and len(answer) <= limits.REPAIR_BODY_BYTES_MAX else None
        for one in bad:
            self.mender(self._by_name[one.replica], one.name, one.code, source.name, body)

    def _drop(self, asked: list[_Asked[Answer]]) -> None:
        with self._lock:
            for one in asked:
                one.dropped = True
                one.answer = None

    def _note(self, replica: Replica, name: str, error: FarshoreError) -> list[DamagedObject]:
        """Note what is wrong with a copy, and return it where it is missing or wrong.

        A missing object is damage only at a replica that lists the snapshot; index fragments are optional everywhere.
        """
        lacks = isinstance(error, NotFound) and not isinstance(error, _NOT_ASKED)
        if lacks and (replica.name not in self._listed or names.parse_fragment(name)):
            return []
        code = "missing" if lacks else "altered" if isinstance(error, Corrupt) else error.code
        found = DamagedObject(replica.name, name, code, error.message)
        with self._lock:
            self.damaged.setdefault((replica.name, name), found)
            if isinstance(error, _NOT_ASKED):
                self.unasked.setdefault(replica.name, error)
        return [found] if lacks or isinstance(error, Corrupt) else []


def open_reader(
    repository: Repository, *, listed: Collection[str] | None = None, only: Collection[str] | None = None
) -> ReplicaReader:
    """Return a reader of the replicas of a repository that can be reached.

    Args:
        listed: Replicas that list the snapshot that is read. None: all.
        only: Ask no others.
    """
    return ReplicaReader(
        replicas=[one for name, one in repository.replicas.items() if only is None or name in only],
        clock=repository.clock,
        threads=repository.threads,
        prefer=repository.prefer,
        hedge=repository.hedge,
        listed=listed,
        damaged=repository.damaged,
        unasked=repository.unasked,
    )


def _most_useful(errors: Sequence[FarshoreError]) -> FarshoreError:
    """Return the error to raise: one that may pass, because the copy behind it may be good; else the first."""
    return next((error for error in errors if error.retryable), errors[0])
