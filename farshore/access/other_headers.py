"""Headers beside the one that this host goes by: which one counts where replicas differ, and those of new owners.

Loaded only where there are such headers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress

from farshore import limits
from farshore.access.open_slots import Secrets, open_slots
from farshore.access.read_trust import ChosenHeader, Pin, known_to, pins_of
from farshore.config import Config
from farshore.errors import OPENING_ERRORS, RepositoryMismatch
from farshore.format import names
from farshore.format.header import Header, is_prefix
from farshore.format.names import LATER_HEADER, object_bytes_max
from farshore.replicas.owner_log import read_named, read_owner_log
from farshore.replicas.repository import Replica, Repository
from farshore.sealed import Role
from farshore.trust.later_header import name_of, read_later_header, replaces
from farshore.trust.words import to_words

_log = logging.getLogger(__name__)


def choose_among(
    config: Config,
    make: Callable[..., Repository],
    replicas: Mapping[str, Replica],
    headers: Mapping[str, Header],
) -> ChosenHeader:
    """Return the header that counts, among those of replicas by name, and later ones of new owners that are pinned.

    A pin on a fingerprint that a header names as its past agrees with it, where another pin has its own. Where nothing
    is pinned and the replicas differ, the passphrase decides: by a slot that it opens under one of the headers.

    Args:
        make: Makes a repository of a header, its replicas and those that are unreachable.

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
        wanted = [one for one in known_to(config, header) if not is_prefix(one, fingerprint)]
        for later in _later_headers(_of(replicas, groups[fingerprint]), wanted) if wanted else ():
            if later.past[0] == fingerprint and later.repository_id == header.repository_id:
                candidates[later.fingerprint] = later
    pinned = {fingerprint: pins_of(config, header) for fingerprint, header in candidates.items()}
    every = [pin for pins, _ in pinned.values() for pin in pins]
    agreed = [one for one, header in candidates.items() if _agrees(header, every)]
    if every and not agreed:
        raise _none_is_pinned(every, headers)
    if not every and len(groups) > 1:
        agreed = [one for one in groups if _opens(config, make, by_fingerprint[one], _of(replicas, groups[one]))]
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


def judge_new_owners(repository: Repository, holders: Mapping[str, list[str]], *, writing: bool) -> None:
    """Warn of a header that a reader has signed to follow this one; refuse to write.

    Args:
        holders: Replicas by the names of later headers that they list.

    Raises:
        RepositoryMismatch: One of them replaces this one, and something will be written.
    """
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


def _later_headers(replicas: Mapping[str, Replica], wanted: Iterable[bytes]) -> Iterator[Header]:
    """Yield the later headers at replicas whose fingerprints begin so."""
    beginnings = tuple(name_of(one) for one in wanted)
    for replica in replicas.values():
        with suppress(*OPENING_ERRORS):
            for info in replica.store.list(names.log_subject(LATER_HEADER)):
                if info.name.startswith(beginnings):
                    data = replica.store.get(info.name, bytes_max=object_bytes_max(info.name))
                    header = read_later_header(info.name, data)
                    if header is not None:
                        yield header


def _opens(config: Config, make: Callable[..., Repository], header: Header, replicas: dict[str, Replica]) -> bool:
    """Whether the passphrase opens a slot of the repository that these replicas show."""
    if config.repository.passphrase is None:
        return False
    secrets = Secrets(passphrase=config.reveal_passphrase(config.repository.passphrase))
    shown = make(header=header, replicas=replicas, unreachable={})
    try:
        shown.log = read_owner_log(shown, None)
        return bool(open_slots(shown, secrets, Role.READER, required=False))
    except OPENING_ERRORS:
        return False


def _of(replicas: Mapping[str, Replica], chosen: Iterable[str]) -> dict[str, Replica]:
    return {name: replicas[name] for name in replicas if name in set(chosen)}


def _exchanged(name: str, header: Header, chosen: Header) -> RepositoryMismatch:
    if header.repository_id != chosen.repository_id:
        return RepositoryMismatch(f"{name} holds another repository ({header.repository_id})")
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
