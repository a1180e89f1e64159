"""Trust in a repository: its header chosen, its owner log read, both remembered on this host."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress

from farshore import limits
from farshore.access.choose_header import ChosenHeader, choose_header
from farshore.config import Config
from farshore.errors import (
    OPENING_ERRORS,
    FarshoreError,
    FeatureMissing,
    HeaderDamaged,
    LogRolledBack,
    RepositoryMismatch,
)
from farshore.format import names
from farshore.format.header import KNOWN_FEATURES, Header
from farshore.format.names import LATER_HEADER, object_bytes_max
from farshore.replicas.owner_log import check_writable, read_named, read_owner_log
from farshore.replicas.repository import Replica, Repository
from farshore.sealed.keys import Role
from farshore.trust.memory import Memory, remember

_log = logging.getLogger(__name__)


def believe(
    config: Config,
    make: Callable[..., Repository],
    replicas: Mapping[str, Replica],
    headers: Mapping[str, Header],
    failed: Mapping[str, FarshoreError],
) -> tuple[Repository, ChosenHeader]:
    """Return the repository of the header that counts, with the replicas that hold it; the others are closed.

    Args:
        make: Makes a repository of a header, its replicas and those that are unreachable.

    Raises:
        RepositoryMismatch: Nothing decides between the headers, or none is the pinned one. Every replica is closed.
    """
    try:
        found = choose_header(
            config,
            headers,
            lambda header, at: _opens(config, make, header, _of(replicas, at)),
            lambda at, wanted: _later_headers(_of(replicas, at), wanted),
        )
    except FarshoreError:
        for one in replicas.values():
            one.store.close()
        raise
    for name in found.left_out:
        replicas[name].store.close()
    unreachable = {**failed, **found.left_out}
    repository = make(
        header=found.header,
        replicas=_of(replicas, found.replicas),
        unreachable={name: unreachable[name] for name in config.replicas if name in unreachable},
    )
    return repository, found


def read_log(repository: Repository, memory: Memory | None, *, writing: bool) -> None:
    """Read the owner log into a repository.

    Raises:
        LogRolledBack: It shows less than this host has seen.
        HeaderDamaged: There is none.
        FeatureMissing: It asks for a feature that this Farshore lacks.
        LogForked: It is divided, and something will be written.
        RepositoryMismatch: A reader has given the repository a new owner since, and something will be written.
    """
    remembered = memory.head if memory is not None else None
    repository.log = read_owner_log(repository, remembered)
    repository.memory = memory
    trust = repository.trust
    if trust.rolled_back and remembered is not None:
        raise LogRolledBack(f"no replica shows entry {remembered.number} of the owner log, which this host has seen")
    if not trust.recipients or not trust.domains:
        raise HeaderDamaged(
            "the owner log of the repository is not there, or cannot be read",
            "Copy keys/log from another replica; 'farshore heal' does it where another one can be reached.",
        )
    unknown = sorted(trust.must_understand - KNOWN_FEATURES)
    if unknown:
        raise FeatureMissing(f"the owner log needs features this Farshore lacks: {', '.join(unknown)}")
    _look_for_new_owner(repository, writing=writing)
    if writing:
        check_writable(trust)


def remember_log(config: Config, repository: Repository, found: ChosenHeader, *, older_log: bool = False) -> None:
    """Keep the fingerprint and the newest entry of the log on this host, once something vouches for the header.

    Args:
        older_log: The log was read without what is remembered, so it says nothing of what is newer: keep nothing.
    """
    if older_log or (not found.pins and repository.keys is None):
        return
    places = frozenset(one.url for name, one in config.replicas.items() if name in repository.replicas)
    seen = Memory(found.header.fingerprint.hex(), repository.trust.head, places=places)
    with suppress(OSError):  # a host without a state directory was warned of it
        repository.memory = remember(
            repository.state_dir, repository.repository_id, seen, read_with=found.memory, past=found.header.past
        )


def _later_headers(replicas: Mapping[str, Replica], wanted: Iterable[bytes]) -> Iterator[Header]:
    """Yield the later headers at replicas whose fingerprints begin so."""
    from farshore.trust.later_header import name_of, read_later_header  # few repositories have any

    beginnings = tuple(name_of(one) for one in wanted)
    for replica in replicas.values():
        with suppress(*OPENING_ERRORS):
            for info in replica.store.list(names.log_subject(LATER_HEADER)):
                if info.name.startswith(beginnings):
                    data = replica.store.get(info.name, bytes_max=object_bytes_max(info.name))
                    header = read_later_header(info.name, data)
                    if header is not None:
                        yield header


def _look_for_new_owner(repository: Repository, *, writing: bool) -> None:
    """Refuse to write, or warn, where a reader has signed a header that follows this one."""
    held = repository.log.held if repository.log is not None else {}
    own = (repository.header.fingerprint, *repository.header.past)
    known = {names.log_entry(LATER_HEADER, one.hex()) for one in own}
    holders: dict[str, list[str]] = {}
    for replica, listed in held.items():
        for name in listed - known:
            if name.startswith(names.log_subject(LATER_HEADER)):
                holders.setdefault(name, []).append(replica)
    if not holders:
        return
    from farshore.trust.later_header import replaces

    for name in sorted(holders, key=lambda one: (-len(holders[one]), one))[: limits.LOG_ENTRIES_OF_NUMBER_MAX]:
        data = read_named(repository, name, holders[name])
        later = replaces(name, data, repository.header, repository.trust) if data is not None else None
        if later is None:
            continue
        said = (
            f"a reader gave the repository a new owner on {later.created_utc:%Y-%m-%d}: its fingerprint is "
            f"{later.fingerprint.hex()}, and this host goes by the one before"
        )
        if writing:
            raise RepositoryMismatch(
                said,
                "Ask who did it. Where it is so, enroll this host anew with the new owner's key and give it that "
                f"credential; where it writes with a reader's secret, 'farshore key trust {later.fingerprint.hex()}'. "
                "Where it is not, a reader's secret was stolen: revoke its key. Restores go on as before.",
            )
        _log.warning("%s", said)


def _opens(config: Config, make: Callable[..., Repository], header: Header, replicas: dict[str, Replica]) -> bool:
    """Whether the passphrase opens a slot of the repository that these replicas show."""
    if config.repository.passphrase is None:
        return False
    from farshore.access.open_slots import Secrets, open_slots  # headers differ, which is rare

    secrets = Secrets(passphrase=config.reveal_passphrase(config.repository.passphrase))
    shown = make(header=header, replicas=replicas, unreachable={})
    try:
        shown.log = read_owner_log(shown, None)
        return bool(open_slots(shown, secrets, Role.READER, required=False))
    except OPENING_ERRORS:
        return False


def _of(replicas: Mapping[str, Replica], chosen: Iterable[str]) -> dict[str, Replica]:
    return {name: replicas[name] for name in replicas if name in set(chosen)}
