"""Tombstones: which commits a maintainer has forgotten. A forgotten snapshot is neither listed nor healed.

Tombstones of all replicas unite, and so do the objects that counter them, and the sets into which a prune folds both;
in any order the result is the same. Their names carry their hashes, so whichever replica gives one serves for all. One
that no maintainer signed counts for nothing, and is read once. A maintainer that was revoked forgets nothing any more,
so a thief with its key hides nothing; but a set that its revocation names counts, so that snapshots that were pruned
long ago stay forgotten when their maintainer is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from farshore import limits
from farshore.catalog.signed_objects import holders_of, read_counting
from farshore.errors import Corrupt, FarshoreError, FormatTooNew, NotFound, ObjectCorrupt
from farshore.format import names
from farshore.format.tombstone import CounterTombstone, Tombstone, decode_counter, decode_tombstone
from farshore.format.tombstone_set import SUBJECT, SignedStone, TombstoneSet, decode_set
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.signed_texts import SignatureChecker
from farshore.signing import SignedKind
from farshore.trust import Judgment, TrustState
from farshore.trust.actions import Right

_HASH_DIGITS = 64


@dataclass(frozen=True, slots=True)
class SignedSet:
    """A set of tombstones that counts, and its signer. `hash` is that of its stored bytes."""

    hash: str
    signer: str
    rows: TombstoneSet

    def counts(self, trust: TrustState, signer: str) -> bool:
        """Whether its rows of a signer count: those of one that may maintain now, or whose revocation names the set."""
        return may_word(trust, signer, self.hash)


@dataclass(frozen=True)
class FoundTombstones:
    """The tombstones and counter-objects that count: single ones and sets, each by the name of its object.

    `holders`: the replicas that list each name, also those of objects that count for nothing. `unread`: why
    others were not read, by name.
    """

    trust: TrustState
    singles: Mapping[str, SignedStone] = field(default_factory=dict)
    sets: Mapping[str, SignedSet] = field(default_factory=dict)
    holders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unread: Mapping[str, FarshoreError] = field(default_factory=dict)

    @property
    def were_folded(self) -> bool:
        """Whether something that was listed is gone, so a set that has it must be there by now."""
        return any(isinstance(one, NotFound) for one in self.unread.values())

    def require_read(self, replica: str) -> None:
        """Raise where an object that a replica lists was not read: a deletion must not miss a counter-object.

        One that is damaged everywhere is no reason: anybody with the right to put could stop deletions with it.
        """
        for name, error in self.unread.items():
            if replica in self.holders[name] and not isinstance(error, Corrupt):
                raise error

    def stones(self) -> dict[str, Tombstone | CounterTombstone]:
        """Return all that count by the name that each has, or had before it was folded."""
        found: dict[str, Tombstone | CounterTombstone] = {}
        for one in self.sets.values():
            for signed in one.rows.stones():
                if one.counts(self.trust, signed.signer):
                    found[name_of(signed)] = signed.stone
        return {**found, **{name: one.stone for name, one in self.singles.items()}}

    def forgotten(self) -> frozenset[str]:
        """Return the hashes of the commits that they forget, and nothing counters."""
        named: dict[str, str] = {}
        countered: set[str] = set()
        for one in self.sets.values():
            may = {signer: one.counts(self.trust, signer) for signer in one.rows.signers}
            named.update(one.rows.commits(may.__getitem__))
            countered |= one.rows.countered(may.__getitem__)
        for signed in self.singles.values():
            if isinstance(signed.stone, CounterTombstone):
                countered.update(signed.stone.tombstones)
            else:
                named[signed.hash] = signed.stone.commit
        return frozenset(commit for digest, commit in named.items() if digest not in countered)

    def covered_at(self, replica: str) -> set[str]:
        """Return the names of the objects that a replica lacks and of which a set there has every row."""
        there = [one for name, one in self.sets.items() if replica in self.holders[name]]
        if not there:
            return set()
        rows = set().union(*(one.rows.hashes() for one in there))
        lacked = [name for name in (*self.singles, *self.sets) if replica not in self.holders[name]]
        return {
            name for name in lacked
            if (self.singles[name].hash in rows if name in self.singles else self.sets[name].rows.hashes() <= rows)
        }  # fmt: skip


def name_of(stone: SignedStone) -> str:
    """Return the name of the single object that a row was."""
    folder = names.UNFORGOTTEN if isinstance(stone.stone, CounterTombstone) else names.FORGOTTEN
    return names.tombstone(f"{folder}{stone.stone.snapshot}", stone.hash)


def forgotten_commits(repository: Repository, *, required: str = "") -> frozenset[str]:
    """Return the hashes of the commits that are forgotten, as far as replicas can be asked.

    Args:
        required: A replica that must answer; its error is raised.
    """
    listed, failed = repository.ask_all(lambda replica: _names_below(replica, names.FORGOTTEN))
    if required in failed:
        raise failed[required]
    repository.note_unasked(failed)
    return forgotten_among(repository, holders_of(listed))


def forgotten_among(repository: Repository, tombstones: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Return the hashes of the commits that these tombstones forget, and nothing counters.

    Args:
        tombstones: Their names, those of sets too, and the replicas that list each.
    """
    if not tombstones:
        return frozenset()
    listed, failed = repository.ask_all(lambda replica: _names_below(replica, names.UNFORGOTTEN))
    repository.note_unasked(failed)
    found = read_tombstones(repository, {**tombstones, **holders_of(listed)}, repository.replicas)
    return (_read_again(repository) if found.were_folded else found).forgotten()


