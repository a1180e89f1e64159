"""From configuration to an open repository, and to a source."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from farshore import limits
from farshore.access.read_prices import read_prices
from farshore.audit.names import AUDIT
from farshore.clock import Clock
from farshore.config import Config, DirectoryConfig, ReplicaConfig, SqliteConfig, read_private_file
from farshore.errors import (
    CredentialCannotRead,
    FarshoreError,
    HeaderDamaged,
    KeyMissing,
    ObjectNotFound,
    RepositoryMismatch,
    RepositoryMissing,
    SecretUnavailable,
    SourceMissing,
    WrongPassphrase,
)
from farshore.extras import needed_extra
from farshore.format import names
from farshore.format.header import Header, decode_header
from farshore.host_places import CACHE
from farshore.replicas.ask import OnWait, ask_all, wait_quietly
from farshore.replicas.reader import open_reader
from farshore.replicas.reading_order import Prefer
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.retention_rule import KeepingRule, LockRule
from farshore.replicas.unasked import unasked_error
from farshore.scratch import writable_or_temporary
from farshore.sealed import slots
from farshore.sealed.keys import KeySet
from farshore.sources.base import Source
from farshore.sources.directory.source import DirectorySource
from farshore.sources.marks import is_container
from farshore.stores.base import Store
from farshore.stores.object_retention import LockMode
from farshore.stores.opening import open_store
from farshore.stores.wrappers.breaker import BreakerStore
from farshore.stores.wrappers.metered import MeteredStore
from farshore.stores.wrappers.read_only import ReadOnlyStore, WriteGuard
from farshore.stores.wrappers.retention import RetentionStore
from farshore.stores.wrappers.retrying import RetryingStore
from farshore.stores.wrappers.throttled import ThrottledStore

CREDENTIAL_FILE = "credential.json"
_WRITE_ONLY = "this host holds only a write-only credential, which adds backups and cannot read one"
_READ_ELSEWHERE = (
    "Run this on another machine, one that has the passphrase or an identity; or give this host one for this run alone."
)
_log = logging.getLogger(__name__)


class Need(StrEnum):
    """Which keys an operation needs."""

    NONE = "none"
    WRITE = "write"
    READ = "read"
    MOST = "most"  # a reader's where this host has one, else a writer's


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
    rows = (AUDIT,) if writes in (Writes.ROWS, Writes.REPAIRS) else ()
    return WriteGuard(puts_below=rows, mends=writes is Writes.REPAIRS)


def open_bare_store(config: Config, replica: ReplicaConfig, clock: Clock) -> Store:
    """Return a replica's store without any wrapper. Sends nothing yet. Errors are those of `open_replica`."""
    credentials = {key: config.reveal(secret) for key, secret in replica.credentials.items()}
    return open_store(
        replica.url, endpoint=replica.endpoint, region=replica.region, credentials=credentials, clock=clock
    )


def keeping_rule(replica: ReplicaConfig) -> KeepingRule:
    """Return how the objects of a replica are kept."""
    if not replica.lock or replica.lock_for is None:
        return KeepingRule(storage_class=replica.storage_class)
    lock = LockRule(LockMode(replica.lock), replica.lock_for, min(replica.lock_slack, replica.lock_for))
    return KeepingRule(lock, replica.storage_class)


def open_replica(config: Config, replica: ReplicaConfig, clock: Clock, *, writes: Writes = Writes.ALL) -> Replica:
    """Return a replica whose store retries, stops asking when all fails, keeps to a bandwidth and counts.

    From the outside in: kept (lock and storage class), retrying, breaker, throttled, read-only, metered, store. So the
    breaker sees each failed attempt once, and what it refuses is no request; an attempt that is made again is paced
    again; the meter counts what is really sent.
    Sends nothing yet.

    Args:
        writes: What may be changed there; any other change raises `StoreReadOnly`.

    Raises:
        ConfigInvalid, SecretUnavailable: Its URL or credentials cannot be used.
        ExtraMissing: The SDK that it needs is not installed.
    """
    store = open_bare_store(config, replica, clock)
    guard = guard_for(writes)
    meter = MeteredStore(store)
    inner: Store = meter if guard is None else ReadOnlyStore(meter, guard)
    if replica.bandwidth_up or replica.bandwidth_down:
        inner = ThrottledStore(
            inner, clock=clock, up_bytes_per_s=replica.bandwidth_up, down_bytes_per_s=replica.bandwidth_down
        )
    rule = keeping_rule(replica)
    retrying = RetryingStore(BreakerStore(inner, clock=clock), clock=clock)
    return Replica(
        replica.name, replica.region, store.url,
        RetentionStore(retrying, lambda name: rule.keeping(name, clock.now_utc())), meter,
        uploads=uploads_at_once(replica), spool_bytes=replica.spool_bytes, keeping=rule, guard=guard or WriteGuard(),
    )  # fmt: skip


