"""From configuration to an open repository: every replica is asked for its header, and keys are unlocked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from farshore.access.open_replica import Writes, open_with_header
from farshore.access.read_trust import believe, read_log, remember_log
from farshore.access.unlock import Anchor, Confirm, Need, has_secret, unlock
from farshore.clock import Clock
from farshore.config import Config
from farshore.errors import (
    ConfigInvalid,
    FarshoreError,
)
from farshore.format import names
from farshore.host_resources import CACHE, STATE, make_private, temporary_instead, writable_or_temporary
from farshore.replicas import FirstBug, OnWait, ask_all, unasked_error, wait_quietly
from farshore.replicas.repository import Replica, Repository, no_such_replica
from farshore.sealed import KeySet
from farshore.stores import extra_of
from farshore.trust.actions import Right


def open_repository(  # noqa: PLR0913 - all by name, and each is of one step
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
    ahead: Sequence[str] = (),
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
        ahead: Prefixes that the caller will list at every replica, and that need not follow any other request of it: a
            service is asked for them at once, with the header and the owner log.

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
        _chosen(config, replica),
        lambda name: open_with_header(config, config.replicas[name], clock, writes, (names.LOG, *ahead)),
        clock=clock, patient=patient, on_wait=on_wait, first_bug=first_bug,
    )  # fmt: skip
    if not opened:
        raise unasked_error({name: failed[name] for name in config.replicas if name in failed})
    replicas = {name: one for name, (one, _) in opened.items()}
    headers = {name: header for name, (_, header) in opened.items()}
    if need in (Need.READ, Need.MOST):
        replicas = _priced(config, replicas)
    make = _maker(config, clock, patient=patient, on_wait=on_wait)
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


def _maker(config: Config, clock: Clock, *, patient: bool, on_wait: OnWait) -> Callable[..., Repository]:
    """Return what makes a repository of a header, its replicas and those that are unreachable."""
    resources = ExitStack()
    return partial(
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
