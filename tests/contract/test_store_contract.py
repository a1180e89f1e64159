"""What every store and every wrapper does: one suite over all of them, against the real services."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from farshore.clock import SystemClock
from farshore.errors import Bug, FarshoreError, ObjectNotFound, StoreConflict, StoreFull, StoreReadOnly
from farshore.limits import MIB, MULTIPART_BYTES_MIN
from farshore.ops.probe.objects import KNOWN_BODY, KNOWN_CHECKSUMS
from farshore.ops.probe.prefix import ProbePrefix
from farshore.ops.probe.probe import CHECKS
from farshore.ops.probe.verdicts import Verdict
from farshore.stores.base import ANY_OBJECT, PutOutcome, Store
from farshore.stores.traffic import HasPutChecksums
from farshore.stores.wrappers import ReadOnlyStore
from farshore.stores.wrappers.retrying import RetryingStore
from tests.contract.conftest import PAGE_OBJECTS

BARE = ["memory", "directory", "s3", "gcs", "azure"]
WRAPPED = ["retrying", "metered", "faulty", "retrying-faulty", "breaker", "as-opened"]
THROTTLED = ["throttled-memory", "throttled-directory", "throttled-gcs", "throttled-azure"]
EVERY = [*BARE, *WRAPPED, *THROTTLED]
CREATED, PRESENT = PutOutcome.CREATED, PutOutcome.PRESENT

OpenAny = Callable[[str], Store]


@pytest.fixture(params=EVERY)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, open_any: OpenAny) -> Store:
    return open_any(kind)


def made(kind: str) -> set[PutOutcome]:
    """The outcomes of a first put: where replies get lost, the retry finds its own object."""
    return {CREATED, PRESENT} if kind == "retrying-faulty" else {CREATED}


@pytest.mark.parametrize("size", [0, 1, 1000, 5 * MIB], ids=["empty", "one-byte", "small", "5-mib"])
def test_an_object_comes_back_as_it_was_put(kind: str, store: Store, size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert store.put("packs/aa/one", data) in made(kind)
    assert store.get("packs/aa/one") == data
    info = store.head("packs/aa/one")
    assert (info.name, info.size) == ("packs/aa/one", size)
    assert [listed.size for listed in store.list("packs/")] == [size]


@pytest.mark.parametrize("shape", [bytes, bytearray, memoryview, "slice", "file"], ids=str)
def test_every_kind_of_body_is_taken(kind: str, store: Store, shape: object, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(100_000)
    if shape == "file":
        (tmp_path / "body").write_bytes(data)
        assert store.put("body", tmp_path / "body") in made(kind)
        assert (tmp_path / "body").read_bytes() == data
    elif shape == "slice":
        assert store.put("body", memoryview(b"front" + data + b"back")[5:-4]) in made(kind)
    else:
        assert store.put("body", shape(data)) in made(kind)  # type: ignore[operator] # one of the three types
    assert store.get("body") == data
    assert store.put("body", data) is PRESENT


@pytest.mark.parametrize("check", ["ranges", "objects", "overwrite-refusal", "read-after-write", "delete"])
def test_what_a_probe_checks_holds_here_too(store: Store, check: str) -> None:
    """`farshore replica probe` makes the same checks at users' services; every store and wrapper must pass them."""
    scope = ProbePrefix(connect=lambda _: store, prefix="probe/contract/", clock=SystemClock())
    findings = [found for found in CHECKS[check](scope) if found.check != "delete-seen"]  # see test_store_delete.py
    assert {found.verdict for found in findings} == {Verdict.OK}
    assert list(scope.clean()) == []
    assert list(store.list()) == []


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind not in ("s3", "as-opened")])
def test_listings_sort_by_code_point_also_where_folders_meet(kind: str, open_any: OpenAny) -> None:
    store = open_any(kind)
    scope = ProbePrefix(connect=lambda _: store, prefix="probe/contract/", clock=SystemClock())
    assert {found.verdict for found in CHECKS["listing-order"](scope)} == {Verdict.OK}


@pytest.mark.parametrize("kind", BARE)
def test_a_kept_connection_that_the_server_closes_does_not_fail_a_read(kind: str, open_any: OpenAny) -> None:
    """The GCS server closes a connection right after it answered a range behind the end, as any server may."""
    store = open_any(kind)
    store.put("ranged", bytes(10_000))
    assert {store.get("ranged", 10_000) for _ in range(500)} == {b""}


