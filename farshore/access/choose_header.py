"""Which of the headers that replicas show is the repository's: the pinned one, or the one that the passphrase opens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from farshore.access.unlock import credential_path, read_credential
from farshore.config import Config
from farshore.errors import FarshoreError, KeyFileDamaged, RepositoryMismatch
from farshore.format.header import Header, is_prefix
from farshore.trust.memory import Memory, known_at, read_memory

_log = logging.getLogger(__name__)


FindLater = Callable[[Collection[str], Collection[bytes]], Iterable[Header]]


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


def choose_header(
    config: Config,
    headers: Mapping[str, Header],
    opens: Callable[[Header, tuple[str, ...]], bool],
    find_later: FindLater,
) -> ChosenHeader:
    """Return the header that counts, among those of replicas by name, and later ones of new owners that are pinned.

    A pin on a fingerprint that a header names as its past agrees with it, where another pin has its own.

    Args:
        find_later: Returns the later headers at replicas whose fingerprints begin so.
        opens: Whether the passphrase opens a slot under a header at these replicas; asked only where nothing is pinned
            and the replicas differ.

    Raises:
        RepositoryMismatch: None is the pinned one; or nothing decides between them.
    """
    groups: dict[bytes, list[str]] = {}
    by_fingerprint: dict[bytes, Header] = {}
    for name, header in headers.items():
        groups.setdefault(header.fingerprint, []).append(name)
        by_fingerprint[header.fingerprint] = header
    candidates = dict(by_fingerprint)
    for fingerprint, header in by_fingerprint.items():
        wanted = [one for one in _known_to(config, header) if not is_prefix(one, fingerprint)]
        for later in find_later(groups[fingerprint], wanted) if wanted else ():
            if later.past[0] == fingerprint and later.repository_id == header.repository_id:
                candidates[later.fingerprint] = later
    pinned = {fingerprint: pins_of(config, header) for fingerprint, header in candidates.items()}
    every = [pin for pins, _ in pinned.values() for pin in pins]
    agreed = [one for one, header in candidates.items() if _agrees(header, every)]
    if every and not agreed:
        raise _none_is_pinned(every, headers)
    if not every and len(groups) > 1:
        agreed = [one for one in groups if opens(by_fingerprint[one], tuple(groups[one]))]
        if len(agreed) != 1:
            raise _undecided(headers)
    chosen = agreed[0] if agreed else next(iter(groups))
    first = next(iter(candidates[chosen].past), chosen)  # that of farshore.json
    left_out = {
        name: _exchanged(name, header, by_fingerprint[first])
        for name, header in headers.items()
        if header.fingerprint != first
    }
    return ChosenHeader(candidates[chosen], tuple(groups[first]), left_out, *pinned[chosen])


def _agrees(header: Header, pins: Collection[Pin]) -> bool:
    """Whether every pin has the fingerprint of a header or one of its past, and at least one its own."""
    own = [is_prefix(pin.fingerprint, header.fingerprint) for pin in pins]
    return any(own) and all(mine or header.follows(pin.fingerprint) for mine, pin in zip(own, pins, strict=True))


def _known_to(config: Config, header: Header) -> set[bytes]:
    """Return every fingerprint that this host knows the repository of a header by, or may know it by."""
    return {*(pin.fingerprint for pin in pins_of(config, header)[0]), *_identity_pins(config)}


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


def _exchanged(name: str, header: Header, chosen: Header) -> RepositoryMismatch:
    if header.repository_id != chosen.repository_id:
        return RepositoryMismatch(f"{name} holds another repository ({header.repository_id})")
    from farshore.trust.words import to_words

    return RepositoryMismatch(
        f"the header at {name} was exchanged: its fingerprint is {to_words(header.fingerprint[:8])}…",
        f"The repository's is {to_words(chosen.fingerprint[:8])}…; 'farshore heal' puts the right header back.",
    )


def _none_is_pinned(pins: list[Pin], headers: Mapping[str, Header]) -> RepositoryMismatch:
    pin = next(iter(pins))
    shown = ", ".join(f"{name}: {header.fingerprint.hex()}" for name, header in headers.items())
    return RepositoryMismatch(
        f"no replica shows the repository whose fingerprint {pin.said} has, {pin.fingerprint.hex()} ({shown})",
        "The headers were exchanged, or the configuration names other replicas. Nothing of them was believed.",
    )


def _undecided(headers: Mapping[str, Header]) -> RepositoryMismatch:
    if len({header.repository_id for header in headers.values()}) > 1:
        listed = ", ".join(f"{name}: {header.repository_id}" for name, header in headers.items())
        return RepositoryMismatch(f"the replicas belong to different repositories ({listed})")
    listed = ", ".join(f"{name}: {header.fingerprint.hex()}" for name, header in headers.items())
    return RepositoryMismatch(
        f"the replicas hold different headers of one repository ({listed}), so one was exchanged",
        "Give the fingerprint that 'farshore init' printed, with --fingerprint or repository.fingerprint.",
    )
