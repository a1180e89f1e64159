"""The owner log as the replicas hold it: read at all of them, united, and judged by `farshore.trust`.

An entry is the object of its name or nothing, so whichever replica gives it serves for all. Names of numbers that no
chain reaches are not read, and of the others a bounded number: a planted name costs a listing and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from farshore import limits
from farshore.errors import (
    Corrupt,
    FarshoreError,
    FeatureMissing,
    KeyMissing,
    LogForked,
    NotFound,
    ObjectCorrupt,
    Unsupported,
)
from farshore.format import names
from farshore.format.header import KNOWN_FEATURES
from farshore.format.names import LATER_HEADER, object_bytes_max
from farshore.replicas.repository import Replica, Repository
from farshore.trust import TrustState, read_log
from farshore.trust.actions import AcceptedList, Revocation, Right
from farshore.trust.log_entry import LogHead, decode_entry, eras_of


@dataclass(frozen=True)
class OwnerLog:
    """The log at the replicas that answered.

    `objects`: every entry that counts, and the lists that they name, by name. `held`: the names below `keys/log/` that
    each replica lists, and those below `keys/accepted/` where an entry names a list. `unread`: how many names were left
    unread as too many.
    """

    state: TrustState
    objects: Mapping[str, bytes]
    held: Mapping[str, frozenset[str]]
    failed: Mapping[str, FarshoreError]
    unread: int = 0

    def missing_at(self, replica: str) -> list[str]:
        """Return the names that a replica lacks, in the order of putting."""
        return [name for name in self.objects if name not in self.held.get(replica, frozenset())]


@dataclass
class _Reading:
    """Objects that were read, by name, and those that were refused."""

    repository: Repository
    objects: dict[str, bytes] = field(default_factory=dict)

    def read(self, name: str, holders: Iterable[str]) -> bytes | None:
        """Return an object whose bytes hash to its name, from the cache or the first replica that has it so."""
        cache = self.repository.cache
        data = cache.get(name)
        if data is not None and _is_named(name, data):
            return data
        for holder in holders:
            try:
                data = self.repository.replicas[holder].store.get(name, bytes_max=object_bytes_max(name))
            except FarshoreError as error:
                if not isinstance(error, (Corrupt, NotFound, Unsupported)):
                    self.repository.note_unasked({holder: error})
                continue
            if _is_named(name, data):
                cache.put(name, data)
                return data
        return None


def read_owner_log(repository: Repository, remembered: LogHead | None) -> OwnerLog:
    """Return what the reachable replicas say together.

    Args:
        remembered: The newest entry that this host has seen; None where it has seen none.

    Raises:
        FarshoreError: No replica could be listed; with the reason of one.
    """
    listed, failed = repository.ask_all(_list_entries)
    if not listed:
        raise next(iter(failed.values()))
    holders = _holders(listed)
    reading = _Reading(repository)
    known = [era.last for era in eras_of(repository.header) if era.last is not None]
    known += [remembered] if remembered is not None else []
    for head in known:
        _read_back(reading, holders, head)
    unread = _read_forth(reading, holders, max((head.number for head in known), default=0), remembered)
    wanted = named_lists(reading.objects)
    lists: dict[str, bytes] = {}
    if wanted:  # few logs have a revocation of so many commits: the others cost no second listing
        accepted, unlisted = repository.ask_all(_list_accepted)
        failed = {**unlisted, **failed}
        holders = _holders(accepted)
        listed = {replica: [*found, *accepted.get(replica, ())] for replica, found in listed.items()}
        for one in wanted:
            data = reading.read(names.accepted(one.hash), holders.get(names.accepted(one.hash), ()))
            if data is not None:
                lists[one.hash] = data
    state = read_log(eras_of(repository.header), reading.objects, remembered, lists)
    refused = {one.name for one in state.refused}
    objects = {names.accepted(one): data for one, data in lists.items()}
    objects |= {name: data for name, data in sorted(reading.objects.items()) if name not in refused}
    own = names.log_entry(LATER_HEADER, repository.header.fingerprint.hex())
    if repository.header.history and (data := reading.read(own, holders.get(own, ()))) is not None:
        objects[own] = data  # the last, as it is put: without what is before it nobody opens the repository by it
    held = {replica: frozenset(found) for replica, found in listed.items()}
    return OwnerLog(state, objects, held, failed, unread)


def check_writable(trust: TrustState) -> None:
    """Raise an error where the owner log lets this program write nothing.

    Raises:
        FeatureMissing: It asks writers for a feature that this Farshore lacks.
        LogForked: It is divided.
    """
    unknown = sorted(trust.must_understand_to_write - KNOWN_FEATURES)
    if unknown:
        raise FeatureMissing(f"to write here needs features this Farshore lacks: {', '.join(unknown)}")
    if not trust.may_write:
        numbers = ", ".join(str(number) for number in trust.forked)
        raise LogForked(f"the owner log has two entries of one number ({numbers}), so nothing is written")


def check_maintainer(repository: Repository, act: str) -> None:
    """Raise unless the key at hand may maintain, by the owner log as it is now, and this version may write here.

    Args:
        act: As the message has it, such as "forget snapshots".

    Raises:
        KeyMissing: It may not.
        FeatureMissing, LogForked: As `check_writable` says.
    """
    check_writable(repository.trust)
    key = repository.keys.signing_key if repository.keys is not None else None
    if key is None or not repository.trust.may(key.signer_id, Right.MAINTAIN):
        raise KeyMissing(
            f"nothing at hand may {act}: that needs a key with the right to maintain",
            "Use the passphrase or identity that 'farshore init' made, or enroll this host with --role maintainer.",
        )


def read_named(repository: Repository, name: str, holders: Iterable[str]) -> bytes | None:
    """Return an object below `keys/log/` whose bytes hash to its name, from any of these replicas; None where none."""
    return _Reading(repository).read(name, holders)


def put_log(repository: Repository, log: OwnerLog, *, only: str = "") -> dict[str, FarshoreError]:
    """Put at each replica, or at one, the entries that it lacks; return what failed. It precedes a writer's lease."""
    failed: dict[str, FarshoreError] = {}
    for name, replica in repository.replicas.items():
        missing = log.missing_at(name) if only in ("", name) else ()
        if missing:
            from farshore.replicas.put_all import put_all

            objects = [(one, log.objects[one]) for one in missing]
            failed |= put_all({name: replica.store}, objects, clock=repository.clock)
    return failed


