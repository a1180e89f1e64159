"""What a store says it sent is what the service reports: the truth that a remote check compares with."""

from __future__ import annotations

import pytest

from farshore.errors import StoreConflict, StoreUnavailable
from farshore.limits import SENT_KEPT_MAX
from farshore.stores.base import Body, body_bytes
from farshore.stores.traffic import AcknowledgedPut
from farshore.stores.wrappers.metered import MeteredStore
from tests.contract.conftest import OpenStore
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import FAIL, FaultyStore, at_call


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
def test_the_service_tells_the_checksum_that_was_sent(kind: str, open_bare: OpenStore) -> None:
    store = MeteredStore(open_bare(kind))
    bodies: dict[str, Body] = {"a": b"some bytes", "b": bytearray(b"others"), "empty": b""}
    for name, body in bodies.items():
        store.put(name, body)
        sent = store.sent()[name]
        assert sent == AcknowledgedPut(body_bytes(body), store.head(name).checksum)
        assert sent.checksum.startswith(f"{store.capabilities.checksum}:")


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
def test_a_name_that_was_taken_by_the_same_bytes_counts_as_sent(kind: str, open_bare: OpenStore) -> None:
    bare = open_bare(kind)
    bare.put("a", b"some bytes")
    store = MeteredStore(bare)
    store.put("a", b"some bytes")
    assert store.sent()["a"] == AcknowledgedPut(10, store.head("a").checksum)
    with pytest.raises(StoreConflict):
        store.put("a", b"other byte")
    assert store.sent()["a"] == AcknowledgedPut(10, store.head("a").checksum)


def test_a_put_that_failed_was_not_acknowledged(open_bare: OpenStore) -> None:
    store = MeteredStore(FaultyStore(open_bare("directory"), clock=FixedClock(), plan=at_call(1, FAIL)))
    with pytest.raises(StoreUnavailable):
        store.put("a", b"some bytes")
    assert store.sent() == {}
    store.put("a", b"some bytes")
    assert store.sent() == {"a": AcknowledgedPut(10, "")}  # a directory is sent no checksum


def test_memory_is_bounded(open_bare: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SENT_KEPT_MAX > 1_000_000  # packs of 16 TiB
    monkeypatch.setattr("farshore.stores.wrappers.metered.SENT_KEPT_MAX", 2)
    store = MeteredStore(open_bare("memory"))
    for name in "abc":
        store.put(name, b"")
    assert list(store.sent()) == ["b", "c"]
