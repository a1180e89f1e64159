"""One replica opened by its configuration: its store, in wrappers that retry, pause, pace, count and refuse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from farshore import limits
from farshore.clock import Clock
from farshore.config import Config, ReplicaConfig
from farshore.config.parsing import is_plain, is_plain_connection
from farshore.errors import (
    ConfigInvalid,
    FarshoreError,
    HeaderDamaged,
    ObjectNotFound,
    ObjectTooLarge,
    RepositoryMissing,
)
from farshore.format import names
from farshore.format.header import Header, decode_header
from farshore.format.names import object_bytes_max
from farshore.replicas.repository import Replica
from farshore.stores import extra_of, open_store
from farshore.stores.base import AsksAhead, Store
from farshore.stores.object_retention import LockRule, RetentionRule
from farshore.stores.wrappers import ReadOnlyStore, WriteGuard
from farshore.stores.wrappers.metered import MeteredStore
from farshore.stores.wrappers.retrying import BreakerStore, RetryingStore

_S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # of the SDK, where the replica has no `endpoint`


class Writes(StrEnum):
    """Which objects a command may change at the replicas that it opens."""

    ALL = "all"
    NONE = "none"  # it only reads
    ROWS = "rows"  # rows of the audit tables, and verdicts on packs
    REPAIRS = "repairs"  # those, and objects that were read and proven damaged


def guard_for(writes: Writes) -> WriteGuard | None:
    """Return what a replica's store asks before it sends a change; None where it sends all."""
    if writes is Writes.ALL:
        return None
    if writes is Writes.REPAIRS:  # under a lease, like all that is put beside rows
        return WriteGuard(puts_below=(names.AUDIT, names.VERDICTS, names.LEASES, names.LOG), mends=True)
    return WriteGuard(puts_below=(names.AUDIT, names.VERDICTS) if writes is Writes.ROWS else ())


def open_bare_store(config: Config, replica: ReplicaConfig, clock: Clock) -> Store:
    """Return a replica's store without any wrapper. Sends nothing yet. Errors are those of `open_replica`."""
    credentials = {key: config.reveal(secret) for key, secret in replica.credentials.items()}
    _require_private(config, replica, credentials)
    return open_store(
        replica.url, endpoint=replica.endpoint, region=replica.region, credentials=credentials, clock=clock
    )


def _require_private(config: Config, replica: ReplicaConfig, credentials: Mapping[str, str]) -> None:
    """Refuse a server that is asked in clear over a network, where it is named elsewhere than by `endpoint`."""
    named = ""
    if is_plain_connection(credentials.get("connection_string", "")):
        named = "its connection_string"
    elif replica.url.startswith("s3://") and replica.endpoint is None:
        variables = [name for name in _S3_ENDPOINTS if is_plain(config.environment.get(name, ""))]
        named = variables[0] if variables else ""
    if named and not replica.insecure:
        raise ConfigInvalid(
            f"replica {replica.name} is at a server that {named} names by http://, so everybody on the way sees which "
            "objects there are, and can answer in its place",
            f"Let it say https, or write insecure = true under [replicas.{replica.name}] for a network that is yours.",
        )


def retention_rule(replica: ReplicaConfig) -> RetentionRule:
    """Return how the objects of a replica are kept."""
    if not replica.lock or replica.lock_for is None:
        return RetentionRule(storage_class=replica.storage_class)
    lock = LockRule(replica.lock, replica.lock_for, min(replica.lock_slack, replica.lock_for))
    return RetentionRule(lock, replica.storage_class)


def open_replica(config: Config, replica: ReplicaConfig, clock: Clock, *, writes: Writes = Writes.ALL) -> Replica:
    """Return a replica whose store retries, stops asking when all fails, keeps to a bandwidth and counts.

    From the outside in: ahead (of a service), kept (lock and storage class, where something may be put), retrying,
    breaker, throttled, read-only, traced (where a trace is written), metered, store. So the breaker sees each failed
    attempt once, and what it refuses is no request; an attempt that is made again is paced again; the meter counts what
    is really sent.
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
    sending: Store = config.watch(replica.name, meter) if config.watch else meter
    inner: Store = sending if guard is None else ReadOnlyStore(sending, guard)
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
    if extra_of(store.url):  # a service, which may be far away
        from farshore.stores.wrappers.ahead import AheadStore

        outer = AheadStore(outer, once=inner)
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


def open_with_header(
    config: Config, replica: ReplicaConfig, clock: Clock, writes: Writes, ahead: Iterable[str] = ()
) -> tuple[Replica, Header]:
    """Return a replica that answered, and its header; the read of the header is the first measure of its pace.

    Args:
        ahead: Prefixes that will be listed whatever the header says, asked for at the same time.

    Raises:
        RepositoryMissing: There is no header.
        HeaderDamaged: The header is far too large or damaged.
        FarshoreError: As `open_replica` and a read raise.
    """
    opened = open_replica(config, replica, clock, writes=writes)
    if isinstance(opened.store, AsksAhead):
        opened.store.ask_ahead(ahead)
    try:
        started_s = clock.monotonic_s()
        data = opened.store.get(names.HEADER, bytes_max=object_bytes_max(names.HEADER))
        opened.pace.record(len(data), clock.monotonic_s() - started_s)
        return opened, decode_header(data, opened.url)
    except ObjectTooLarge as error:
        opened.store.close()
        raise HeaderDamaged(f"the header at {opened.url} is far too large") from error
    except ObjectNotFound as error:
        opened.store.close()
        raise RepositoryMissing(f"there is no repository at {replica.name} ({opened.url})") from error
    except FarshoreError:
        opened.store.close()
        raise
