"""From configuration to one replica: its store in wrappers that retry, pause, pace, count and refuse."""

from __future__ import annotations

from enum import StrEnum

from farshore import limits
from farshore.clock import Clock
from farshore.config import Config, ReplicaConfig
from farshore.config.places import is_plain_connection
from farshore.errors import ConfigInvalid
from farshore.format import names
from farshore.replicas.repository import Replica
from farshore.stores.base import Store
from farshore.stores.object_retention import LockRule, RetentionRule
from farshore.stores.opening import open_store
from farshore.stores.wrappers.metered import MeteredStore
from farshore.stores.wrappers.read_only import ReadOnlyStore, WriteGuard
from farshore.stores.wrappers.retrying import BreakerStore, RetryingStore


class Writes(StrEnum):
    """Which objects a command may change at the replicas that it opens."""

    ALL = "all"
    NONE = "none"  # it only reads
    ROWS = "rows"  # rows of the audit tables
    REPAIRS = "repairs"  # those, and objects that were read and proven damaged


def guard_for(writes: Writes) -> WriteGuard | None:
    """Return what a replica's store asks before it sends a change; None where it sends all."""
    if writes is Writes.ALL:
        return None
    rows = (names.AUDIT,) if writes in (Writes.ROWS, Writes.REPAIRS) else ()
    return WriteGuard(puts_below=rows, mends=writes is Writes.REPAIRS)


def open_bare_store(config: Config, replica: ReplicaConfig, clock: Clock) -> Store:
    """Return a replica's store without any wrapper. Sends nothing yet. Errors are those of `open_replica`."""
    credentials = {key: config.reveal(secret) for key, secret in replica.credentials.items()}
    if not replica.insecure and is_plain_connection(credentials.get("connection_string", "")):
        raise ConfigInvalid(
            f"the connection_string of replica {replica.name} names a server by http://, so everybody on the way sees "
            "which objects there are, and can answer in its place",
            f"Let it say https, or write insecure = true under [replicas.{replica.name}] for a network that is yours.",
        )
    return open_store(
        replica.url, endpoint=replica.endpoint, region=replica.region, credentials=credentials, clock=clock
    )


def retention_rule(replica: ReplicaConfig) -> RetentionRule:
    """Return how the objects of a replica are kept."""
    if not replica.lock or replica.lock_for is None:
        return RetentionRule(storage_class=replica.storage_class)
    lock = LockRule(replica.lock, replica.lock_for, min(replica.lock_slack, replica.lock_for))
    return RetentionRule(lock, replica.storage_class)


def open_replica(config: Config, replica: ReplicaConfig, clock: Clock, *, writes: Writes = Writes.ALL) -> Replica:
    """Return a replica whose store retries, stops asking when all fails, keeps to a bandwidth and counts.

    From the outside in: kept (lock and storage class, where something may be put), retrying, breaker, throttled,
    read-only, metered, store. So the breaker sees each failed attempt once, and what it refuses is no request; an
    attempt that is made again is paced again; the meter counts what is really sent.
    Sends nothing yet.

    Args:
        writes: Changes that are allowed there; any other raises `StoreReadOnly`.

    Raises:
        ConfigInvalid, SecretUnavailable: Its URL or credentials cannot be used.
        ExtraMissing: The SDK that it needs is not installed.
    """
    store = open_bare_store(config, replica, clock)
    guard = guard_for(writes)
    meter = MeteredStore(store)
    inner: Store = meter if guard is None else ReadOnlyStore(meter, guard)
    if replica.bandwidth_up or replica.bandwidth_down:
        from farshore.stores.wrappers.throttled import ThrottledStore

        inner = ThrottledStore(
            inner, clock=clock, up_bytes_per_s=replica.bandwidth_up, down_bytes_per_s=replica.bandwidth_down
        )
    rule = retention_rule(replica)
    outer: Store = RetryingStore(BreakerStore(inner, clock=clock), clock=clock)
    if writes is not Writes.NONE:
        from farshore.stores.wrappers.retention import RetentionStore

        outer = RetentionStore(outer, lambda name: rule.retention_of(name, clock.now_utc()))
    return Replica(
        replica.name, replica.region, store.url, outer, meter,
        uploads=uploads_at_once(replica), spool_bytes=replica.spool_bytes, retention_rule=rule,
        guard=guard or WriteGuard(),
    )  # fmt: skip


def uploads_at_once(replica: ReplicaConfig) -> int:
    """Return how many packs are put at once: fewer than configured where they would share too small a bandwidth.

    One after the other they need as long in all, and an interruption wastes part of one pack and not of four.
    """
    if replica.bandwidth_up is None:
        return replica.uploads
    return max(1, min(replica.uploads, int(replica.bandwidth_up * limits.PACED_PACK_S // limits.PACK_BYTES_TARGET)))