def _list_entries(replica: Replica) -> list[str]:
    return [info.name for info in replica.store.list(names.LOG) if names.parse_log_entry(info.name)]


def _list_accepted(replica: Replica) -> list[str]:
    return [info.name for info in replica.store.list(names.ACCEPTED) if names.parse_accepted(info.name)]


def _holders(listed: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return the replicas that list each name."""
    holders: dict[str, list[str]] = {}
    for replica, found in listed.items():
        for name in found:
            holders.setdefault(name, []).append(replica)
    return holders


def _read_back(reading: _Reading, holders: Mapping[str, list[str]], head: LogHead) -> None:
    """Read the entries from a remembered one to the first, each by the name in the one after it.

    So however many names of a number somebody planted, they hide none of these.
    """
    while head.name in holders and (data := reading.read(head.name, holders[head.name])) is not None:
        reading.objects[head.name] = data
        try:
            head = LogHead(head.number - 1, decode_entry(head.name, data).previous)
        except (ObjectCorrupt, Unsupported):
            return


def _read_forth(reading: _Reading, holders: Mapping[str, list[str]], known: int, remembered: LogHead | None) -> int:
    """Read the entries of each number, up to the first one without any that counts; return how many names are left.

    Of one number those that most replicas list are read first.

    Args:
        known: The highest number that the header or this host's memory names: up to it there are entries that count.
    """
    by_number: dict[int, list[str]] = {}
    for name in holders:
        parsed = names.parse_log_entry(name)
        if parsed is not None and parsed[0] != LATER_HEADER:
            by_number.setdefault(parsed[0], []).append(name)
    left = sum(map(len, by_number.values()))
    number = 1
    while number in by_number:
        of_number = sorted(by_number[number], key=lambda name: (-len(holders[name]), name))
        chosen = of_number[: limits.LOG_ENTRIES_OF_NUMBER_MAX]
        size = 0
        for name in chosen:
            if size >= limits.LOG_NUMBER_BYTES_MAX:
                break
            left -= 1
            if (data := reading.read(name, holders[name])) is not None:
                reading.objects[name] = data
                size += len(data)
        is_settled = number + 1 not in by_number or number < known
        if not is_settled and number % limits.LOG_NUMBERS_AT_ONCE == 0 and not _any_counts(reading, chosen, remembered):
            break
        number += 1
    return left


def _any_counts(reading: _Reading, entries: Iterable[str], remembered: LogHead | None) -> bool:
    """Whether an entry of those read is one of the log, so that others may follow it."""
    state = read_log(eras_of(reading.repository.header), reading.objects, remembered)
    return not {name for name in entries if name in reading.objects} <= {one.name for one in state.refused}


def named_lists(entries: Mapping[str, bytes]) -> list[AcceptedList]:
    """Return the lists of accepted commits that entries name, by the names and bytes of these."""
    found: list[AcceptedList] = []
    for name, data in entries.items():
        try:
            actions = decode_entry(name, data).actions
        except (ObjectCorrupt, Unsupported):
            continue
        found += [
            one.commits for one in actions if isinstance(one, Revocation) and isinstance(one.commits, AcceptedList)
        ]
    return found


def _is_named(name: str, data: bytes) -> bool:
    return names.hash_of(data) == name[-64:]
