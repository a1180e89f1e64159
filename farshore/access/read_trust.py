"""Trust in a repository: its header chosen, its owner log read, both remembered on this host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from farshore.access.choose_header import ChosenHeader, choose_header
from farshore.config import Config
from farshore.errors import (
    OPENING_ERRORS,
    FarshoreError,
    FeatureMissing,
    HeaderDamaged,
    LogRolledBack,
)
from farshore.format.header import KNOWN_FEATURES, Header
from farshore.replicas.owner_log import check_writable, read_owner_log
from farshore.replicas.repository import Replica, Repository
from farshore.sealed.keys import Role
from farshore.trust.memory import Memory, remember


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
        found = choose_header(config, headers, lambda header, at: _opens(config, make, header, _of(replicas, at)))
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
        repository.memory = remember(repository.state_dir, repository.repository_id, seen, read_with=found.memory)


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
