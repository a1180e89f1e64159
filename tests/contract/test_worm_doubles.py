"""Locks of Cloud Storage and Azure: the real SDKs, through our stores, against doubles that keep the documented rules.

No server here enforces these locks, so this shows that our requests are formed as documented and that our stores keep
to the rules; that the services keep them is their word. docs/stores/immutability.md says so too.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from farshore.access.bucket_checks import judge_bucket
from farshore.clock import SystemClock
from farshore.errors import LockDenied, LockUnsupported, ObjectNotFound, StoreDenied
from farshore.limits import MIB, MULTIPART_BYTES_MIN
from farshore.stores import open_store
from farshore.stores.base import ANY_OBJECT, PutOutcome, Store
from farshore.stores.object_retention import Lock, LockMode, LockState, ObjectRetention
from farshore.stores.probe_capability import BucketSettings, Effect, HasProbeCapability, Setting
from tests.contract.network import answering
from tests.doubles.azure_worm import AzureWorm
from tests.doubles.clock import FixedClock
from tests.doubles.gcs_worm import GcsWorm

GOVERNANCE, COMPLIANCE = LockMode.GOVERNANCE, LockMode.COMPLIANCE
DAY = timedelta(days=1)


@dataclass
class Double:
    """A double, its clock, and a store at it."""

    kind: str
    worm: Any
    clock: FixedClock
    store: Store

    def later(self, days: float) -> datetime:
        return self.clock.now_utc() + days * DAY


@pytest.fixture(params=["gcs", "azure"])
def double(request: pytest.FixtureRequest) -> Iterator[Double]:
    clock = FixedClock(datetime.now(UTC).replace(microsecond=0))
    worm: Any = GcsWorm(now=clock.now_utc) if request.param == "gcs" else AzureWorm(now=clock.now_utc)
    with answering(worm) as address:
        if request.param == "gcs":
            store = open_store("gs://bucket/farshore", endpoint=address, clock=SystemClock())
        else:
            credentials = {"account": "account", "key": base64.b64encode(b"k" * 32).decode()}
            store = open_store(
                "az://container/farshore", endpoint=address, credentials=credentials, clock=SystemClock()
            )
        with closing(store):
            yield Double(str(request.param), worm, clock, store)


@pytest.mark.parametrize("mode", LockMode)
@pytest.mark.parametrize("size", [10, MULTIPART_BYTES_MIN + MIB], ids=["small", "large"])
def test_a_lock_comes_with_the_put_and_keeps_the_object_until_its_time(
    double: Double, mode: LockMode, size: int
) -> None:
    lock = Lock(mode, double.later(2))
    assert double.store.put("packs/one", bytes(size), ObjectRetention(lock)) is PutOutcome.CREATED
    assert double.store.lock_state("packs/one") == LockState(lock)
    with pytest.raises(StoreDenied):
        double.store.delete("packs/one", ANY_OBJECT)
    double.clock.advance(2 * 86400 + 1)
    double.store.delete("packs/one", ANY_OBJECT)
    with pytest.raises(ObjectNotFound):
        double.store.lock_state("packs/one")


@pytest.mark.parametrize("mode", LockMode)
def test_a_lock_is_extended_never_shortened_and_never_weakened(double: Double, mode: LockMode) -> None:
    store, first, longer = double.store, Lock(mode, double.later(5)), Lock(mode, double.later(9))
    store.put("one", b"1", ObjectRetention(first))
    assert store.extend_lock("one", longer) == longer
    assert store.extend_lock("one", first) == longer
    assert store.extend_lock("one", Lock(GOVERNANCE, double.later(7))) == longer
    assert store.put("one", b"1", ObjectRetention(first)) is PutOutcome.PRESENT
    assert store.lock_state("one") == LockState(longer)
    longest = double.later(20)
    assert store.extend_lock("one", Lock(GOVERNANCE, longest)) == Lock(mode, longest)
    assert store.lock_state("one") == LockState(Lock(mode, longest))


def test_an_object_without_a_lock_gets_one_and_one_in_governance_becomes_strict(double: Double) -> None:
    double.store.put("one", b"1")
    assert double.store.lock_state("one") == LockState()
    lock = Lock(GOVERNANCE, double.later(3))
    assert double.store.extend_lock("one", lock) == lock
    strict = Lock(COMPLIANCE, double.later(4))
    assert double.store.extend_lock("one", strict) == strict
    assert double.store.lock_state("one").lock == strict


def test_parts_of_seconds_never_make_a_lock_shorter(double: Double) -> None:
    wanted = double.later(3) + timedelta(milliseconds=300)
    double.store.put("one", b"1", ObjectRetention(Lock(GOVERNANCE, wanted)))
    lock = double.store.lock_state("one").lock
    assert lock is not None
    assert lock.until_utc >= wanted


def test_a_hold_keeps_an_object_without_any_lock(double: Double) -> None:
    double.store.put("one", b"1")
    double.store.set_hold("one", held=True)
    assert double.store.lock_state("one") == LockState(None, held=True)
    with pytest.raises(StoreDenied):
        double.store.delete("one", ANY_OBJECT)
    double.store.set_hold("one", held=False)
    double.store.delete("one", ANY_OBJECT)


def test_what_is_not_there_is_not_found(double: Double) -> None:
    with pytest.raises(ObjectNotFound):
        double.store.extend_lock("missing", Lock(GOVERNANCE, double.later(1)))
    with pytest.raises(ObjectNotFound):
        double.store.set_hold("missing", held=True)


def test_a_place_that_was_not_made_for_locks_takes_none(double: Double) -> None:
    double.worm.retention_enabled = double.worm.immutable = False
    assert isinstance(double.store, HasProbeCapability)
    settings = double.store.probe_capability().settings()
    assert settings.lock is Setting.OFF
    marks = list(judge_bucket("vault", LockMode.GOVERNANCE, double.store.capabilities, settings))
    assert isinstance(marks[0].refusal, LockUnsupported)
    double.store.put("one", b"1")
    with pytest.raises(LockDenied):
        double.store.extend_lock("one", Lock(GOVERNANCE, double.later(1)))


def test_a_place_that_was_made_for_locks_says_so(double: Double) -> None:
    assert isinstance(double.store, HasProbeCapability)
    assert double.store.probe_capability().settings().lock is Setting.ON


def test_no_request_asks_for_more_than_locking(double: Double) -> None:
    """Nothing of ours carries what lifts, overrides or deletes a lock."""
    double.store.put("one", b"1", ObjectRetention(Lock(GOVERNANCE, double.later(5))))
    double.store.extend_lock("one", Lock(GOVERNANCE, double.later(3)))
    double.store.extend_lock("one", Lock(GOVERNANCE, double.later(9)))
    for asked in double.worm.asked:
        assert "overrideUnlockedRetention=true" not in asked.path
        assert (asked.method, "immutabilityPolicies" in asked.path) != ("DELETE", True)


def settings_of(worm: GcsWorm) -> BucketSettings:
    with (
        answering(worm) as address,
        closing(open_store("gs://bucket/farshore", endpoint=address, clock=SystemClock())) as store,
    ):
        assert isinstance(store, HasProbeCapability)
        return store.probe_capability().settings()


@pytest.mark.parametrize(
    ("rule", "effect"),
    [
        ({"action": {"type": "Delete"}, "condition": {"age": 30}}, Effect.DELETES),
        (
            {"action": {"type": "Delete"}, "condition": {"age": 30, "matchesPrefix": ["farshore/packs/"]}},
            Effect.DELETES,
        ),
        ({"action": {"type": "Delete"}, "condition": {"age": 30, "matchesPrefix": ["logs/"]}}, None),
        ({"action": {"type": "Delete"}, "condition": {"age": 30, "isLive": False}}, Effect.DELETES_HIDDEN),
        ({"action": {"type": "Delete"}, "condition": {"numNewerVersions": 3}}, Effect.DELETES_HIDDEN),
        (
            {"action": {"type": "SetStorageClass", "storageClass": "ARCHIVE"}, "condition": {"age": 30}},
            Effect.MOVES,  # which is read at once there
        ),
        ({"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}}, None),
    ],
)
def test_lifecycle_rules_of_a_gcs_bucket_are_read(rule: dict[str, Any], effect: Effect | None) -> None:
    worm = GcsWorm(properties={"lifecycle": {"rule": [rule]}})
    with (
        answering(worm) as address,
        closing(open_store("gs://bucket/farshore", endpoint=address, clock=SystemClock())) as store,
    ):
        assert isinstance(store, HasProbeCapability)
        found = store.probe_capability().settings().lifecycle
    assert found is not None
    assert [one.effect for one in found] == ([] if effect is None else [effect])


def test_a_bucket_policy_and_an_event_based_hold_are_reported() -> None:
    worm = GcsWorm(properties={"retentionPolicy": {"retentionPeriod": "86400"}, "defaultEventBasedHold": True})
    with (
        answering(worm) as address,
        closing(open_store("gs://bucket/farshore", endpoint=address, clock=SystemClock())) as store,
    ):
        assert isinstance(store, HasProbeCapability)
        settings: BucketSettings = store.probe_capability().settings()
    assert settings.retention == "a retention policy of 86400 s and an event-based hold on every object"


def test_azure_says_that_its_lifecycle_rules_cannot_be_read() -> None:
    settings = BucketSettings(lock=Setting.ON)
    (mark,) = judge_bucket(
        "vault",
        None,
        open_store("az://container/x", credentials={"account": "a", "key": "aw=="}, clock=SystemClock()).capabilities,
        settings,
    )
    assert mark.refusal is None
    assert "lifecycle rules of Azure belong to the account" in mark.said