def active_tombstones(repository: Repository) -> dict[str, dict[str, Tombstone]]:
    """Return the tombstones that nothing counters, by the commit that they forget, each by its hash."""
    return active_among(read_every_tombstone(repository).stones())


def read_every_tombstone(repository: Repository, *, required: str = "") -> FoundTombstones:
    """Return the tombstones, counter-objects and sets that count, as far as replicas can be asked.

    Args:
        required: A replica that must answer; its error is raised.
    """
    found = _read_once(repository, required)
    return _read_again(repository, required) if found.were_folded else found


def _read_again(repository: Repository, required: str = "") -> FoundTombstones:
    """List and read anew, because an object is gone that was listed: a prune folds it, after it put the set."""
    found = _read_once(repository, required)
    return _read_once(repository, required) if found.were_folded else found


def _read_once(repository: Repository, required: str) -> FoundTombstones:
    listed, failed = repository.ask_all(
        lambda replica: [*_names_below(replica, names.FORGOTTEN), *_names_below(replica, names.UNFORGOTTEN)]
    )
    if required in failed:
        raise failed[required]
    repository.note_unasked(failed)
    return read_tombstones(repository, holders_of(listed), repository.replicas)


def active_among(read: Mapping[str, Tombstone | CounterTombstone]) -> dict[str, dict[str, Tombstone]]:
    """Return the tombstones among these that none of them counters, by the commit that they forget. Pure."""
    countered = {
        one for counter in read.values() if isinstance(counter, CounterTombstone) for one in counter.tombstones
    }
    active: dict[str, dict[str, Tombstone]] = {}
    for name, stone in read.items():
        stone_hash = name[-_HASH_DIGITS:]
        if isinstance(stone, Tombstone) and stone_hash not in countered:
            active.setdefault(stone.commit, {})[stone_hash] = stone
    return active


def read_tombstones(
    repository: Repository, holders: Mapping[str, Iterable[str]], replicas: Mapping[str, Replica]
) -> FoundTombstones:
    """Return those that count, among names and the replicas that list each."""
    checker = SignatureChecker.of(repository)
    of_sets = {name: of_one for name, of_one in holders.items() if names.parse_tombstone_set(name)}
    of_singles = {name: of_one for name, of_one in holders.items() if name not in of_sets}
    unread: dict[str, FarshoreError] = {}
    sets = read_counting(
        repository, of_sets, replicas, lambda name, data: judge_set(checker, name, data),
        memory="void-tombstone-sets", unknown_max=limits.UNKNOWN_SETS_MAX, unread=unread,
    )  # fmt: skip
    singles = read_counting(
        repository, of_singles, replicas, lambda name, data: judge_single(checker, name, data),
        memory="void-tombstones", unread=unread,
    )  # fmt: skip
    known = {name: tuple(of_one) for name, of_one in holders.items()}
    return FoundTombstones(repository.trust, singles, sets, known, unread)


def is_tombstone(name: str) -> bool:
    """Whether a name below `forgotten/` or `unforgotten/` is one of ours: of a single object or a set."""
    return names.parse_tombstone(name) is not None or names.parse_tombstone_set(name) is not None


def may_word(trust: TrustState, signer: str, word_hash: str) -> bool:
    """Whether a maintainer's word counts: one that may maintain now, or whose revocation names the word."""
    if trust.may(signer, Right.MAINTAIN):
        return True
    is_revoked = signer in trust.revocations
    return is_revoked and trust.judge_word(signer, word_hash, Right.MAINTAIN) is Judgment.ACCEPTED


def judge_set(checker: SignatureChecker, name: str, data: bytes) -> SignedSet | None:
    """Return a set by its bytes, which hash to its name; None where it counts for nothing."""
    digest = names.parse_tombstone_set(name)
    text = checker.check(SignedKind.TOMBSTONE_SET, name, data, SUBJECT)
    if digest is None or text is None or not may_word(checker.trust(), text.signer, digest):
        return None
    try:
        return SignedSet(digest, text.signer, decode_set(text.value, name))
    except (ObjectCorrupt, FormatTooNew):
        return None


def _names_below(replica: Replica, prefix: str) -> list[str]:
    return [info.name for info in replica.store.list(prefix) if is_tombstone(info.name)]


def judge_single(checker: SignatureChecker, name: str, data: bytes) -> SignedStone | None:
    """Return a tombstone or counter-object by its bytes, which hash to its name; None where it counts for nothing."""
    parsed = names.parse_tombstone(name)
    if parsed is None:
        return None
    kind = SignedKind.UNTOMBSTONE if parsed.counters else SignedKind.TOMBSTONE
    text = checker.check(kind, name, data, parsed.subject)
    if text is None or not checker.trust().may(text.signer, Right.MAINTAIN):
        return None
    try:
        stone = (decode_counter if parsed.counters else decode_tombstone)(text.value, name)
    except (ObjectCorrupt, FormatTooNew):
        return None
    return SignedStone(parsed.hash, text.signer, stone) if stone.snapshot == parsed.snapshot else None