@pytest.mark.parametrize("source", ["bytes", "file"])
@pytest.mark.parametrize("kind", [*BARE, "as-opened", "throttled-gcs", "throttled-azure"])
def test_large_bodies_go_in_parts_and_come_back(kind: str, open_any: OpenAny, tmp_path: Path, source: str) -> None:
    store = open_any(kind)
    block = random.Random(3).randbytes(MIB)
    data = block * (MULTIPART_BYTES_MIN // MIB + 3) + b"end"
    body: bytes | Path = data
    if source == "file":
        body = tmp_path / "large"
        body.write_bytes(data)
    assert store.put("large", body) is CREATED
    assert store.head("large").size == len(data)
    if isinstance(store, HasPutChecksums):
        assert store.put_checksums.pop("large") == store.head("large").checksum != ""
    assert store.get("large", bytes_max=len(data)) == data
    assert store.get("large", 40 * MIB - 10, 20) == data[40 * MIB - 10 : 40 * MIB + 10]
    assert store.put("large", body) is PRESENT
    with pytest.raises(StoreConflict):
        store.put("large", data[:-1] + b"!")
    with pytest.raises(StoreConflict):
        store.put("large", data + b"more")
    assert store.get("large", len(data) - 3) == b"end"


def test_the_same_bytes_again_are_present(kind: str, store: Store) -> None:
    for size in (0, 10, 2 * MIB):
        data = random.Random(size).randbytes(size)
        assert store.put(f"twice-{size}", data) in made(kind)
        assert store.put(f"twice-{size}", data) is PRESENT


def test_a_conflict_names_the_object_and_is_not_tried_again(store: Store) -> None:
    store.put("taken", b"first")
    with pytest.raises(StoreConflict) as caught:
        store.put("taken", b"other")
    assert not caught.value.retryable
    assert "taken" in str(caught.value)


@pytest.mark.parametrize("size", [20, 300_000], ids=["small", "larger"])
def test_of_many_writers_of_one_name_exactly_one_wins(kind: str, store: Store, size: int) -> None:
    writers = 8
    bodies = [random.Random(number).randbytes(size) for number in range(writers)]
    together = threading.Barrier(writers)

    def write(number: int) -> PutOutcome | StoreConflict:
        together.wait()
        try:
            return store.put("raced", bodies[number])
        except StoreConflict as error:
            return error

    with ThreadPoolExecutor(writers) as threads:
        outcomes = list(threads.map(write, range(writers)))
    winners = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, PutOutcome)]
    assert len(winners) == 1, outcomes
    assert outcomes[winners[0]] in made(kind)
    assert store.get("raced") == bodies[winners[0]]


@pytest.mark.parametrize("kind", ["directory", "s3", "azure"])
def test_writers_of_one_large_name_never_mix_their_parts(kind: str, open_any: OpenAny) -> None:
    """Local servers do less than the services here: fake-gcs-server ignores the condition of a resumable upload, so GCS
    is left out; SeaweedFS sometimes lets two uploads that are completed in one moment both win, one after the other.
    """
    store = open_any(kind)
    size = MULTIPART_BYTES_MIN + 5
    together = threading.Barrier(2)

    def write(number: int) -> PutOutcome | FarshoreError:
        together.wait()
        try:
            return RetryingStore(store, clock=SystemClock()).put("raced", bytes([number]) * size)
        except StoreConflict as error:
            return error

    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(write, range(2)))
    winners = [number for number, outcome in enumerate(outcomes) if outcome is CREATED]
    assert len(winners) == 1 or (kind == "s3" and len(winners) == 2), outcomes
    assert store.get("raced", bytes_max=size) in [bytes([winner]) * size for winner in winners]


def test_many_writers_of_the_same_bytes_all_succeed(kind: str, store: Store) -> None:
    together = threading.Barrier(8)

    def write(_: int) -> PutOutcome:
        together.wait()
        return store.put("shared", b"the same for all")

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(write, range(8)))
    created = outcomes.count(CREATED)
    assert created == 1 or (kind == "retrying-faulty" and created == 0), outcomes


def test_what_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(ObjectNotFound):
        store.get("nowhere")
    with pytest.raises(ObjectNotFound):
        store.get("nowhere", 5, 0)
    with pytest.raises(ObjectNotFound):
        store.get("no/such/folder", 3, 10)
    with pytest.raises(ObjectNotFound):
        store.head("nowhere")
    store.put("folder/object", b"x")
    with pytest.raises(ObjectNotFound):
        store.get("folder")
    with pytest.raises(ObjectNotFound):
        store.head("folder")
    assert list(store.list("nowhere")) == []


def test_deleting_twice_equals_once(kind: str, store: Store) -> None:
    store.put("gone", b"x")
    store.put("kept", b"y")
    store.delete("gone", ANY_OBJECT)
    store.delete("gone", ANY_OBJECT)
    store.delete("never/there", ANY_OBJECT)
    with pytest.raises(ObjectNotFound):
        store.head("gone")
    assert [info.name for info in store.list()] == ["kept"]
    assert store.put("gone", b"other bytes") in made(kind)


