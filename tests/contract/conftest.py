"""Every store and every wrapper, opened on an empty place of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from farshore.clock import SystemClock
from farshore.stores import open_store
from farshore.stores.azure.store import AzureStore
from farshore.stores.base import Store
from farshore.stores.gcs.store import GcsStore
from farshore.stores.s3.store import S3Store
from farshore.stores.wrappers.metered import MeteredStore
from farshore.stores.wrappers.retrying import BreakerStore, RetryingStore
from farshore.stores.wrappers.throttled import ThrottledStore
from tests.conftest import FreshPlace, PlaceUrl
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import FAIL, LOSE_REPLY, Fault, FaultKind, FaultyStore, at_random

PAGE_OBJECTS = 100
QUICK_BYTES_PER_S = 1 << 30  # paced piece by piece, and done at once
_SCHEMES = {"s3": "s3", "gcs": "gs", "azure": "az", "directory": "file", "memory": "memory"}

OpenStore = Callable[..., Store]


@pytest.fixture
def open_bare(fresh_place: FreshPlace) -> Iterator[OpenStore]:
    """A function that opens a bare store of a kind, on an empty place or on the one given, and closes it afterwards.

    Page size, time-outs, endpoint and credentials may be given for the served kinds.
    """
    with ExitStack() as stack:

        def make(kind: str, place: PlaceUrl | None = None, **options: Any) -> Store:
            place = place or fresh_place(_SCHEMES[kind])
            if kind in ("memory", "directory"):
                return stack.enter_context(closing(open_store(**place, clock=SystemClock())))
            parts = urlsplit(place["url"])
            options = {"page_objects": PAGE_OBJECTS, **place, **options, "prefix": parts.path.strip("/")}
            del options["url"]
            store: Store
            if kind == "s3":
                store = S3Store(bucket=parts.netloc, **options)
            elif kind == "gcs":
                store = GcsStore(bucket=parts.netloc, clock=SystemClock(), **options)
            else:
                store = AzureStore(container=parts.netloc, **options)
            return stack.enter_context(closing(store))

        yield make


@pytest.fixture
def open_any(open_bare: OpenStore) -> Callable[[str], Store]:
    """A function that opens a bare store, or a wrapper around one, by its name."""

    def throttled(store: Store) -> Store:
        quick = QUICK_BYTES_PER_S
        return ThrottledStore(store, clock=FixedClock(), up_bytes_per_s=quick, down_bytes_per_s=quick)

    def make(kind: str) -> Store:
        if kind == "retrying":
            return RetryingStore(open_bare("memory"), clock=FixedClock())
        if kind == "metered":
            return MeteredStore(open_bare("directory"))
        if kind == "breaker":
            return BreakerStore(open_bare("memory"), clock=FixedClock())
        if kind.startswith("throttled-"):
            return throttled(open_bare(kind.removeprefix("throttled-")))
        if kind == "as-opened":  # the order in which a repository's replicas are wrapped
            inner = throttled(MeteredStore(open_bare("s3")))
            return RetryingStore(BreakerStore(inner, clock=SystemClock()), clock=SystemClock())
        if kind == "faulty":
            return FaultyStore(open_bare("memory"), clock=FixedClock())
        if kind == "retrying-faulty":
            clock = FixedClock(seed=7)
            plan = at_random(clock, 0.3, (FAIL, LOSE_REPLY, Fault(FaultKind.DELAY, wait_s=0.5)))
            faulty = FaultyStore(open_bare("directory"), clock=clock, plan=plan)
            return RetryingStore(faulty, clock=clock, attempts_max=30)
        return open_bare(kind)

    return make
