"""Archived objects: refused as what they are, asked for once, readable when it is done.

Azurite refuses and rehydrates by itself. For S3 a double keeps the documented rules;
docs/stores/immutability.md says so.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime

import pytest

from farshore.clock import SystemClock
from farshore.errors import ObjectArchived
from farshore.stores import open_store
from farshore.stores.base import PutOutcome
from farshore.stores.object_retention import Access, ObjectRetention
from farshore.stores.wrappers.retrying import RetryingStore
from tests.contract.conftest import OpenStore
from tests.contract.network import answering
from tests.doubles.clock import FixedClock
from tests.doubles.s3_archive import S3Archive

KEYS = {"access_key": "a", "secret_key": "b"}


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_object_of_s3_is_asked_for_once_and_read_when_it_is_ready(storage_class: str) -> None:
    clock = FixedClock(datetime.now(UTC))
    archive = S3Archive(now=clock.now_utc)
    with (
        answering(archive) as address,
        closing(open_store("s3://bucket/x", endpoint=address, credentials=KEYS, clock=SystemClock())) as store,
    ):
        assert store.put("packs/one", b"bytes", ObjectRetention(storage_class=storage_class)) is PutOutcome.CREATED
        (listed,) = store.list("packs/")
        assert (listed.storage_class, listed.access) == (storage_class, Access.ARCHIVED)
        assert store.head("packs/one").access is Access.ARCHIVED
        with pytest.raises(ObjectArchived):
            store.get("packs/one")
        for _ in range(2):
            store.warm("packs/one", days=2, tier="Bulk")
            assert store.head("packs/one").access is Access.WARMING
            with pytest.raises(ObjectArchived):
                store.get("packs/one", 1, 2)
        clock.advance(4 * 3600)
        assert store.head("packs/one").access is Access.READY
        assert store.get("packs/one") == b"bytes"
        store.warm("packs/one", days=2)
        assert (archive.restores, archive.tiers) == (1, ["Bulk"])
        clock.advance(2 * 86400)
        assert store.head("packs/one").access is Access.ARCHIVED


@pytest.mark.parametrize("storage_class", ["STANDARD_IA", "GLACIER_IR"])
def test_other_classes_of_s3_are_read_at_once(storage_class: str) -> None:
    archive = S3Archive()
    with (
        answering(archive) as address,
        closing(open_store("s3://bucket/x", endpoint=address, credentials=KEYS, clock=SystemClock())) as store,
    ):
        store.put("one", b"bytes", ObjectRetention(storage_class=storage_class))
        assert store.head("one").storage_class == storage_class
        assert store.head("one").access is Access.READY
        store.warm("one", days=1)
        assert archive.restores == 0


def test_nobody_waits_seconds_for_an_archive() -> None:
    clock = FixedClock()
    with (
        answering(S3Archive()) as address,
        closing(open_store("s3://bucket/x", endpoint=address, credentials=KEYS, clock=SystemClock())) as store,
    ):
        store.put("one", b"bytes", ObjectRetention(storage_class="GLACIER"))
        retrying = RetryingStore(store, clock=clock)
        with pytest.raises(ObjectArchived):
            retrying.get("one")
        assert retrying.retries == 0


def test_an_archived_blob_of_azure_is_refused_and_rehydrated(open_bare: OpenStore) -> None:
    store = open_bare("azure")
    store.put("packs/one", b"bytes", ObjectRetention(storage_class="Archive"))
    store.put("packs/two", b"bytes", ObjectRetention(storage_class="Cool"))
    assert [(info.storage_class, info.access) for info in store.list()] == [
        ("Archive", Access.ARCHIVED),
        ("Cool", Access.READY),
    ]
    assert store.get("packs/two") == b"bytes"
    with pytest.raises(ObjectArchived):
        store.get("packs/one")
    store.warm("packs/one", days=1)
    assert store.head("packs/one").access in (Access.WARMING, Access.READY)
    store.warm("packs/one", days=1)


def test_the_class_of_a_gcs_object_is_reported_and_read_at_once(open_bare: OpenStore) -> None:
    store = open_bare("gcs")
    store.put("one", b"bytes", ObjectRetention(storage_class="ARCHIVE"))
    (listed,) = store.list()
    assert listed.access is store.head("one").access is Access.READY
    assert store.get("one") == b"bytes"
