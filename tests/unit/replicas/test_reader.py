"""Reads over three replicas that are slow, hang, fail or hold wrong bytes; time passes only when a test says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from farshore import limits
from farshore.config import Prefer
from farshore.errors import ObjectCorrupt, ObjectNotFound, StoreDenied, StoreUnavailable, TargetFailed
from farshore.replicas import DetachedThreads
from farshore.replicas.reader import ReplicaReader
from farshore.replicas.reading_order import ReadPrice
from farshore.replicas.repository import Replica
from farshore.stores.base import Store
from farshore.stores.memory import MemoryStore
from farshore.stores.wrappers.metered import MeteredStore
from tests.doubles.faulty import CORRUPT, DENY, FAIL, TRUNCATE, Fault, FaultKind, FaultyStore
from tests.unit.replicas.clocks import StillClock

GOOD = bytes(range(256)) * 40
NAME = "packs/aa/one"
EXPENSIVE = ReadPrice(0.09 / limits.GIB)


@dataclass
class Shores:
    """Replicas a, b and c with the same object; `faults` says what each of them does wrong at every get."""

    clock: StillClock = field(default_factory=StillClock)
    faults: dict[str, Fault] = field(default_factory=dict)
    prices: dict[str, ReadPrice] = field(default_factory=dict)
    release: threading.Event = field(default_factory=threading.Event)
    threads: DetachedThreads = field(default_factory=lambda: DetachedThreads(limits.READS_AT_ONCE_MAX, "read"))

    def __post_init__(self) -> None:
        self.stores: dict[str, FaultyStore] = {}
        self.replicas: list[Replica] = []
        self.pool = ThreadPoolExecutor(8)

    def open(self, **options: object) -> ReplicaReader:
        for name in "abc":
            memory = MemoryStore(clock=self.clock)
            memory.put(NAME, GOOD)
            self.stores[name] = FaultyStore(memory, clock=self.clock, plan=self._plan(name))
            store: Store = self.stores[name]
            price = self.prices.get(name, ReadPrice())
            self.replicas.append(Replica(name, "", store.url, store, MeteredStore(store), price=price))
        return ReplicaReader(replicas=self.replicas, clock=self.clock, threads=self.threads, **options)  # type: ignore[arg-type]

    def _plan(self, name: str) -> Callable[[str, str, int], Fault | None]:
        return lambda verb, _name, _number: self.faults.get(name) if verb == "get" else None

    @property
    def hang(self) -> Fault:
        return Fault(FaultKind.HANG, until=self.release)

    def asked(self) -> str:
        """Who was asked for the object, one letter a request."""
        return "".join(
            name
            for name, store in self.stores.items()
            for call in store.calls
            if (call.verb, call.name) == ("get", NAME)
        )

    def read(self, reader: ReplicaReader) -> Future[bytes]:
        return self.pool.submit(reader.get, NAME, checked, size=len(GOOD))

    def let_it_be_late(self, waiting: int = 1) -> None:
        """Wait until so many readers wait for an answer, then end their patience."""
        for _ in range(2000):
            if self.clock.waiting >= waiting:
                break
            time.sleep(0.005)
        assert self.clock.waiting >= waiting
        self.clock.ring()


@pytest.fixture
def shores() -> Iterator[Shores]:
    shores = Shores()
    yield shores
    shores.release.set()
    shores.threads.close()
    shores.pool.shutdown()


def checked(data: bytes) -> bytes:
    if data != GOOD:
        raise ObjectCorrupt("not what it should be")
    return data


def test_the_first_is_asked_and_nobody_else(shores: Shores) -> None:
    reader = shores.open()
    assert shores.read(reader).result() == GOOD
    assert (shores.asked(), reader.used, reader.damaged, reader.hedged) == ("a", {"a"}, {}, 0)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (CORRUPT, "altered"),
        (TRUNCATE, "altered"),
        (Fault(FaultKind.FAIL, ObjectNotFound), "missing"),
        (Fault(FaultKind.FAIL, ObjectCorrupt), "altered"),
        (FAIL, "store-unavailable"),
        (DENY, "store-denied"),
    ],
)
def test_a_copy_that_is_not_good_is_noted_and_the_next_one_read(shores: Shores, fault: Fault, code: str) -> None:
    shores.faults = {"a": fault, "b": fault}
    reader = shores.open()
    assert shores.read(reader).result() == GOOD
    assert (shores.asked(), reader.used) == ("abc", {"c"})
    assert {where: one.code for where, one in reader.damaged.items()} == {("a", NAME): code, ("b", NAME): code}


def test_who_failed_is_asked_last_for_a_while(shores: Shores) -> None:
    shores.faults = {"a": FAIL}
    reader = shores.open()
    shores.read(reader).result()
    shores.faults = {}
    shores.read(reader).result()
    assert shores.asked() == "abb"
    shores.clock.advance(60)
    shores.read(reader).result()
    assert shores.asked() == "aabb"


def test_what_a_replica_lacks_that_does_not_list_the_snapshot_is_no_damage(shores: Shores) -> None:
    shores.faults = dict.fromkeys("abc", Fault(FaultKind.FAIL, ObjectNotFound))
    reader = shores.open(listed=["b"])
    with pytest.raises(ObjectNotFound):
        shores.read(reader).result()
    assert [where for where, _ in reader.damaged] == ["b"]
    assert reader.order(0)[0].name == "b"


def test_when_none_is_good_the_error_that_may_pass_is_reported_first(shores: Shores) -> None:
    """A copy that is out of reach may be the good one, so a retry makes sense."""
    shores.faults = {"a": CORRUPT, "b": FAIL, "c": Fault(FaultKind.FAIL, ObjectNotFound)}
    with pytest.raises(StoreUnavailable):
        shores.read(shores.open()).result()


def test_trouble_that_is_not_of_the_copy_is_raised_at_once(shores: Shores) -> None:
    def full(_: bytes) -> bytes:
        raise TargetFailed("no space is left")

    reader = shores.open()
    with pytest.raises(TargetFailed):
        reader.get(NAME, full)
    assert (shores.asked(), reader.damaged) == ("a", {})


def test_a_late_answer_is_asked_of_the_next_and_the_first_good_one_taken(shores: Shores) -> None:
    shores.faults = {"a": shores.hang}
    reader = shores.open()
    answer = shores.read(reader)
    shores.let_it_be_late()
    assert answer.result(30) == GOOD
    assert (shores.asked(), reader.used, reader.damaged, reader.hedged) == ("ab", {"b"}, {}, 1)


def test_a_late_answer_that_comes_after_all_is_as_good(shores: Shores) -> None:
    """Both are under way, the first one answers: it is taken, and nobody waits for the other."""
    second = threading.Event()
    shores.faults = {"a": shores.hang, "b": Fault(FaultKind.HANG, until=second)}
    reader = shores.open()
    answer = shores.read(reader)
    shores.let_it_be_late()
    shores.release.set()
    assert answer.result(30) == GOOD
    assert reader.used == {"a"}
    second.set()


def test_a_hedge_that_brings_wrong_bytes_is_no_answer(shores: Shores) -> None:
    shores.faults = {"a": shores.hang, "b": CORRUPT}
    reader = shores.open()
    answer = shores.read(reader)
    shores.let_it_be_late()
    assert answer.result(30) == GOOD
    assert reader.used == {"c"}
    assert [where for where, _ in reader.damaged] == ["b"]


def test_a_replica_that_hangs_holds_up_one_read_and_not_those_after_it(shores: Shores) -> None:
    shores.faults = {"a": shores.hang}
    reader = shores.open()
    answer = shores.read(reader)
    shores.let_it_be_late()
    answer.result(30)
    for _ in range(50):  # nobody's patience ends here: the replica is not asked at all
        assert shores.read(reader).result(30) == GOOD
    assert shores.asked().count("a") == 1


def test_two_of_three_that_hang_are_done_without(shores: Shores) -> None:
    shores.faults = {"a": shores.hang, "b": shores.hang}
    reader = shores.open()
    answer = shores.read(reader)
    shores.let_it_be_late()
    shores.let_it_be_late()
    assert answer.result(30) == GOOD
    assert reader.used == {"c"}


def test_hedges_are_a_small_share_of_all_reads(shores: Shores) -> None:
    """Each of many reads is late for a moment; only so many are asked twice before their replica is silent."""
    reader = shores.open()
    for _ in range(limits.HEDGE_BURST + 3):
        gate = threading.Event()
        shores.faults = {"a": Fault(FaultKind.HANG, until=gate), "b": shores.hang, "c": shores.hang}
        answer = shores.read(reader)
        shores.let_it_be_late()
        gate.set()
        assert answer.result(30) == GOOD
    assert reader.hedged == limits.HEDGE_BURST


def test_where_egress_is_dear_only_silence_is_a_reason_to_ask_twice(shores: Shores) -> None:
    shores.prices = dict.fromkeys("abc", EXPENSIVE)
    shores.faults = {"a": shores.hang}
    reader = shores.open()
    answer = shores.read(reader)
    shores.let_it_be_late()  # late, and not silent yet
    assert shores.asked() == "a"
    shores.let_it_be_late()
    assert answer.result(30) == GOOD
    assert shores.asked() == "ab"


def test_without_hedging_a_slow_answer_is_waited_for(shores: Shores) -> None:
    shores.faults = {"a": shores.hang}
    reader = shores.open(hedge=False)
    answer = shores.read(reader)
    shores.clock.ring()
    shores.release.set()
    assert answer.result(30) == GOOD
    assert shores.asked() == "a"


def test_the_cheapest_and_the_fastest_are_asked_first_where_that_is_wished(shores: Shores) -> None:
    shores.prices = {"a": EXPENSIVE, "b": EXPENSIVE}
    reader = shores.open(prefer=Prefer.CHEAPEST)
    assert reader.order(len(GOOD))[0].name == "c"
    for replica, seconds in zip(shores.replicas, (3.0, 0.1, 3.0), strict=True):
        for _ in range(5):
            replica.pace.record(1 << 20, seconds)
    reader = ReplicaReader(replicas=shores.replicas, clock=shores.clock, threads=shores.threads, prefer=Prefer.FASTEST)
    assert [one.name for one in reader.order(1 << 20)] == ["b", "c", "a"]


def test_a_store_that_was_closed_under_a_dropped_request_disturbs_nobody(shores: Shores) -> None:
    class Closed(Exception):
        """What an SDK may raise."""

    entered = threading.Event()

    def question(replica: Replica) -> str:
        if replica.name == "a":
            entered.set()
            shores.release.wait()
            raise Closed
        return replica.name

    reader = shores.open()
    answer = shores.pool.submit(reader.ask, NAME, question)
    assert entered.wait(30)
    shores.let_it_be_late()
    assert answer.result(30) == "b"
    shores.release.set()


def test_nothing_to_ask_is_reported() -> None:
    shores = Shores()
    with pytest.raises(ObjectNotFound):
        shores.open().among([]).get(NAME, checked)


def test_denied_everywhere_is_denied(shores: Shores) -> None:
    shores.faults = dict.fromkeys("abc", DENY)
    with pytest.raises(StoreDenied):
        shores.read(shores.open()).result()


@pytest.mark.parametrize("beside", [True, False], ids=["in-a-thread", "in-the-caller"])
def test_what_ends_a_thread_ends_the_wait(shores: Shores, *, beside: bool) -> None:
    reader = shores.open(hedge=beside)

    def ask(_: Replica) -> bytes:
        raise SystemExit

    reading = shores.pool.submit(reader.ask, NAME, ask)
    assert type(reading.exception(30)) is SystemExit
