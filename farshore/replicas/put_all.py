"""Small objects that every replica must have or should have: leases, key slots, headers. Put everywhere at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from farshore.clock import Clock
from farshore.errors import Conflict, FarshoreError, StateUnknown
from farshore.format.names import object_bytes_max
from farshore.replicas import FirstBug, LifeSign, ask_all, require_all
from farshore.stores.base import AsksAhead, Store


def put_all(
    stores: Mapping[str, Store],
    objects: Sequence[tuple[str, bytes]],
    *,
    clock: Clock,
    required: bool = False,
    read_back: bool = False,
    in_any_order: bool = False,
    on_put: Callable[[str], None] = lambda _: None,
    first_bug: FirstBug | None = None,
) -> dict[str, FarshoreError]:
    """Put objects (name, body) at every replica at the same time, at each in the order given; return what failed.

    A replica that fails or is silent (`SILENCE_S_MAX`) keeps nothing from the others; what it was asked may still
    reach it later. Not atomic. Safe to repeat.

    Args:
        required: Every replica must have them: the first failure, in the order of the replicas, is raised.
        read_back: Compare what each replica returns with what it was given.
        in_any_order: None of them must be there before another: a service is given all of them at once.
        on_put: Called with a replica once it has all objects, from the thread that put them, perhaps after the return.
        first_bug: As for `ask_all`.
    Raises:
        FarshoreError: With `required`, as `Store.put` says; StateUnknown where an object does not read back.
    """
    bodies = dict(objects)

    def put_one(replica: str, name: str) -> None:
        stores[replica].put(name, bodies[name])
        if read_back and stores[replica].get(name, bytes_max=object_bytes_max(name)) != bodies[name]:
            raise StateUnknown(f"{replica} does not return {name} as it was written")

    def put(replica: str) -> None:
        if in_any_order:
            put_together(stores[replica], bodies, partial(put_one, replica), clock=clock, first_bug=first_bug)
        else:
            for name in bodies:
                put_one(replica, name)
        on_put(replica)

    asked = ask_all(stores, put, clock=clock, patient=True, first_bug=first_bug)
    if required:
        require_all(asked)
    return asked[1]


def put_together(
    store: Store,
    names: Collection[str],
    put: Callable[[str], object],
    *,
    clock: Clock,
    alive: LifeSign | None = None,
    first_bug: FirstBug | None = None,
) -> None:
    """Put objects of which none must be there before another: at a service all at once, or each waits for the last.

    Args:
        put: Puts the object of a name.
        alive, first_bug: As for `ask_all`.
    Raises:
        FarshoreError: As `put` says; a `Conflict`, which no retry mends, only where nothing else failed.
    """
    if not isinstance(store, AsksAhead):
        for name in names:
            put(name)
        return
    _, failed = ask_all(names, put, clock=clock, patient=True, alive=alive, first_bug=first_bug)
    for error in sorted(failed.values(), key=lambda one: isinstance(one, Conflict)):
        raise error
