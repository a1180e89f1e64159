"""Every wrapper forwards every verb of the contract, with every argument, to the store inside."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

import pytest

from farshore.errors import StoreReadOnly
from farshore.stores import wrappers
from farshore.stores.base import PutOutcome, Store
from farshore.stores.object_retention import ObjectRetention
from farshore.stores.wrappers import ReadOnlyStore, WrappingStore
from farshore.stores.wrappers.ahead import AheadStore
from farshore.stores.wrappers.metered import MeteredStore
from farshore.stores.wrappers.retention import RetentionStore
from farshore.stores.wrappers.retrying import BreakerStore, RetryingStore
from farshore.stores.wrappers.throttled import ThrottledStore
from farshore.stores.wrappers.traced import Trace, TracedStore
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import FaultyStore
from tests.unit.ops.pack_meter import PackMeter
from tests.unit.replicas.stores import GatedStore

# Verbs that a read-only store forwards.
READS = {
    "get",
    "head",
    "list",
    "lock_state",
    "now_utc",
    "see_many",
    "trash",
    "close",
}
ANSWERS: dict[str, Any] = {
    "put": PutOutcome.PRESENT, "get": b"bytes", "url": "memory://inside", "delete_many": [None, None],
}  # fmt: skip


class Recorder:
    """A store that answers any verb, and remembers with what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, object]]] = []

    @property
    def url(self) -> str:
        return str(ANSWERS["url"])

    @property
    def capabilities(self) -> str:
        return "capabilities"

    def __getattr__(self, verb: str) -> Callable[..., object]:
        if verb not in verbs_of(Store):
            raise AttributeError(verb)

        def answer(*positional: object, **named: object) -> object:
            bound = signature_of(Store, verb).bind(*positional, **named)
            self.asked.append((verb, dict(bound.arguments)))
            return iter(()) if verb == "list" else ANSWERS.get(verb, f"answer of {verb}")

        return answer


def gated(store: Store) -> GatedStore:
    gate = GatedStore(clock=FixedClock())
    WrappingStore.__init__(gate, store)
    return gate


def traced(store: Store) -> TracedStore:
    trace = Trace(Path(os.devnull), FixedClock())
    trace.close()  # what is asked after the end of a command is carried all the same
    return TracedStore(store, replica="one", trace=trace)


WRAPPERS: dict[type[WrappingStore], Callable[[Store], WrappingStore]] = {
    WrappingStore: WrappingStore,
    AheadStore: AheadStore,
    BreakerStore: lambda store: BreakerStore(store, clock=FixedClock()),
    MeteredStore: MeteredStore,
    ReadOnlyStore: ReadOnlyStore,
    RetentionStore: lambda store: RetentionStore(store, lambda _: ObjectRetention()),
    RetryingStore: lambda store: RetryingStore(store, clock=FixedClock()),
    ThrottledStore: lambda store: ThrottledStore(store, clock=FixedClock(), up_bytes_per_s=1000),
    TracedStore: traced,
    FaultyStore: lambda store: FaultyStore(store, clock=FixedClock()),
    GatedStore: gated,
    PackMeter: PackMeter,
}


def verbs_of(contract: type) -> list[str]:
    """Return the verbs of a contract, those that it inherits too."""
    members = {name: member for one in reversed(contract.__mro__) for name, member in vars(one).items()}
    return [name for name, member in members.items() if inspect.isfunction(member) and not name.startswith("_")]


def signature_of(kind: type, verb: str) -> inspect.Signature:
    """Return the arguments of a verb, without `self`."""
    signature = inspect.signature(getattr(kind, verb))
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def not_forwarded(wrapper: type, contract: type) -> list[str]:
    """Return the verbs of a contract that a wrapper lacks, or takes other arguments for."""
    return [
        verb
        for verb in verbs_of(contract)
        if not hasattr(wrapper, verb) or str(signature_of(wrapper, verb)) != str(signature_of(contract, verb))
    ]


class LargerStore(Store, Protocol):
    """The contract with a verb more, and a verb with an argument more."""

    def head(self, name: str, version: str = "") -> Any: ...

    def rename(self, name: str, to: str) -> None: ...


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=lambda one: one.__name__)
def test_a_verb_or_argument_that_is_new_in_the_contract_is_missed_at_every_wrapper(wrapper: type) -> None:
    assert not_forwarded(wrapper, LargerStore) == ["head", "rename"]


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=lambda one: one.__name__)
def test_every_wrapper_has_every_verb_of_the_contract(wrapper: type) -> None:
    assert len(verbs_of(Store)) >= 11
    assert not_forwarded(wrapper, Store) == []


@pytest.mark.parametrize("verb", verbs_of(Store))
@pytest.mark.parametrize("wrapper", WRAPPERS, ids=lambda one: one.__name__)
def test_every_verb_reaches_the_store_inside_with_all_arguments(wrapper: type[WrappingStore], verb: str) -> None:
    recorder = Recorder()
    store = WRAPPERS[wrapper](cast("Store", recorder))
    signature = signature_of(Store, verb)
    given: dict[str, object] = {name: argument_of(name, verb) for name in signature.parameters}
    bound = signature.bind(**given)

    def call() -> object:
        found = getattr(store, verb)(*bound.args, **bound.kwargs)
        return list(found) if verb == "list" else found

    if wrapper is ReadOnlyStore and verb not in READS:
        with pytest.raises(StoreReadOnly):
            call()
        assert recorder.asked == []
        return
    call()
    assert recorder.asked == [(verb, given)]


def argument_of(name: str, verb: str) -> object:
    """Return an argument that wrappers can work with, and that is not its default."""
    typed: dict[str, object] = {
        "name": "an/object", "body": b"a body", "offset": 3, "length": 5, "held": False, "days": 7,
        "objects": [("an/object", "seen"), ("another", "seen")],
    }  # fmt: skip
    return ObjectRetention(storage_class="COLD") if name == "retention" else typed.get(name, f"{name} of {verb}")


class Renaming(ReadOnlyStore):
    """A verb that was added to the base alone."""

    def rename(self, name: str) -> None:
        self._call("rename", name, lambda: None)


def test_a_read_only_store_refuses_what_it_does_not_know() -> None:
    with pytest.raises(StoreReadOnly, match="an/object was not changed"):
        Renaming(cast("Store", Recorder())).rename("an/object")


def test_every_wrapper_is_tried_here() -> None:
    for module in pkgutil.iter_modules(wrappers.__path__):
        importlib.import_module(f"{wrappers.__name__}.{module.name}")
    known = {WrappingStore, *descendants(WrappingStore)}
    assert {one for one in known if one.__module__.startswith("farshore.")} <= WRAPPERS.keys()
    for module_name in [one.__module__ for one in WRAPPERS if one is not WrappingStore]:
        module_ = importlib.import_module(module_name)
        stores = [one for one in vars(module_).values() if inspect.isclass(one) and one.__module__ == module_name]
        assert [one for one in stores if hasattr(one, "put") and not issubclass(one, WrappingStore)] == []


def descendants(kind: type[WrappingStore]) -> set[type[WrappingStore]]:
    return {one for below in kind.__subclasses__() for one in (below, *descendants(below))}
