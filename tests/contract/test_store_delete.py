"""Deleting an object that was seen: never another one that was put under its name since."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from farshore.clock import SystemClock
from farshore.errors import DeleteUnsupported, ObjectNotFound, StoreDenied
from farshore.stores.base import ANY_OBJECT, ObjectInfo, PutOutcome, Store
from farshore.stores.directory import DirectoryStore
from farshore.stores.directory.trash import FOLDER
from farshore.stores.object_retention import Lock, LockMode, ObjectRetention
from farshore.stores.traffic import CountsRequests
from infra.local.seaweedfs import SeaweedServer
from tests.conftest import PlaceUrl
from tests.contract.conftest import OpenStore
from tests.contract.network import answering
from tests.contract.test_store_locks import later
from tests.doubles.gcs_worm import GcsWorm

KINDS = ["memory", "directory", "azure", "retrying", "metered", "breaker", "faulty", "throttled-azure"]
GCS = "gcs-double"  # the local GCS server ignores generations; a probe says so
VERSIONED = "s3-versioned"
OpenAny = Callable[[str], Store]
_NUMBERS = itertools.count(1)


@pytest.fixture
def open_seeing(request: pytest.FixtureRequest, open_any: OpenAny, open_bare: OpenStore) -> Iterator[OpenAny]:
    """A function that opens a store which can say which object it saw."""
    with ExitStack() as stack:

        def make(kind: str) -> Store:
            if kind == GCS:
                address = stack.enter_context(answering(GcsWorm()))
                return open_bare("gcs", PlaceUrl(url="gs://bucket/deep", endpoint=address, credentials={}))
            if kind == VERSIONED:
                return open_versioned(open_bare, request.getfixturevalue("s3_server"))
            return open_any(kind)

        yield make


@pytest.fixture(params=[*KINDS, GCS, VERSIONED])
def store(request: pytest.FixtureRequest, open_seeing: OpenAny) -> Store:
    return open_seeing(str(request.param))


def open_versioned(open_bare: OpenStore, server: SeaweedServer) -> Store:
    bucket = f"seen-{next(_NUMBERS)}"
    server.create_locked_bucket(bucket)
    place = PlaceUrl(url=server.url(bucket, "deep"), endpoint=server.address, credentials=dict(server.credentials))
    return open_bare("s3", place)


def is_there(store: Store, name: str) -> bool:
    try:
        store.head(name)
    except ObjectNotFound:
        return False
    return True


def listed(store: Store, name: str) -> ObjectInfo:
    return next(info for info in store.list() if info.name == name)


def test_the_object_that_was_seen_goes(store: Store) -> None:
    store.put("packs/one", b"bytes")
    store.put("packs/two", b"bytes")
    seen = store.head("packs/one").seen
    assert seen not in ("", ANY_OBJECT)
    assert listed(store, "packs/one").seen in (seen, "")
    for _ in range(2):  # also where it is gone already
        store.delete("packs/one", seen)
        assert not is_there(store, "packs/one")
        assert [info.name for info in store.list()] == ["packs/two"]
    store.delete("never/there", seen)


@pytest.mark.parametrize("body", [b"bytes", b"other"], ids=["same-bytes", "other-bytes"])
def test_one_that_was_put_since_stays(store: Store, body: bytes) -> None:
    store.put("packs/one", b"bytes")
    seen = store.head("packs/one").seen
    for _ in range(3):
        store.delete("packs/one", ANY_OBJECT)
        assert store.put("packs/one", body) is PutOutcome.CREATED
        store.delete("packs/one", seen)
        assert store.get("packs/one") == body
    last = store.head("packs/one").seen
    assert last != seen
    store.delete("packs/one", last)
    assert not is_there(store, "packs/one") or store.capabilities.kind == "s3"  # a version below it may show


def test_an_object_of_which_nothing_was_seen_is_not_deleted(store: Store) -> None:
    store.put("packs/one", b"bytes")
    with pytest.raises(DeleteUnsupported, match="cannot tell it from one put there since"):
        store.delete("packs/one", "")
    assert is_there(store, "packs/one")


def test_s3_without_versions_cannot_say_which_object_it_is(open_any: OpenAny) -> None:
    store = open_any("s3")
    store.put("packs/one", b"bytes")
    assert store.head("packs/one").seen == listed(store, "packs/one").seen == ""
    with pytest.raises(DeleteUnsupported):
        store.delete("packs/one", store.head("packs/one").seen)
    store.delete("packs/one", ANY_OBJECT)
    assert not is_there(store, "packs/one")


def test_a_version_that_is_locked_stays(open_bare: OpenStore, s3_server: SeaweedServer) -> None:
    """Hiding it would work, so that is not what deleting what was seen does."""
    store = open_versioned(open_bare, s3_server)
    store.put("one", b"bytes", ObjectRetention(Lock(LockMode.COMPLIANCE, later(60))))
    with pytest.raises(StoreDenied):
        store.delete("one", store.head("one").seen)
    assert store.get("one") == b"bytes"


@pytest.mark.parametrize("kind", ["memory", "directory", GCS, "azure"])
def test_deletes_that_race_with_puts_never_delete_another_object(kind: str, open_seeing: OpenAny) -> None:
    """One looks and deletes what it saw a while later, the other deletes and puts; what was put last is there."""
    store, rounds = open_seeing(kind), 40
    barrier = threading.Barrier(2, timeout=60)

    def stale() -> None:
        for _ in range(rounds):
            barrier.wait()
            seen = store.head("raced").seen
            barrier.wait()
            store.delete("raced", seen)
            barrier.wait()

    def prompt() -> None:
        for number in range(rounds):
            store.delete("raced", ANY_OBJECT)
            store.put("raced", b"%d" % number)
            barrier.wait()
            barrier.wait()
            store.delete("raced", ANY_OBJECT)
            store.put("raced", b"again %d" % number)
            barrier.wait()
            assert store.get("raced") == b"again %d" % number

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(prompt), pool.submit(stale)]:
            done.result(120)


class Swapped(DirectoryStore):
    """A store whose object is replaced at the last moment: between the look of a delete and its rename."""

    def __init__(self, path: Path, *, taken: bool) -> None:
        super().__init__(path=path, clock=SystemClock())
        self.path, self.taken = path, taken

    def delete(self, name: str, seen: str) -> None:
        rename = os.rename

        def swapped(*args: object, **kwargs: object) -> None:
            (self.path / "one").unlink()
            (self.path / "one").write_bytes(b"put in between")
            rename(*args, **kwargs)  # type: ignore[arg-type]
            if self.taken:
                (self.path / "one").write_bytes(b"put again")

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(os, "rename", swapped)
            super().delete(name, seen)


@pytest.mark.parametrize("taken", [False, True], ids=["name-free", "name-in-use"])
def test_a_file_that_was_put_between_look_and_rename_gets_its_name_back(tmp_path: Path, taken: bool) -> None:
    store = Swapped(tmp_path, taken=taken)
    store.put("one", b"bytes")
    seen = store.head("one").seen
    if taken:
        with pytest.raises(Exception, match="exists"):
            store.delete("one", seen)
        assert store.get("one") == b"put again"
        assert [path.read_bytes() for path in (tmp_path / FOLDER).rglob("one~*")] == [b"put in between"]
        assert [info.name for info in store.list()] == ["one"]
        return
    store.delete("one", seen)
    assert store.get("one") == b"put in between"
    assert store.trash().objects == 0


def test_a_directory_keeps_what_was_seen_until_its_trash_is_emptied(tmp_path: Path) -> None:
    store = DirectoryStore(path=tmp_path, clock=SystemClock())
    for name in ("packs/aa/one", "packs/aa/two", "leases/three", "any"):
        store.put(name, name.encode())
    for name in ("packs/aa/one", "packs/aa/two", "leases/three"):
        store.delete(name, store.head(name).seen)
    store.delete("any", ANY_OBJECT)
    kept = store.trash()
    assert (kept.objects, kept.bytes) == (2, 24)
    assert list(store.list()) == []
    assert {path.read_bytes() for path in (tmp_path / FOLDER).rglob("packs~aa~*")} == {b"packs/aa/one", b"packs/aa/two"}
    assert kept.oldest_utc is not None
    assert store.empty_trash(kept.oldest_utc - timedelta(seconds=1)).objects == 2
    assert store.empty_trash(store.now_utc()).objects == 0
    store.put("packs/aa/one", b"again")
    assert store.get("packs/aa/one") == b"again"


MANY = [*KINDS, GCS, VERSIONED, "s3", "as-opened"]


@pytest.mark.parametrize("kind", MANY)
def test_many_go_in_one_call_and_others_stay(kind: str, open_seeing: OpenAny) -> None:
    """Those that were seen go; one that was put since, one that is gone and one that was never there are no errors."""
    store = open_seeing(kind)
    names = [f"packs/{number:04x}" for number in range(30)]
    for name in [*names, "packs/zz", "other"]:
        store.put(name, name.encode())
    seen = store.see_many(names)
    if kind in ("s3", "as-opened"):
        assert seen == {}, "without versions nothing is said"
        seen = dict.fromkeys(names, ANY_OBJECT)
    assert seen == dict.fromkeys(names, ANY_OBJECT) or seen == {one: store.head(one).seen for one in names}
    store.delete(names[5], seen[names[5]])
    if seen[names[7]] != ANY_OBJECT:
        store.delete(names[7], ANY_OBJECT)
        store.put(names[7], b"put since")
    doomed = [*seen.items(), ("never/there", seen[names[0]])]
    assert store.delete_many(doomed) == [None] * len(doomed)
    left = {info.name for info in store.list()}
    assert left == {"packs/zz", "other"} | ({names[7]} if seen[names[7]] != ANY_OBJECT else set())
    assert store.delete_many(doomed) == [None] * len(doomed)
    assert store.delete_many([]) == []


@pytest.mark.parametrize("kind", MANY)
def test_none_of_many_goes_where_it_is_not_known_which_object_one_was(kind: str, open_seeing: OpenAny) -> None:
    store = open_seeing(kind)
    store.put("packs/one", b"bytes")
    store.put("packs/two", b"bytes")
    errors: list[object] = [DeleteUnsupported]
    with contextlib.suppress(DeleteUnsupported):
        errors = [type(one) for one in store.delete_many([("packs/two", ""), ("packs/one", "")])]
    assert set(errors) == {DeleteUnsupported}
    assert is_there(store, "packs/one")
    assert is_there(store, "packs/two")


@pytest.mark.parametrize("kind", ["memory", GCS, VERSIONED])
def test_of_many_a_locked_one_is_refused_and_the_others_go(kind: str, open_seeing: OpenAny) -> None:
    store = open_seeing(kind)
    names = [f"packs/{number}" for number in range(4)]
    for name in names:
        locked = ObjectRetention(Lock(LockMode.COMPLIANCE, later(60))) if name == names[2] else ObjectRetention()
        store.put(name, b"bytes", locked)
    seen = store.see_many(names)
    errors = store.delete_many([(name, seen[name]) for name in names])
    assert [type(one) for one in errors] == [type(None), type(None), StoreDenied, type(None)]
    assert [info.name for info in store.list()] == [names[2]]
    assert store.get(names[2]) == b"bytes"


@pytest.mark.parametrize(("kind", "requests_max"), [("s3", 3), (VERSIONED, 8), ("azure", 12)])
def test_many_are_deleted_in_few_requests(kind: str, requests_max: int, open_seeing: OpenAny) -> None:
    """A thousand objects; a page of the listing of versions has no more than the service gives."""
    store = open_seeing(kind)
    names = [f"packs/{number:04x}" for number in range(1000)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.put(name, b"bytes"), names))
    infos = {info.name: info.seen for info in store.list()}
    assert isinstance(store, CountsRequests)
    before = store.request_counter.counts()
    seen = dict.fromkeys(names, ANY_OBJECT) if kind == "s3" else infos
    if kind == VERSIONED:
        seen = store.see_many(names)
    assert store.delete_many(list(seen.items())) == [None] * len(names)
    after = store.request_counter.counts()
    made = {one: after[one] - before.get(one, 0) for one in after if after[one] != before.get(one, 0)}
    assert sum(made.values()) <= requests_max, made
    assert list(store.list()) == []
