"""Trust in a repository: its header chosen, its owner log read, both remembered on this host."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from farshore.access.unlock import credential_path, read_credential
from farshore.config import Config
from farshore.errors import (
    FarshoreError,
    FeatureMissing,
    HeaderDamaged,
    KeyFileDamaged,
    LogRolledBack,
)
from farshore.format import names
from farshore.format.header import KNOWN_FEATURES, Header, is_prefix
from farshore.format.names import LATER_HEADER
from farshore.model import dataclass
from farshore.replicas.owner_log import check_writable, read_owner_log
from farshore.replicas.repository import Replica, Repository
from farshore.trust.memory import Memory, known_at, read_memory, remember

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pin:
    """A fingerprint, or the beginning of one, that decides. `said`: its origin, for people."""

    fingerprint: bytes
    said: str


@dataclass(frozen=True, slots=True)
class ChosenHeader:
    """The header, the replicas that hold it, why the others are left out, and the pins that agree with it."""

    header: Header
    replicas: tuple[str, ...]
    left_out: Mapping[str, FarshoreError]
    pins: tuple[Pin, ...]
    memory: Memory | None


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
        found = _choose(config, make, replicas, headers)
    except FarshoreError:
        for one in replicas.values():
            one.store.close()
        raise
    for name in found.left_out:
        replicas[name].store.close()
    unreachable = {**failed, **found.left_out}
    repository = make(
        header=found.header,
        replicas={name: one for name, one in replicas.items() if name in found.replicas},
        unreachable={name: unreachable[name] for name in config.replicas if name in unreachable},
    )
    return repository, found


def _choose(
    config: Config, make: Callable[..., Repository], replicas: Mapping[str, Replica], headers: Mapping[str, Header]
) -> ChosenHeader:
    """Return the header that counts: the one that all replicas show, where all that this host knows is its fingerprint.

    Anything else is decided by `other_headers.choose_among`, which raises `RepositoryMismatch`.
    """
    header, *others = headers.values()
    alike = not header.past and all(one.fingerprint == header.fingerprint for one in others)
    if alike and all(is_prefix(one, header.fingerprint) for one in known_to(config, header)):
        return ChosenHeader(header, tuple(headers), {}, *pins_of(config, header))
    from farshore.access.other_headers import choose_among

    return choose_among(config, make, replicas, headers)


def known_to(config: Config, header: Header) -> set[bytes]:
    """Return every fingerprint that this host knows the repository of a header by, or may know it by."""
    return {*(pin.fingerprint for pin in pins_of(config, header)[0]), *_identity_pins(config)}


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
    if holders:
        from farshore.access.other_headers import judge_new_owners

        judge_new_owners(repository, holders, writing=writing)


def _identity_pins(config: Config) -> tuple[bytes, ...]:
    if config.repository.identity is None:
        return ()
    from farshore.access.secrets import read_identity_pins

    return read_identity_pins(config.repository.identity)


def pins_of(config: Config, header: Header) -> tuple[tuple[Pin, ...], Memory | None]:
    """Return what this host holds that a header must agree with, and what it remembers of the repository.

    Raises:
        KeyFileDamaged: A file that pins is damaged; it never counts as none.
    """
    pins: list[Pin] = []
    if config.repository.fingerprint:
        from farshore.trust.words import parse_fingerprint

        pins.append(Pin(parse_fingerprint(config.repository.fingerprint), "repository.fingerprint"))
    path = credential_path(config, header)
    credential = read_credential(config, path)
    if credential is not None:
        pins.append(Pin(credential.fingerprint, f"the credential {path}"))
    known = _identity_pins(config)
    own = [one for one in (header.fingerprint, *reversed(header.past)) if one in known]
    if own or len(known) == 1:
        pins.append(Pin((own or list(known))[0], f"the identity {config.repository.identity}"))
    memory = recall(config.state_dir, header.repository_id)
    if memory is not None:
        pins.append(Pin(bytes.fromhex(memory.fingerprint), f"what this host remembers ({config.state_dir}/trust)"))
    elif not pins:
        pins += _known_at(config)
    return tuple(pins), memory


def _known_at(config: Config) -> list[Pin]:
    """Return the fingerprint of the repository that was at one of the configured URLs, whatever id is shown there now.

    None where several were there: then a person has to say which one is meant.
    """
    try:
        known = known_at(config.state_dir, [one.url for one in config.replicas.values()])
    except KeyFileDamaged as error:
        if not isinstance(error.__cause__, OSError):
            raise
        return []
    if len(known) != 1:
        return []
    ((repository_id, memory),) = known.items()
    said = f"what this host remembers of these replicas ({config.state_dir}/trust/{repository_id}.json)"
    return [Pin(bytes.fromhex(memory.fingerprint), said)]


def recall(state_dir: Path, repository_id: str) -> Memory | None:
    """Return what this host remembers; where its state cannot be read at all, nothing, with a warning.

    Raises:
        KeyFileDamaged: The file is there and is not what was written.
    """
    try:
        return read_memory(state_dir, repository_id)
    except KeyFileDamaged as error:
        if not isinstance(error.__cause__, OSError):
            raise
        _log.warning("%s; so an older state of the repository would not be noticed", error.message)
        return None