def uploads_at_once(replica: ReplicaConfig) -> int:
    """Return how many packs are put at once: fewer than configured where they would share too small a bandwidth.

    One after the other they take as long in all, and what is interrupted is one part of a pack and not four.
    """
    if replica.bandwidth_up is None:
        return replica.uploads
    return max(1, min(replica.uploads, int(replica.bandwidth_up * limits.PACED_PACK_S // limits.PACK_BYTES_TARGET)))


def open_repository(
    config: Config,
    *,
    need: Need,
    replica: str | None = None,
    patient: bool = True,
    on_wait: OnWait = wait_quietly,
    writes: Writes = Writes.ALL,
    clock: Clock,
) -> Repository:
    """Open every replica, or one, read the headers, and unlock the keys that are needed.

    Replicas that cannot be reached, or whose header is damaged, are kept in `unreachable`; the others serve.

    Args:
        patient: Wait for replicas that are silent after another one has answered; a reader does without them soon.
        on_wait: Called with the replicas that let the others wait, here and in later questions to all.
        writes: What may be changed at the replicas; any other change raises `StoreReadOnly`.

    Raises:
        RepositoryMissing: No replica that answered holds a repository.
        RepositoryMismatch: Two replicas belong to different repositories.
        StoreUnavailable, StoreDenied, HeaderDamaged, FormatTooNew: No replica could be opened; with each one's reason.
        WrongPassphrase, CredentialCannotRead, KeyMissing: The keys cannot be had.
    """
    if replica is not None and replica not in config.replicas:
        known = ", ".join(config.replicas)
        raise RepositoryMissing(f"no replica is named {replica}", f"The configuration names these: {known}.")
    chosen = [one for name, one in config.replicas.items() if replica in (None, name)]
    replicas: dict[str, Replica] = {}
    headers: dict[str, Header] = {}
    opened, failed = ask_all(
        [one.name for one in chosen], lambda name: _open_one(config, config.replicas[name], clock, writes), clock=clock,
        patient=patient, on_wait=on_wait,
    )  # fmt: skip
    for name, result in opened.items():
        replicas[name], headers[name] = result
    if not headers:
        raise unasked_error({name: failed[name] for name in config.replicas if name in failed})
    _check_same(headers)
    header = next(iter(headers.values()))
    if need in (Need.READ, Need.MOST):
        prices = read_prices(config)
        replicas = {name: replace(one, price=prices.get(name, one.price)) for name, one in replicas.items()}
    held = ExitStack()
    repository = Repository(
        header=header,
        quorum=config.repository.quorum,
        replicas=replicas,
        unreachable={name: failed[name] for name in config.replicas if name in failed},
        configured=tuple(config.replicas),
        state_dir=config.state_dir,
        cache_dir=held.enter_context(writable_or_temporary(CACHE, config.cache_dir)),
        held=held,
        clock=clock,
        audit_paths=config.audit.paths,
        prefer=Prefer(config.reads.prefer),
        hedge=config.reads.hedge,
        patient=patient,
        on_wait=on_wait,
    )
    try:
        if need is not Need.NONE:
            repository.keys = unlock(config, repository, need)
    except FarshoreError:
        repository.__exit__()
        raise
    return repository


def credential_path(config: Config, header: Header) -> Path:
    """Return where this host's write-only credential is kept."""
    return config.repository.credential or config.state_dir / "credentials" / header.repository_id / CREDENTIAL_FILE


def unlock(config: Config, repository: Repository, need: Need) -> KeySet:
    """Return the keys from the host's credential, an identity file or the passphrase, whichever serves the need."""
    if need is Need.MOST:
        try:
            return unlock(config, repository, Need.READ)
        except CredentialCannotRead:
            return unlock(config, repository, Need.WRITE)
    header = repository.header
    path = credential_path(config, header)
    if need is Need.WRITE and (credential := _read_credential(config, path)) is not None:
        return slots.decode_credential(credential, header, str(path))
    write_only = os.path.lexists(path)
    if config.repository.identity is None and config.repository.passphrase is None:
        if write_only:
            raise CredentialCannotRead(_WRITE_ONLY, _READ_ELSEWHERE)
        raise KeyMissing(
            "there is no passphrase, identity or credential to open the repository with",
            'Set repository.passphrase = { env = "FARSHORE_PASSPHRASE" } in farshore.toml, and the variable.',
        )
    identity, passphrase = b"", b""
    try:
        if config.repository.identity is not None:
            identity = _read_identity(config.repository.identity)
        if config.repository.passphrase is not None:
            passphrase = config.reveal_passphrase(config.repository.passphrase)
    except (SecretUnavailable, KeyMissing) as error:
        if not write_only or not _were_taken_off(config):
            raise
        raise CredentialCannotRead(f"{_WRITE_ONLY} ({error.message})", _READ_ELSEWHERE) from error
    return open_slots(repository, passphrase=passphrase, identity=identity)


def _were_taken_off(config: Config) -> bool:
    """Whether a key that the configuration names is not on this host, as after it was enrolled."""
    identity, passphrase = config.repository.identity, config.repository.passphrase
    return (identity is not None and not os.path.lexists(identity)) or (
        passphrase is not None and passphrase.is_absent(config.environment)
    )


def _read_credential(config: Config, path: Path) -> bytes | None:
    """Return this host's credential, or None where there is none, or where the keys are to be had without it.

    Raises:
        KeyMissing: It is there, cannot be read, and there is nothing else.
        SecretUnavailable: Others can read it.
    """
    try:
        return read_private_file(path, "credential")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        trouble = f"the credential {path} cannot be read: {error.strerror}"
        if config.repository.identity is None and config.repository.passphrase is None:
            raise KeyMissing(trouble, "Run as the user that it belongs to, or let this one read it.") from error
        _log.warning("%s; the passphrase or identity is used instead", trouble)
        return None


def open_slots(repository: Repository, *, passphrase: str | bytes, identity: bytes) -> KeySet:
    """Try every key slot of the replicas; a slot damaged at one replica is read from the next.

    Raises:
        WrongPassphrase: Slots were read and none opens.
        HeaderDamaged: No slot could be read.
    """
    tried: set[str] = set()
    told: set[str] = set()
    damaged: FarshoreError | None = None
    reader = open_reader(repository)
    while left := repository.replicas.keys() - told:
        try:
            replica, listed = reader.among(left).ask(names.SLOTS, _list_slots)
        except FarshoreError as error:
            damaged = error
            break
        told.add(replica.name)
        for name in listed:
            if name in tried:
                continue
            try:
                keys = reader.get(
                    name,
                    lambda data: slots.open_slot(data, repository.header, passphrase=passphrase, identity=identity),
                )
            except FarshoreError as error:
                damaged = error
                continue
            tried.add(name)
            if keys is not None:
                return keys
    if tried:
        raise WrongPassphrase("the passphrase or identity opens none of the repository's key slots")
    raise damaged or HeaderDamaged("the repository has no key slot", "Copy keys/slots from another replica.")


def _list_slots(replica: Replica) -> tuple[Replica, list[str]]:
    return replica, [info.name for info in replica.store.list(names.SLOTS) if names.parse_slot(info.name)]


def open_source(config: Config, name: str, *, clock: Clock) -> Source:
    """Return a source of the configuration. Reads nothing yet but the secret it names.

    Raises:
        SourceMissing: No source has this name.
        ExtraMissing: The driver that such a source needs is not installed.
    """
    source = config.sources.get(name)
    if source is None:
        known = ", ".join(config.sources) or "none"
        raise SourceMissing(f"no source is named {name}", f"The configuration names these: {known}.")
    if isinstance(source, DirectoryConfig):
        return DirectorySource(
            name=name,
            path=source.path,
            exclude=source.exclude,
            one_file_system=source.one_file_system,
            paged=source.paged,
            exclude_caches=source.exclude_caches,
            exclude_if_present=source.exclude_if_present,
            hosts=source.hosts,
            in_container=is_container(config.environment),
            clock=clock,
        )
    if isinstance(source, SqliteConfig):
        from farshore.sources.sqlite.source import SqliteSource

        in_container = is_container(config.environment)
        return SqliteSource(name=name, path=source.path, hosts=source.hosts, in_container=in_container, clock=clock)
    with needed_extra("postgres"):
        from farshore.sources.postgres.source import PostgresSource  # its driver takes a third of a second to import

    return PostgresSource(name=name, dsn=config.reveal(source.dsn), clock=clock)


def _open_one(config: Config, replica: ReplicaConfig, clock: Clock, writes: Writes) -> tuple[Replica, Header]:
    opened = open_replica(config, replica, clock, writes=writes)
    try:
        started_s = clock.monotonic_s()
        data = opened.store.get(names.HEADER)
        opened.pace.took(len(data), clock.monotonic_s() - started_s)
        if len(data) > limits.SMALL_OBJECT_BYTES_MAX:
            raise HeaderDamaged(f"the header at {opened.url} is far too large")
        return opened, decode_header(data, opened.url)
    except ObjectNotFound as error:
        opened.store.close()
        raise RepositoryMissing(f"there is no repository at {replica.name} ({opened.url})") from error
    except FarshoreError:
        opened.store.close()
        raise


def _check_same(headers: dict[str, Header]) -> None:
    if len({header.repository_id for header in headers.values()}) > 1:
        listed = ", ".join(f"{name}: {header.repository_id}" for name, header in headers.items())
        raise RepositoryMismatch(f"the replicas belong to different repositories ({listed})")
    if len({header.check for header in headers.values()}) > 1:
        listed = ", ".join(f"{name}: {header.check[:8]}" for name, header in headers.items())
        raise RepositoryMismatch(
            f"the replicas hold different headers of one repository ({listed}), so one was exchanged",
            "Open each replica by itself with --replica; the one that opens no key slot has the wrong header.",
        )


def _read_identity(path: Path) -> bytes:
    try:
        return slots.decode_identity(read_private_file(path, "identity file"), str(path))
    except OSError as error:
        raise KeyMissing(
            f"the identity file {path} cannot be read: {error.strerror}", "Check repository.identity."
        ) from error
