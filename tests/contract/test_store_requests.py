"""What a store counts as requests, over every kind of store, against the real services."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from farshore.errors import ObjectNotFound
from farshore.limits import MIB, MULTIPART_BYTES_MIN, MULTIPART_PART_BYTES
from farshore.stores.base import ANY_OBJECT, PutOutcome, Store
from farshore.stores.wrappers.metered import MeteredStore
from tests.contract.conftest import PAGE_OBJECTS, OpenStore

SERVED = ["s3", "gcs", "azure"]


@pytest.fixture(params=["memory", "directory", *SERVED])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, open_bare: OpenStore) -> MeteredStore:
    return MeteredStore(open_bare(kind))


def asked(store: MeteredStore, before: Mapping[str, int]) -> dict[str, int]:
    """Return what was asked since."""
    now = store.snapshot().requests
    return {kind: new for kind, count in now.items() if (new := count - before.get(kind, 0))}


def test_a_small_object_is_one_request_of_its_kind_each_time(store: MeteredStore) -> None:
    store.put("a", b"12345")
    assert store.get("a") == b"12345"
    assert store.get("a", 1, 2) == b"23"
    store.head("a")
    store.delete("a", ANY_OBJECT)
    counts = store.snapshot()
    assert counts.requests == {"put": 1, "get": 2, "head": 1, "delete": 1}
    assert (counts.bytes_out, counts.bytes_in) == (5, 7)


def test_asking_for_the_time_is_a_request_too(store: MeteredStore) -> None:
    store.now_utc()
    assert sum(store.snapshot().requests.values()) == 1


def test_every_page_of_a_listing_is_a_request(kind: str, store: MeteredStore) -> None:
    for number in range(2 * PAGE_OBJECTS + 1):
        store.put(f"packs/{number:03}", b"")
    assert len(list(store.list("packs/"))) == 2 * PAGE_OBJECTS + 1
    assert store.snapshot().requests == {"put": 2 * PAGE_OBJECTS + 1, "list": 3 if kind in SERVED else 1}


def test_what_failed_was_a_request(store: MeteredStore) -> None:
    for ask in (store.get, store.head):
        with pytest.raises(ObjectNotFound):
            ask("missing")
    counts = store.snapshot()
    assert counts.requests["get"] == 1
    assert counts.requests["head"] >= 1
    assert counts.failures == {"get": 1, "head": 1}


def test_each_part_of_a_large_object_is_a_put(kind: str, store: MeteredStore) -> None:
    body = bytes(MULTIPART_BYTES_MIN + MIB)
    store.put("large", body)
    requests = store.snapshot().requests
    parts = -(-len(body) // MULTIPART_PART_BYTES)
    around = {"s3": 2, "gcs": 1, "azure": 1}  # its beginning and end; its beginning; the list of its blocks
    assert requests["put"] == (parts + around[kind] if kind in SERVED else 1)
    assert store.snapshot().bytes_out == len(body)


def test_looking_at_what_holds_a_taken_name_is_counted_where_it_is_sent(open_bare: OpenStore) -> None:
    store: Store = open_bare("s3")
    meter = MeteredStore(store)
    meter.put("a", b"same")
    before = meter.snapshot().requests
    meter.put("a", b"same")
    assert asked(meter, before) == {"put": 1, "head": 1, "get": 1}


@pytest.mark.parametrize("kind", SERVED)
def test_a_large_object_that_is_there_already_costs_one_request(store: MeteredStore) -> None:
    body = bytes(MULTIPART_BYTES_MIN + MIB)
    store.put("large", body)
    before = store.snapshot().requests
    assert store.put("large", body) is PutOutcome.PRESENT
    assert asked(store, before) == {"head": 1}
