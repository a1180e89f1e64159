"""Locks, holds and storage classes: what every store that has them does, and what the others say.

Here the S3 server and the memory store enforce locks for real. What stands for Cloud Storage and Azure is a double
under tests/doubles that keeps the rules of their documents; docs/stores/immutability.md says which evidence is which.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from farshore.clock import SystemClock
from farshore.errors import Bug, LockDenied, LockUnsupported, ObjectNotFound, StoreDenied, StoreReadOnly
from farshore.limits import MIB, MULTIPART_BYTES_MIN
from farshore.stores.base import ANY_OBJECT, PutOutcome, Store
from farshore.stores.memory import ARCHIVE_CLASS, MemoryStore, Shelf
from farshore.stores.object_retention import (
    DEFAULT_RETENTION,
    Access,
    Lock,
    LockMode,
    LockState,
    ObjectRetention,
    extend_or_find,
    lock_to_set,
)
from farshore.stores.probe_capability import HasProbeCapability
from farshore.stores.wrappers import ReadOnlyStore
from farshore.stores.wrappers.metered import MeteredStore
from farshore.stores.wrappers.retention import RetentionStore
from farshore.stores.wrappers.retrying import BreakerStore, RetryingStore
from farshore.stores.wrappers.throttled import ThrottledStore
from infra.local.seaweedfs import SeaweedServer
from tests.conftest import PlaceUrl
from tests.contract.conftest import OpenStore
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import FAIL, LOSE_REPLY, FaultyStore, at_random

LOCKING = ["memory", "s3", "retrying", "metered", "throttled", "breaker", "kept", "faulty", "retrying-faulty"]
GOVERNANCE, COMPLIANCE = LockMode.GOVERNANCE, LockMode.COMPLIANCE
OpenAny = Callable[[str], Store]
_NUMBERS = itertools.count(1)


def later(seconds: float) -> datetime:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)


@pytest.fixture
def open_locking(open_bare: OpenStore, s3_server: SeaweedServer) -> OpenAny:
    """A function that opens a store where objects can be locked, or a wrapper around one, by its name."""

    def flaky(memory: Store) -> Store:
        clock = FixedClock(seed=11)
        faulty = FaultyStore(memory, clock=clock, plan=at_random(clock, 0.3, (FAIL, LOSE_REPLY)))
        return RetryingStore(faulty, clock=clock, attempts_max=30)

    wrappers: dict[str, Callable[[Store], Store]] = {
        "memory": lambda memory: memory,
        "retrying": lambda memory: RetryingStore(memory, clock=FixedClock()),
        "metered": MeteredStore,
        "throttled": lambda memory: ThrottledStore(memory, clock=FixedClock(), up_bytes_per_s=1 << 30),
        "breaker": lambda memory: BreakerStore(memory, clock=FixedClock()),
        "kept": lambda memory: RetentionStore(memory, lambda _: DEFAULT_RETENTION),
        "faulty": lambda memory: FaultyStore(memory, clock=FixedClock()),
        "retrying-faulty": flaky,
    }

    def make(kind: str) -> Store:
        if kind == "s3":
            return open_bare("s3", locked_place(s3_server))
        return wrappers[kind](MemoryStore(shelf=Shelf(), clock=SystemClock()))

    return make


def locked_place(server: SeaweedServer) -> PlaceUrl:
    """A new prefix of a bucket with locks, which is made at first use."""
    number = next(_NUMBERS)
    if number == 1:
        server.create_locked_bucket("locked")
    url = server.url("locked", f"place-{number}")
    return PlaceUrl(url=url, endpoint=server.address, credentials=dict(server.credentials))


@pytest.fixture(params=LOCKING)
def store(request: pytest.FixtureRequest, open_locking: OpenAny) -> Store:
    return open_locking(str(request.param))


@pytest.mark.parametrize("mode", LockMode)
def test_a_lock_comes_with_the_put_and_keeps_the_object(store: Store, mode: LockMode) -> None:
    lock = Lock(mode, later(3600))
    store.put("packs/locked", b"bytes", ObjectRetention(lock))
    assert store.lock_state("packs/locked") == LockState(lock)
    assert store.get("packs/locked") == b"bytes"
    assert mode in store.capabilities.lock_modes


def test_a_lock_is_extended_and_never_shortened(store: Store) -> None:
    first = Lock(GOVERNANCE, later(3600))
    store.put("one", b"1", ObjectRetention(first))
    assert store.extend_lock("one", first) == first
    longer = Lock(GOVERNANCE, later(7200))
    assert store.extend_lock("one", longer) == longer
    assert store.extend_lock("one", first) == longer
    assert store.lock_state("one").lock == longer


def test_a_lock_is_never_made_less_strict(store: Store) -> None:
    store.put("one", b"1", ObjectRetention(Lock(COMPLIANCE, later(3600))))
    longer = later(7200)
    assert store.extend_lock("one", Lock(GOVERNANCE, longer)) == Lock(COMPLIANCE, longer)
    assert store.lock_state("one").lock == Lock(COMPLIANCE, longer)


def test_an_object_without_a_lock_gets_one(store: Store) -> None:
    store.put("one", b"1")
    assert store.lock_state("one") == LockState()
    lock = Lock(COMPLIANCE, later(3600))
    assert store.extend_lock("one", lock) == lock
    assert store.lock_state("one").lock == lock


def test_a_put_that_finds_its_object_extends_the_lock(store: Store) -> None:
    """Else a retry, or a second writer, would believe that an object is held for longer than it is."""
    store.put("one", b"1", ObjectRetention(Lock(GOVERNANCE, later(3600))))
    longer = Lock(GOVERNANCE, later(7200))
    assert store.put("one", b"1", ObjectRetention(longer)) is PutOutcome.PRESENT
    assert store.lock_state("one").lock == longer


def test_a_legal_hold_comes_and_goes(store: Store) -> None:
    store.put("one", b"1", ObjectRetention(Lock(GOVERNANCE, later(3600))))
    for held in (True, True, False, False):
        store.set_hold("one", held=held)
        assert store.lock_state("one").held is held


def test_what_is_not_there_is_not_found(store: Store) -> None:
    uses: list[Callable[[], object]] = [
        lambda: store.lock_state("missing"),
        lambda: store.extend_lock("missing", Lock(GOVERNANCE, later(3600))),
        lambda: store.warm("missing", days=1),
    ]
    if store.capabilities.kind != "s3":  # the S3 server answers a hold on nothing with an internal error
        uses.append(lambda: store.set_hold("missing", held=True))
    for use in uses:
        with pytest.raises(ObjectNotFound):
            use()


def test_an_object_that_can_be_read_needs_no_warming(store: Store) -> None:
    store.put("one", b"1")
    store.warm("one", days=1)
    assert store.head("one").access is Access.READY
    assert store.get("one") == b"1"


@pytest.mark.parametrize("source", ["s3"])
def test_a_large_object_in_parts_is_locked_too(source: str, open_locking: OpenAny) -> None:
    store = open_locking(source)
    lock = Lock(GOVERNANCE, later(3600))
    body = bytes(MULTIPART_BYTES_MIN + MIB)
    assert store.put("large", body, ObjectRetention(lock)) is PutOutcome.CREATED
    assert store.lock_state("large").lock == lock
    longer = Lock(GOVERNANCE, later(7200))
    assert store.put("large", body, ObjectRetention(longer)) is PutOutcome.PRESENT
    assert store.lock_state("large").lock == longer


def test_a_strict_lock_of_s3_holds_against_whoever_may_lift_others_and_really_ends(open_locking: OpenAny) -> None:
    store = open_locking("s3")
    assert isinstance(store, HasProbeCapability)
    capability = store.probe_capability()
    store.put("strict", b"1", ObjectRetention(Lock(COMPLIANCE, later(3600))))
    store.put("lifted", b"1", ObjectRetention(Lock(GOVERNANCE, later(3600))))
    store.put("short", b"1", ObjectRetention(Lock(COMPLIANCE, later(3))))
    for name, bypass in (("strict", True), ("strict", False), ("lifted", False), ("short", True)):
        with pytest.raises(StoreDenied):
            capability.erase(name, bypass=bypass)
    capability.erase("lifted", bypass=True)
    SystemClock().wait_s(4)
    capability.erase("short")
    assert [info.name for info in store.list()] == ["strict"]


# --- memory -----------------------------------------------------------------------------------------------------------


def test_the_memory_store_keeps_what_is_locked_until_its_time() -> None:
    clock = FixedClock()
    store = MemoryStore(clock=clock)
    store.put("one", b"1", ObjectRetention(Lock(COMPLIANCE, clock.now_utc() + timedelta(seconds=10))))
    with pytest.raises(StoreDenied, match="locked until"):
        store.delete("one", ANY_OBJECT)
    clock.advance(11)
    store.set_hold("one", held=True)
    with pytest.raises(StoreDenied, match="legal hold"):
        store.delete("one", ANY_OBJECT)
    store.set_hold("one", held=False)
    store.delete("one", ANY_OBJECT)
    with pytest.raises(ObjectNotFound):
        store.head("one")


# --- stores that cannot lock ------------------------------------------------------------------------------------------


def test_a_directory_says_that_it_cannot_lock(open_bare: OpenStore) -> None:
    store = open_bare("directory")
    assert store.capabilities.lock_modes == frozenset()
    store.put("one", b"1", ObjectRetention(storage_class="GLACIER"))  # a directory has no classes to choose from
    for use in (
        lambda: store.put("two", b"2", ObjectRetention(Lock(GOVERNANCE, later(3600)))),
        lambda: store.extend_lock("one", Lock(GOVERNANCE, later(3600))),
        lambda: store.set_hold("one", held=True),
    ):
        with pytest.raises(LockUnsupported):
            use()
    assert store.lock_state("one") == LockState()
    assert [info.name for info in store.list()] == ["one"]


def test_a_bucket_without_locks_says_so_and_keeps_nothing(open_bare: OpenStore) -> None:
    store = open_bare("s3")
    with pytest.raises(LockUnsupported):
        store.put("one", b"1", ObjectRetention(Lock(GOVERNANCE, later(3600))))
    assert list(store.list()) == []
    store.put("one", b"1")
    with pytest.raises(LockUnsupported):
        store.extend_lock("one", Lock(GOVERNANCE, later(3600)))


def test_a_read_only_store_locks_nothing(open_locking: OpenAny) -> None:
    inner = open_locking("memory")
    inner.put("one", b"1")
    store = ReadOnlyStore(inner)
    for use in (
        lambda: store.put("two", b"", ObjectRetention(Lock(GOVERNANCE, later(60)))),
        lambda: store.extend_lock("one", Lock(GOVERNANCE, later(60))),
        lambda: store.set_hold("one", held=True),
        lambda: store.warm("one", days=1),
    ):
        with pytest.raises(StoreReadOnly):
            use()
    assert store.lock_state("one") == LockState()


def test_illegal_names_are_a_bug(store: Store) -> None:
    for use in (
        lambda: store.lock_state("../a"),
        lambda: store.extend_lock("../a", Lock(GOVERNANCE, later(60))),
        lambda: store.set_hold("../a", held=True),
        lambda: store.warm("../a", days=1),
    ):
        with pytest.raises(Bug):
            use()


def test_a_kept_store_answers_what_a_put_does_not_say(open_locking: OpenAny) -> None:
    inner = open_locking("memory")
    lock, other = Lock(GOVERNANCE, later(3600)), Lock(COMPLIANCE, later(60))
    store = RetentionStore(
        inner, lambda name: ObjectRetention(lock, "COLD") if name.startswith("packs/") else DEFAULT_RETENTION
    )
    store.put("packs/one", b"1")
    store.put("packs/two", b"2", ObjectRetention(other))
    store.put("lease", b"3")
    assert [inner.lock_state(name).lock for name in ("packs/one", "packs/two", "lease")] == [lock, other, None]
    assert [inner.head(name).storage_class for name in ("packs/one", "packs/two", "lease")] == ["COLD", "", ""]


# --- what has to be set -----------------------------------------------------------------------------------------------

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("found", "wanted", "needed"),
    [
        (None, (GOVERNANCE, 10), (GOVERNANCE, 10)),
        ((GOVERNANCE, 10), (GOVERNANCE, 10), None),
        ((GOVERNANCE, 20), (GOVERNANCE, 10), None),
        ((GOVERNANCE, 9.5), (GOVERNANCE, 10), None),  # less than the step of a second
        ((GOVERNANCE, 9), (GOVERNANCE, 10), (GOVERNANCE, 10)),
        ((COMPLIANCE, 5), (GOVERNANCE, 10), (COMPLIANCE, 10)),
        ((COMPLIANCE, 20), (GOVERNANCE, 10), None),
        ((GOVERNANCE, 20), (COMPLIANCE, 10), (COMPLIANCE, 20)),
    ],
)
def test_what_has_to_be_set_is_never_less_than_what_is_there(
    found: tuple[LockMode, float] | None, wanted: tuple[LockMode, float], needed: tuple[LockMode, float] | None
) -> None:
    def lock(pair: tuple[LockMode, float] | None) -> Lock | None:
        return None if pair is None else Lock(pair[0], NOON + timedelta(seconds=pair[1]))

    asked = lock(wanted)
    assert asked is not None
    assert lock_to_set(lock(found), asked, 1.0) == lock(needed)


def test_a_refusal_stays_one_when_what_is_there_is_not_enough() -> None:
    def refuse(_: Lock) -> None:
        raise LockDenied("no")

    short, wanted = Lock(GOVERNANCE, NOON), Lock(GOVERNANCE, NOON + timedelta(days=1))
    with pytest.raises(LockDenied):
        extend_or_find(wanted, apply=refuse, find=lambda: short, step_s=1.0)
    with pytest.raises(LockDenied):
        extend_or_find(wanted, apply=refuse, find=lambda: None, step_s=1.0)
    assert extend_or_find(short, apply=refuse, find=lambda: wanted, step_s=1.0) == wanted


def test_an_archived_object_is_warmed_and_gets_cold_again() -> None:
    clock = FixedClock()
    store = MemoryStore(clock=clock)
    store.put("one", b"1", ObjectRetention(storage_class=ARCHIVE_CLASS))
    assert store.head("one").storage_class == ARCHIVE_CLASS
    seen = []
    for wait_s in (0, 3601, 2 * 86400):
        clock.advance(wait_s)
        seen.append(store.head("one").access)
        store.warm("one", days=1)
        seen.append(store.head("one").access)
    assert seen == ["archived", "warming", "ready", "ready", "archived", "warming"]
