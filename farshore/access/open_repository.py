"""From configuration to an open repository: every replica is asked for its header, and keys are unlocked.

The store of a replica is in wrappers that retry, pause, pace, count and refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path

from farshore import limits
from farshore.access.read_trust import believe, read_log, remember_log
from farshore.access.unlock import Anchor, Confirm, Need, has_secret, unlock
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
from farshore.host_resources import CACHE, STATE, make_private, temporary_instead, writable_or_temporary
from farshore.replicas.ask import FirstBug, OnWait, ask_all, unasked_error, wait_quietly
from farshore.replicas.repository import Replica, Repository, no_such_replica
from farshore.sealed.keys import KeySet
from farshore.stores.base import Store
from farshore.stores.object_retention import LockRule, RetentionRule
from farshore.stores.opening import extra_of, open_store
from farshore.stores.wrappers.base import ReadOnlyStore, WriteGuard
from farshore.stores.wrappers.metered import MeteredStore
from farshore.stores.wrappers.retrying import BreakerStore, RetryingStore
from farshore.trust.actions import Right

_S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # of the SDK, where the replica has no `endpoint`


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
    if writes is Writes.REPAIRS:  # under a lease, like all that is put beside rows
        return WriteGuard(puts_below=(names.AUDIT, names.LEASES, names.LOG), mends=True)
    return WriteGuard(puts_below=(names.AUDIT,) if writes is Writes.ROWS else ())


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


def open_repository(
    config: Config,
    *,
    need: Need,
    right: Right | None = None,
    replica: str | None = None,
    patient: bool = True,
    on_wait: OnWait = wait_quietly,
    writes: Writes = Writes.ALL,
    confirm: Confirm | None = None,
    older_log: bool = False,
    clock: Clock,
) -> Repository:
    """Open every replica, or one, read the headers and the owner log, and unlock the keys that are needed.

    Which header counts where replicas differ: the one that is pinned, remembered, or opened by the passphrase. State
    and cache are private. Replicas that cannot be reached, or whose header is damaged, are kept in `unreachable`.

    Args:
        right: Keys whose signer has it are preferred to this host's credential.
        patient: Wait for replicas that are silent after another one has answered; a reader does without them soon.
        on_wait: Called with the replicas that let the others wait, here and in later questions to all.
        confirm: Asks a person whether a fingerprint is the right one; for an identity on a host that knows none.
        writes: Changes that are allowed at the replicas; any other raises `StoreReadOnly`.
        older_log: Read the owner log as if this host had never seen it; what it remembers stays as it is.

    Raises:
        RepositoryMissing, RepositoryMismatch: No replica that answered holds a repository; they hold different ones.
        LogRolledBack, LogForked: The owner log lacks what this host has seen; or is divided, and something is written.
        FingerprintUnknown: An identity opens a repository that nothing on this host vouches for.
        FeatureMissing: The repository asks for a feature that this Farshore lacks.
        StoreUnavailable, StoreDenied, HeaderDamaged, FormatTooNew: No replica could be opened; with each one's reason.
        WrongPassphrase, CredentialCannotRead, KeyMissing: The keys cannot be had.
    """
    first_bug = FirstBug()
    opened, failed = ask_all(
        _chosen(config, replica), lambda name: open_with_header(config, config.replicas[name], clock, writes),
        clock=clock, patient=patient, on_wait=on_wait, first_bug=first_bug,
    )  # fmt: skip
    if not opened:
        raise unasked_error({name: failed[name] for name in config.replicas if name in failed})
    replicas = {name: one for name, (one, _) in opened.items()}
    headers = {name: header for name, (_, header) in opened.items()}
    if need in (Need.READ, Need.MOST):
        replicas = _priced(config, replicas)
    resources = ExitStack()
    make = partial(
        Repository,
        quorum=config.repository.quorum,
        configured=tuple(config.replicas),
        state_dir=_private_state(config, resources),
        cache_dir=resources.enter_context(writable_or_temporary(CACHE, config.cache_dir)),
        resources=resources,
        clock=clock,
        audit_paths=config.audit.paths,
        anchor=partial(_run_anchor, config) if config.audit.anchor else None,
        dedupe=config.repository.dedupe,
        prefer=config.reads.prefer, hedge=config.reads.hedge,
        patient=patient, on_wait=on_wait,
    )  # fmt: skip
    repository, found = believe(config, make, replicas, headers, failed)
    repository.threads.first_bug = first_bug
    try:
        read_log(repository, None if older_log else found.memory, writing=writes is Writes.ALL)
        repository.keys = _keys(config, repository, need, right, Anchor(bool(found.pins), confirm))
        remember_log(config, repository, found, older_log=older_log)
    except FarshoreError as error:
        repository.__exit__(type(error), error, error.__traceback__)
        raise
    return repository


def _chosen(config: Config, replica: str | None) -> list[str]:
    if replica is not None and replica not in config.replicas:
        raise no_such_replica(replica, config.replicas)
    return [name for name in config.replicas if replica in (None, name)]


def _private_state(config: Config, resources: ExitStack) -> Path:
    """Return the state directory; one that others may enter is done without, with a warning."""
    try:
        with suppress(OSError):  # which its users report, where they need it
            make_private(STATE, config.state_dir)
    except ConfigInvalid as trouble:
        return resources.enter_context(temporary_instead(STATE, trouble))
    return config.state_dir


def _run_anchor(config: Config, seal_hash: str) -> str:
    from farshore.access.anchor import run_anchor  # few commands seal rows

    return run_anchor(config, seal_hash)


def _keys(config: Config, repository: Repository, need: Need, right: Right | None, anchor: Anchor) -> KeySet | None:
    if need is Need.NONE:
        return None
    if need is Need.ANY:
        if not has_secret(config, repository.header):
            return None
        need = Need.WRITE
    return unlock(config, repository, need, anchor, right=right)


def _priced(config: Config, replicas: dict[str, Replica]) -> dict[str, Replica]:
    """Return the replicas with what reading from them is billed; no price table is loaded where nothing can be."""
    if config.cost.prices is None and not any(extra_of(one.url) for one in replicas.values()):
        return replicas
    from farshore.access.read_prices import read_prices

    prices = read_prices(config)
    return {name: replace(one, price=prices.get(name, one.price)) for name, one in replicas.items()}


def open_with_header(config: Config, replica: ReplicaConfig, clock: Clock, writes: Writes) -> tuple[Replica, Header]:
    """Return a replica that answered, and its header; the read of the header is the first measure of its pace.

    Raises:
        RepositoryMissing: There is no header.
        HeaderDamaged: The header is far too large or damaged.
        FarshoreError: As `open_replica` and a read raise.
    """
    opened = open_replica(config, replica, clock, writes=writes)
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
