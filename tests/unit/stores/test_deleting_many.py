"""Deletions of many objects: what passes is asked for again, and a prune notes each failure by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from farshore import limits
from farshore.errors import FarshoreError, StoreDenied, StoreUnavailable
from farshore.ops.prune.sweep import Sweeper, SweepStopped
from farshore.replicas.repository import Replica
from farshore.stores.base import Capabilities, DeletionErrors, ObjectInfo, SeenObjects, Store
from farshore.stores.memory import MemoryStore
from farshore.stores.wrappers import WrappingStore
from farshore.stores.wrappers.metered import MeteredStore
from farshore.stores.wrappers.retrying import RetryingStore
from tests.doubles.clock import FixedClock

Refusal = Callable[[str, int], FarshoreError | None]


class Batching(WrappingStore):
    """A store with batches, some of whose objects are refused; `refuses` is asked with a name and the call's number."""

    def __init__(self, store: Store, refuses: Refusal) -> None:
        super().__init__(store)
        self.refuses = refuses
        self.calls: list[list[str]] = []

    @property
    def capabilities(self) -> Capabilities:
        return replace(self._store.capabilities, delete_batch=10)

    def delete_many(self, objects: SeenObjects) -> DeletionErrors:
        self.calls.append([name for name, _ in objects])
        errors = [self.refuses(name, len(self.calls)) for name, _ in objects]
        for (name, seen), error in zip(objects, errors, strict=True):
            if error is None:
                self._store.delete(name, seen)
        return errors


def opened(refuses: Refusal) -> tuple[Batching, list[ObjectInfo]]:
    store = Batching(MemoryStore(clock=FixedClock()), refuses)
    for number in range(25):
        store.put(f"runs/{number:064x}", b"bytes")
    return store, list(store.list())


def sweeper_of(store: Store) -> Sweeper:
    replica = Replica("a", "", store.url, store, MeteredStore(store))
    return Sweeper(replica, may_go_on=lambda: True, distinguishes=True, on_batch=lambda _: None)


def test_objects_whose_errors_pass_are_asked_for_again_alone() -> None:
    def refuses(name: str, call: int) -> FarshoreError | None:
        if name.endswith("3"):
            return StoreUnavailable("slow down") if call < 3 else None
        return StoreDenied("locked") if name.endswith("4") else None

    store, infos = opened(refuses)
    errors = RetryingStore(store, clock=FixedClock()).delete_many([(one.name, one.seen) for one in infos])
    assert [len(call) for call in store.calls] == [25, 2, 2]
    refused = {one.name for one, error in zip(infos, errors, strict=True) if error is not None}
    assert refused == {one.name for one in infos if one.name.endswith("4")}
    assert {one.name for one in store.list()} == refused


def test_what_never_passes_is_an_error_of_its_object() -> None:
    store, infos = opened(lambda name, _: StoreUnavailable("slow down") if name.endswith("1") else None)
    retrying = RetryingStore(store, clock=FixedClock(), attempts_max=4)
    errors = retrying.delete_many([(one.name, one.seen) for one in infos])
    assert len(store.calls) == 4
    assert [type(one) for one in errors if one is not None] == [StoreUnavailable] * 2


def test_a_prune_notes_what_is_refused_and_goes_on() -> None:
    store, infos = opened(lambda name, _: StoreDenied("locked") if name.endswith("4") else None)
    sweeper = sweeper_of(store)
    sweeper.delete(infos)
    assert len(store.calls) == 3
    assert sweeper.done.freed.objects == 23
    assert {name[-1] for name in sweeper.done.failed} == {"4"}
    assert not sweeper.done.unsure


def test_a_prune_stops_where_a_deletion_may_be_on_its_way() -> None:
    store, infos = opened(lambda name, _: StoreUnavailable("no answer") if name.endswith("4") else None)
    sweeper = sweeper_of(store)
    try:
        sweeper.delete(infos)
    except SweepStopped:
        assert sweeper.done.unsure
        return
    raise AssertionError("it went on")


def test_what_is_gone_when_it_is_looked_at_is_not_deleted_by_its_name() -> None:
    """It was put anew after the look, by a heal of a plan that another prune closed."""
    store, infos = opened(lambda *_: None)
    blind = [replace(one, seen="") for one in infos]
    for one in infos:
        store.delete(one.name, one.seen)

    def puts_anew() -> bool:
        for one in infos[:3]:
            store.put(one.name, b"put anew")
        return True

    sweeper = sweeper_of(store)
    sweeper._may_go_on = puts_anew  # noqa: SLF001 - the moment between the look and the deletion
    sweeper.delete(blind)
    assert {one.name for one in store.list()} == {one.name for one in infos[:3]}
    assert len(blind) < limits.PRUNE_BATCH
