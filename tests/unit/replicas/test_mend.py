"""What may be removed to be mended, and what not: decision 0008."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from farshore import limits
from farshore.errors import ObjectCorrupt, StateUnknown, StoreUnavailable
from farshore.replicas import mend as mending
from farshore.replicas.mend import mend
from farshore.replicas.repository import Replica
from farshore.results import Found, RepairAction
from farshore.stores.base import ANY_OBJECT, ObjectInfo, Store
from farshore.stores.memory import MemoryStore
from farshore.stores.object_retention import Lock, LockMode
from farshore.stores.wrappers import WrappingStore
from farshore.stores.wrappers.metered import MeteredStore
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import (
    CORRUPT,
    DENY,
    FAIL,
    FULL,
    LOSE_REPLY,
    TRUNCATE,
    VANISH,
    Fault,
    FaultyStore,
    Plan,
    no_faults,
    queued,
)

NAME = "packs/aa/one"
GOOD = random.Random(1).randbytes(100_000)
DIGEST = blake3(GOOD).hexdigest()


class SwappingStore(WrappingStore):
    """Puts another object under a name just before it is deleted, or reports another size of it."""

    def __init__(self, store: Store, *, put_before_delete: bytes = b"", size: int = 0) -> None:
        super().__init__(store)
        self._other, self._size = put_before_delete, size
        self.read: list[int] = []

    def get(self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = 1 << 40) -> bytes:
        found = self._store.get(name, offset, length, bytes_max=bytes_max)
        self.read.append(len(found))
        return found

    def head(self, name: str) -> ObjectInfo:
        info = self._store.head(name)
        return replace(info, size=self._size) if self._size else info

    def delete(self, name: str, seen: str) -> None:
        if self._other:
            self._store.delete(name, ANY_OBJECT)
            self._store.put(name, self._other)
            self._other = b""
        self._store.delete(name, seen)


class Place:
    """One replica in memory, with the faults of a plan, and every call that was made."""

    def __init__(self, there: bytes | None) -> None:
        self.clock = FixedClock()
        self.bare = MemoryStore(clock=self.clock)
        if there is not None:
            self.bare.put(NAME, there)
        self.store: Any = FaultyStore(self.bare, clock=self.clock)

    def made(self) -> Replica:
        return Replica("vault", "", self.bare.url, self.store, MeteredStore(self.store))

    def replica(self, plan: Plan | None = None) -> Replica:
        if plan is not None:
            self.store = FaultyStore(self.bare, clock=self.clock, plan=plan)
        return self.made()

    @property
    def verbs(self) -> list[str]:
        return [call.verb for call in self.store.calls]


def test_a_sound_object_is_left_alone() -> None:
    place = Place(GOOD)
    mended = mend(place.replica(), NAME, GOOD, blake3_hex=DIGEST)
    assert (mended.found, mended.action, mended.whole) == (Found.SOUND, RepairAction.NONE, True)
    assert not {"put", "delete"} & set(place.verbs)


def test_a_missing_object_is_put_and_nothing_is_removed() -> None:
    place = Place(None)
    mended = mend(place.replica(), NAME, GOOD, blake3_hex=DIGEST)
    assert (mended.found, mended.action, mended.bytes) == (Found.MISSING, RepairAction.COPIED, len(GOOD))
    assert place.bare.get(NAME) == GOOD
    assert "delete" not in place.verbs


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda data: data[:-1], Found.TRUNCATED),
        (lambda data: data[:0], Found.TRUNCATED),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), Found.ALTERED),
        (lambda data: data + b"!", Found.ALTERED),
    ],
    ids=["shorter", "empty", "one bit", "longer"],
)
def test_a_damaged_object_is_replaced_by_a_good_one(damage: Callable[[bytes], bytes], found: Found) -> None:
    place = Place(damage(GOOD))
    mended = mend(place.replica(), NAME, GOOD, blake3_hex=DIGEST)
    assert (mended.found, mended.action, mended.whole) == (found, RepairAction.REPLACED, True)
    longer = len(damage(GOOD)) > len(GOOD)
    assert mended.blake3_found == ("" if longer else blake3(damage(GOOD)).hexdigest())
    assert place.bare.get(NAME) == GOOD
    assert mend(place.replica(), NAME, GOOD, blake3_hex=DIGEST).action is RepairAction.NONE


def test_of_a_much_longer_object_two_bytes_are_read() -> None:
    place = Place(GOOD + bytes(50 * len(GOOD)))
    place.store = SwappingStore(place.bare)
    mended = mend(place.made(), NAME, GOOD, blake3_hex=DIGEST)
    assert (mended.found, mended.action) == (Found.ALTERED, RepairAction.REPLACED)
    assert place.store.read == [1, 1, len(GOOD)], "and what was put, once"
    assert place.bare.get(NAME) == GOOD


def test_a_size_that_is_no_size_removes_nothing() -> None:
    """A listing that says too much is no proof: the object is read."""
    place = Place(GOOD)
    place.store = SwappingStore(place.bare, size=len(GOOD) + 10)
    with pytest.raises(StoreUnavailable):
        mend(place.made(), NAME, GOOD, blake3_hex=DIGEST)
    assert place.bare.get(NAME) == GOOD


@pytest.mark.parametrize("other", [GOOD, GOOD[1:] + b"?"], ids=["good", "bad"])
def test_what_was_put_since_it_was_read_stays(other: bytes) -> None:
    """Another heal replaces the damaged object just before the removal."""
    place = Place(GOOD[:-1])
    place.store = SwappingStore(place.bare, put_before_delete=other)
    mended = mend(place.made(), NAME, GOOD, blake3_hex=DIGEST)
    assert place.bare.get(NAME) == other
    assert mended.whole is (other == GOOD)


def test_a_mutant_that_deletes_whatever_is_there_removes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(GOOD[:-1])
    place.store = SwappingStore(place.bare, put_before_delete=GOOD[1:] + b"?")
    monkeypatch.setattr(mending, "_delete", lambda store, name, _: store.delete(name, ANY_OBJECT))
    mend(place.made(), NAME, GOOD, blake3_hex=DIGEST)
    assert place.bare.get(NAME) == GOOD


def test_a_body_may_be_a_file(tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(GOOD)
    place = Place(GOOD[:-1])
    assert mend(place.replica(), NAME, body, blake3_hex=DIGEST).action is RepairAction.REPLACED
    assert place.bare.get(NAME) == GOOD


def test_nothing_is_asked_of_the_replica_when_the_good_copy_is_not_good() -> None:
    place = Place(GOOD[:-1])
    with pytest.raises(ObjectCorrupt):
        mend(place.replica(), NAME, GOOD[1:], blake3_hex=DIGEST)
    assert place.verbs == []


def test_a_damaged_object_that_may_not_be_removed_is_left() -> None:
    place = Place(GOOD[:-1])
    mended = mend(place.replica(), NAME, GOOD, blake3_hex=DIGEST, remove=False)
    assert (mended.found, mended.action, mended.whole) == (Found.TRUNCATED, RepairAction.LEFT, False)
    assert "delete" not in place.verbs


def test_a_replica_that_refuses_the_removal_keeps_what_it_has() -> None:
    place = Place(GOOD[:-1])
    mended = mend(place.replica(queued({"delete": [DENY]})), NAME, GOOD, blake3_hex=DIGEST)
    assert (mended.action, mended.error and mended.error.code) == (RepairAction.REFUSED, "store-denied")
    assert place.bare.get(NAME) == GOOD[:-1]


@pytest.mark.parametrize("held", [False, True], ids=["locked", "held"])
def test_a_locked_object_is_not_even_tried(held: bool) -> None:
    """A bucket with versions would hide it and say that it is done."""
    place = Place(GOOD[:-1])
    if held:
        place.bare.set_hold(NAME, held=True)
    else:
        place.bare.extend_lock(NAME, Lock(LockMode.GOVERNANCE, place.clock.now_utc() + timedelta(days=1)))
    mended = mend(place.replica(), NAME, GOOD, blake3_hex=DIGEST)
    assert mended.action is RepairAction.REFUSED
    assert "delete" not in place.verbs
    if not held:
        place.clock.advance(86_401)
        assert mend(place.replica(), NAME, GOOD, blake3_hex=DIGEST).action is RepairAction.REPLACED


@pytest.mark.parametrize("lie", [CORRUPT, TRUNCATE, FAIL], ids=lambda fault: fault.kind)
@pytest.mark.parametrize("which", [0, 1], ids=["first read", "second read"])
def test_a_read_that_lies_or_fails_removes_nothing(lie: Fault, which: int) -> None:
    """The object is good; one of the two reads is not."""
    place = Place(GOOD)
    reads: list[Fault | None] = [None, None]
    reads[which] = lie
    plan = queued({"get": reads})
    try:
        mended = mend(place.replica(plan), NAME, GOOD, blake3_hex=DIGEST)
    except StoreUnavailable:
        pass
    else:
        assert mended.action is RepairAction.NONE
    assert "delete" not in place.verbs
    assert place.bare.get(NAME) == GOOD


def test_an_object_that_cannot_be_read_is_not_proven_damaged() -> None:
    place = Place(GOOD[:-1])
    with pytest.raises(StoreUnavailable):
        mend(place.replica(queued({"get": [FAIL]})), NAME, GOOD, blake3_hex=DIGEST)
    assert place.bare.get(NAME) == GOOD[:-1]


@pytest.mark.parametrize("fault", [FAIL, FULL, VANISH, CORRUPT], ids=["failed", "full", "vanished", "corrupt"])
def test_a_removed_object_that_is_not_put_is_reported_and_the_next_time_mended(fault: Fault) -> None:
    place = Place(GOOD[:-1])
    mended = mend(place.replica(queued({"put": [fault]})), NAME, GOOD, blake3_hex=DIGEST)
    assert (mended.action, mended.whole) == (RepairAction.REMOVED, False)
    again = mend(place.replica(no_faults), NAME, GOOD, blake3_hex=DIGEST)
    assert again.whole
    assert place.bare.get(NAME) == GOOD


def test_a_removal_whose_reply_is_lost_is_reported_and_the_next_time_mended() -> None:
    place = Place(GOOD[:-1])
    mended = mend(place.replica(queued({"delete": [LOSE_REPLY]})), NAME, GOOD, blake3_hex=DIGEST)
    assert (mended.action, mended.whole) == (RepairAction.LEFT, False)
    assert mend(place.replica(no_faults), NAME, GOOD, blake3_hex=DIGEST).action is RepairAction.COPIED


def test_a_put_that_keeps_nothing_is_noticed() -> None:
    place = Place(None)
    with pytest.raises(StateUnknown):
        mend(place.replica(queued({"put": [VANISH]})), NAME, GOOD, blake3_hex=DIGEST)


def test_an_object_larger_than_one_read_is_read_to_its_end() -> None:
    good = GOOD * (limits.OBJECT_PIECE_BYTES // len(GOOD) + 2)
    place = Place(good[:-1] + bytes([good[-1] ^ 1]))
    mended = mend(place.replica(), NAME, good, blake3_hex=blake3(good).hexdigest())
    assert (mended.found, mended.action) == (Found.ALTERED, RepairAction.REPLACED)
    assert place.bare.get(NAME) == good
    assert place.verbs.count("get") == 3 * 2  # two reads of the damage, one of what was put