def test_listings_go_through_all_pages_in_order_of_name(kind: str, store: Store) -> None:
    count = 10 * PAGE_OBJECTS + 7 if kind in (*BARE, "as-opened") else PAGE_OBJECTS
    names = [f"many/{number % 13:02}/{number:05}" for number in range(count)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda name: store.put(name, name.encode()), names))
    found = list(store.list("many/"))
    assert [info.name for info in found] == sorted(names)
    assert {info.size for info in found} == {len(names[0])}
    assert [info.name for info in store.list("many/03/")] == sorted(n for n in names if n.startswith("many/03/"))


def test_prefixes_are_strings_not_folders(store: Store) -> None:
    scope = ProbePrefix(connect=lambda _: store, prefix="probe/contract/", clock=SystemClock())
    assert [found.verdict for found in CHECKS["listing-prefixes"](scope)] == [Verdict.OK]


def test_illegal_names_are_a_bug(store: Store) -> None:
    illegal = ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a b", "a\\b", "ä", "a\0", "~a", "a%2Fb", "x" * 513]
    for name in illegal:
        for use in (
            lambda name: store.put(name, b""),
            store.get,
            store.head,
            lambda name: store.delete(name, ANY_OBJECT),
        ):
            with pytest.raises(Bug):
                use(name)


def test_illegal_ranges_are_a_bug(store: Store) -> None:
    store.put("ranged", b"abc")
    for offset, length in ((-1, None), (0, -1), (-1, 1)):
        with pytest.raises(Bug):
            store.get("ranged", offset, length)


def test_an_object_tells_when_it_was_made_and_its_checksum(kind: str, store: Store) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    store.put("told", KNOWN_BODY)
    info = store.head("told")
    assert info.modified_utc is not None
    assert info.modified_utc.utcoffset() == timedelta(0)
    assert before < info.modified_utc < datetime.now(UTC) + timedelta(seconds=5)
    assert info.checksum == KNOWN_CHECKSUMS.get(store.capabilities.checksum, "")
    assert info.checksum.partition(":")[0] == store.capabilities.checksum


@pytest.mark.parametrize("kind", BARE)
def test_the_store_has_a_clock(kind: str, open_any: OpenAny) -> None:
    now_utc = open_any(kind).now_utc()
    assert now_utc.utcoffset() == timedelta(0)
    assert abs(now_utc - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_store_says_where_and_what_it_is(kind: str, store: Store) -> None:
    assert store.url.split(":")[0] in ("memory", "file", "s3", "gs", "az")
    assert store.url in repr(store)
    assert store.capabilities.kind in BARE
    assert store.capabilities.object_bytes_max > MULTIPART_BYTES_MIN


def test_a_body_that_is_too_large_for_an_object_is_refused_before_it_is_sent(store: Store, tmp_path: Path) -> None:
    size_max = store.capabilities.object_bytes_max
    body = tmp_path / "body"
    with body.open("wb") as file:
        file.truncate(size_max + 1)  # a hole: reading it would take hours
    with pytest.raises(StoreFull, match=f"{size_max:,}"):
        store.put("large", body)
    with pytest.raises(ObjectNotFound):
        store.head("large")


def test_two_places_do_not_see_each_other(kind: str, open_any: OpenAny) -> None:
    one, two = open_any(kind), open_any(kind)
    one.put("mine", b"1")
    assert list(two.list()) == []
    with pytest.raises(ObjectNotFound):
        two.head("mine")


def test_closing_twice_equals_once(store: Store) -> None:
    store.put("x", b"x")
    store.close()
    store.close()


@pytest.mark.parametrize("kind", BARE)
def test_a_read_only_store_reads_and_refuses_the_rest(kind: str, open_any: OpenAny) -> None:
    inner = open_any(kind)
    store: Store = ReadOnlyStore(inner)
    inner.put("there", b"bytes")
    for change in (
        lambda: store.put("new", b""),
        lambda: store.put("there", b"bytes"),
        lambda: store.delete("there", ANY_OBJECT),
    ):
        with pytest.raises(StoreReadOnly):
            change()
    assert store.get("there", 1, 2) == b"yt"
    assert store.head("there").size == 5
    assert [info.name for info in store.list()] == ["there"]
    assert store.url == inner.url
    assert abs(store.now_utc() - inner.now_utc()) < timedelta(seconds=5)


@pytest.mark.parametrize("kind", BARE)
def test_threads_share_one_store(kind: str, open_any: OpenAny) -> None:
    store = open_any(kind)
    blocks = [os.urandom(50_000) for _ in range(24)]

    def work(number: int) -> bool:
        store.put(f"threads/{number}", blocks[number])
        return store.get(f"threads/{number}") == blocks[number] and store.head(f"threads/{number}").size == 50_000

    with ThreadPoolExecutor(12) as threads:
        assert all(threads.map(work, range(24)))
