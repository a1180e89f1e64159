"""Bandwidth on a clock that only waits move."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from farshore.clock import SystemClock
from farshore.errors import StoreUnavailable
from farshore.limits import KIB, MIB, PACED_AHEAD_S, PACED_BURST_S
from farshore.stores.base import Body, PacedBody, PutOutcome, body_bytes
from farshore.stores.body import as_bytes, as_sent, body_pieces, sent_pieces
from farshore.stores.memory import MemoryStore
from farshore.stores.token_bucket import TokenBucket
from farshore.stores.wrappers.metered import MeteredStore
from farshore.stores.wrappers.retrying import RetryingStore
from farshore.stores.wrappers.throttled import ThrottledStore
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import FAIL, FaultyStore, queued


class Waits(FixedClock):
    """A clock that remembers what was waited."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.waits: list[float] = []

    def wait_s(self, seconds: float, until: threading.Event | None = None) -> bool:
        self.waits.append(seconds)
        return super().wait_s(seconds, until)


def test_a_bucket_lets_its_rate_pass() -> None:
    clock = Waits()
    bucket = TokenBucket(bytes_per_s=1000, clock=clock)
    for _ in range(100):
        bucket.consume(100)
    assert sum(clock.waits) == pytest.approx(10 - PACED_BURST_S)


def test_what_is_not_used_is_not_saved_for_long() -> None:
    clock = Waits()
    bucket = TokenBucket(bytes_per_s=1000, clock=clock)
    bucket.consume(1000)
    clock.advance(3600)
    clock.waits.clear()
    bucket.consume(1000)
    assert sum(clock.waits) == pytest.approx(1 - PACED_BURST_S)


def test_threads_share_one_rate() -> None:
    clock = SystemClock()
    bucket = TokenBucket(bytes_per_s=1_000_000, clock=clock)
    started_s = clock.monotonic_s()

    def take_all(_: int) -> None:
        for _ in range(100):
            bucket.consume(1000)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(take_all, range(4)))
    assert clock.monotonic_s() - started_s > 0.4 - PACED_BURST_S - 0.01


@pytest.mark.parametrize(("rate", "piece"), [(MIB, 64 * KIB), (100_000, 10_000), (100, 1024)])
def test_pieces_are_small_whatever_the_rate(rate: int, piece: int) -> None:
    assert TokenBucket(bytes_per_s=rate, clock=FixedClock()).piece_bytes == piece


def test_up_and_down_are_apart() -> None:
    clock = Waits()
    store = ThrottledStore(MemoryStore(clock=clock), clock=clock, up_bytes_per_s=1000, down_bytes_per_s=10_000)
    store.put("name", bytes(10_000))
    assert sum(clock.waits) == pytest.approx(10 - PACED_BURST_S)
    clock.waits.clear()
    store.get("name")
    assert sum(clock.waits) == pytest.approx(1 - PACED_BURST_S)


def test_without_a_limit_nothing_waits() -> None:
    clock = Waits()
    store = ThrottledStore(MemoryStore(clock=clock), clock=clock)
    store.put("name", bytes(10_000_000))
    store.get("name")
    assert clock.waits == []


def test_small_objects_overtake_and_keep_the_rate_all_the_same() -> None:
    clock = Waits()
    store = ThrottledStore(MemoryStore(clock=clock), clock=clock, up_bytes_per_s=1000)
    for number in range(100):
        store.put(f"lease/{number}", bytes(100))
        assert sum(clock.waits) == pytest.approx(max((number + 1) / 10 - PACED_BURST_S - PACED_AHEAD_S, 0.0), abs=0.001)


def test_what_was_there_already_is_not_waited_for() -> None:
    clock = Waits()
    store = ThrottledStore(MemoryStore(clock=clock), clock=clock, up_bytes_per_s=1000)
    store.put("name", bytes(10_000))
    clock.waits.clear()
    assert store.put("name", bytes(10_000)) is PutOutcome.PRESENT
    assert clock.waits == []


def test_an_attempt_that_is_made_again_is_paced_again_and_counted_once_each() -> None:
    clock = Waits()
    meter = MeteredStore(FaultyStore(MemoryStore(clock=clock), clock=clock, plan=queued({"put": [FAIL, FAIL]})))
    store = RetryingStore(ThrottledStore(meter, clock=clock, up_bytes_per_s=1000), clock=clock)
    store.put("name", bytes(1000))
    assert store.retries == 2
    assert meter.snapshot().requests == {"put": 3}
    assert meter.snapshot().bytes_out == 1000


def test_a_failure_is_passed_on() -> None:
    clock = Waits()
    faulty = FaultyStore(MemoryStore(clock=clock), clock=clock, plan=queued({"put": [FAIL]}))
    with pytest.raises(StoreUnavailable):
        ThrottledStore(faulty, clock=clock, up_bytes_per_s=10).put("name", bytes(10_000))
    assert clock.waits == []


@pytest.mark.parametrize("kind", ["bytes", "file"])
def test_a_paced_body_hashes_at_once_and_sends_in_time(tmp_path: Path, kind: str) -> None:
    data = random.Random(1).randbytes(100_000)
    (tmp_path / "body").write_bytes(data)
    body: Body = data if kind == "bytes" else tmp_path / "body"
    clock = Waits()
    paced = PacedBody(body, TokenBucket(bytes_per_s=10_000, clock=clock))
    assert (body_bytes(paced), as_bytes(paced)) == (len(data), data)
    assert b"".join(body_pieces(paced)) == data
    assert clock.waits == []
    assert b"".join(sent_pieces(paced)) == data
    assert paced.consumed_bytes == len(data)
    assert sum(clock.waits) == pytest.approx(10 - PACED_BURST_S)
    assert max(clock.waits) < 0.25
    again = as_sent(PacedBody(paced, TokenBucket(bytes_per_s=10_000, clock=clock)))
    assert not isinstance(again, bytes)
    with again:
        clock.waits.clear()
        assert again.read() == data  # to be signed
        assert clock.waits == []
        again.seek(0)
        again.start()  # type: ignore[attr-defined] # a PacedReader
        assert b"".join(iter(lambda: again.read(65_536), b"")) == data
        assert sum(clock.waits) == pytest.approx(10, abs=PACED_BURST_S)
