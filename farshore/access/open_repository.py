"""From configuration to an open repository: every replica is asked for its header, and keys are unlocked."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from farshore.access.open_replica import Writes, open_replica
from farshore.access.unlock import Need, has_secret, unlock
from farshore.clock import Clock
from farshore.config import Config, ReplicaConfig
from farshore.errors import (
    FarshoreError,
    HeaderDamaged,
    ObjectNotFound,
    ObjectTooLarge,
    RepositoryMismatch,
    RepositoryMissing,
)
from farshore.format import names
from farshore.format.bounds import object_bytes_max
from farshore.format.header import Header, decode_header
from farshore.host_places import CACHE
from farshore.replicas.ask import FirstBug, OnWait, ask_all, unasked_error, wait_quietly
from farshore.replicas.repository import Replica, Repository, no_such_replica
from farshore.scratch import writable_or_temporary
from farshore.stores.opening import extra_of


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
        writes: Changes that are allowed at the replicas; any other raises `StoreReadOnly`.

    Raises:
        RepositoryMissing: No replica that answered holds a repository.
        RepositoryMismatch: Two replicas belong to different repositories.
        StoreUnavailable, StoreDenied, HeaderDamaged, FormatTooNew: No replica could be opened; with each one's reason.
        WrongPassphrase, CredentialCannotRead, KeyMissing: The keys cannot be had.
    """
    if replica is not None and replica not in config.replicas:
        raise no_such_replica(replica, config.replicas)
    chosen = [one for name, one in config.replicas.items() if replica in (None, name)]
    replicas: dict[str, Replica] = {}
    headers: dict[str, Header] = {}
    first_bug = FirstBug()
    opened, failed = ask_all(
        [one.name for one in chosen], lambda name: open_with_header(config, config.replicas[name], clock, writes),
        clock=clock, patient=patient, on_wait=on_wait, first_bug=first_bug,
    )  # fmt: skip
    for name, result in opened.items():
        replicas[name], headers[name] = result
    if not headers:
        raise unasked_error({name: failed[name] for name in config.replicas if name in failed})
    _check_same(headers)
    header = next(iter(headers.values()))
    if need in (Need.READ, Need.MOST):
        replicas = _priced(config, replicas)
    resources = ExitStack()
    repository = Repository(
        header=header,
        quorum=config.repository.quorum,
        replicas=replicas,
        unreachable={name: failed[name] for name in config.replicas if name in failed},
        configured=tuple(config.replicas),
        state_dir=config.state_dir,
        cache_dir=resources.enter_context(writable_or_temporary(CACHE, config.cache_dir)),
        resources=resources,
        clock=clock,
        audit_paths=config.audit.paths,
        prefer=config.reads.prefer,
        hedge=config.reads.hedge,
        patient=patient,
        on_wait=on_wait,
    )
    repository.threads.first_bug = first_bug
    try:
        if need is Need.ANY:
            repository.keys = unlock(config, repository, Need.WRITE) if has_secret(config, header) else None
        elif need is not Need.NONE:
            repository.keys = unlock(config, repository, need)
    except FarshoreError as error:
        repository.__exit__(type(error), error, error.__traceback__)
        raise
    return repository


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
