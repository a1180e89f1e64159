"""Fold tombstones and counter-objects into signed sets, so that old snapshots leave rows and not objects.

A set is put and read back before anything single goes, and only objects that this very key has folded go: so a set of a
thief removes nothing, and revoking it loses nothing. tests/models/prune/folding.py explores it; decision 0054.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from farshore.catalog import list_commit_names
from farshore.catalog.tombstones import FoundTombstones, SignedSet, judge_set, read_every_tombstone
from farshore.errors import Bug, FarshoreError, StateUnknown
from farshore.format import names
from farshore.format.tombstone_set import SUBJECT, SignedStone, encode_set
from farshore.ops.prune.fold_policy import choose_rows, foldable, superseded
from farshore.ops.prune.locked import are_locked
from farshore.ops.prune.sweep import Deletions, Sweeper, SweepStopped
from farshore.replicas.lease_holder import known_log
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.signed_texts import SignatureChecker, sign_text
from farshore.signing import SignedKind
from farshore.trust.actions import Right


def fold_tombstones(
    repository: Repository,
    replicas: Mapping[str, Deletions],
    until_utc: datetime,
    *,
    may_go_on: Callable[[], bool],
) -> dict[str, FarshoreError]:
    """Fold the tombstones of these replicas, and delete there those that sets of this key have; return failures.

    Repeatable, and safe to kill at any moment: sets and single objects unite.

    Args:
        replicas: Where deletions are noted, by replica.
        until_utc: Tombstones that were made later stay as they are.
        may_go_on: Whether time is left.
    """
    if not replicas or repository.keys is None or repository.keys.signing_key is None:
        return {}
    try:
        found = read_every_tombstone(repository)
        own = _own_sets(repository, found, repository.keys.signing_key.signer_id)
        made = _make_set(repository, found, own, until_utc)
    except FarshoreError as error:
        return dict.fromkeys(replicas, error)
    if made is not None:
        own[names.tombstone_set(made.hash)] = made
    folding = Folding(repository, found, own, may_go_on)
    chosen = [repository.replicas[name] for name in replicas]
    return repository.ask_all(lambda replica: folding.apply(replica, replicas[replica.name]), chosen)[1]


def _own_sets(repository: Repository, found: FoundTombstones, signer: str) -> dict[str, SignedSet]:
    """Return the sets of this key that may be merged: not those whose rows count because a revocation names the set."""
    may = repository.trust.may
    return {
        name: one for name, one in found.sets.items()
        if one.signer == signer and all(may(of_row, Right.MAINTAIN) for of_row in one.rows.signers)
    }  # fmt: skip


def _make_set(
    repository: Repository, found: FoundTombstones, own: Mapping[str, SignedSet], until_utc: datetime
) -> SignedSet | None:
    """Return a new set, which the cache has; None where there is nothing to fold."""
    known = set[str]().union(*(one.rows.hashes() for one in own.values()))

    def choose(commits: Collection[str]) -> tuple[list[SignedStone], list[str]]:
        singles = foldable(found, commits, until_utc)
        return choose_rows([one for one in singles if one.hash not in known], own)

    chosen, merged = choose(())
    if chosen:
        listed, failed = repository.ask_all(list_commit_names)
        if failed or repository.unreachable:
            return None  # a replica that is away may have what was forgotten
        chosen, merged = choose({one.hash for of_replica in listed.values() for one in of_replica})
    stones = [*chosen, *(stone for name in merged for stone in own[name].rows.stones())]
    if not stones:
        return None
    body = encode_set(stones, repository.clock.now_utc(), known_log(repository))
    data = sign_text(repository.writing_keys(), SignedKind.TOMBSTONE_SET, SUBJECT, body)
    name = names.tombstone_set(names.hash_of(data))
    made = judge_set(SignatureChecker.of(repository), name, data)
    rows = _rows_of(made) if made is not None else {}
    if made is None or not all(rows.get(one.hash) == one for one in stones):
        raise Bug("a set of tombstones that was just made is not what it was made from")
    repository.cache.put(name, data)
    return made


def _rows_of(one: SignedSet) -> dict[str, SignedStone]:
    return {stone.hash: stone for stone in one.rows.stones()}


@dataclass(frozen=True)
class Folding:
    """The sets of this key, and the objects that they make needless."""

    repository: Repository
    found: FoundTombstones
    own: Mapping[str, SignedSet]
    may_go_on: Callable[[], bool]

    def apply(self, replica: Replica, deletions: Deletions) -> None:
        """Put the largest sets that a replica lacks; delete the objects in them. Raises as the store does."""
        there = {name for name, holders in self.found.holders.items() if replica.name in holders}
        needless = superseded(self.own, self.own.keys())
        covered: dict[str, SignedStone] = {}
        proven: set[str] = set()
        for name in sorted(self.own.keys() - needless.keys()):
            rows = _rows_of(self.own[name])
            is_used = any(larger == name and other in there for other, larger in needless.items()) or any(
                single in there and rows.get(one.hash) == one for single, one in self.found.singles.items()
            )
            if is_used and self.prove(replica, name, is_there=name in there):
                proven.add(name)
                covered.update(rows)
        doomed = {name for name, one in self.found.singles.items() if covered.get(one.hash) == one}
        doomed |= {name for name, larger in needless.items() if larger in proven}
        if doomed & there:
            self._delete(replica, doomed, deletions)

    def _delete(self, replica: Replica, doomed: Collection[str], deletions: Deletions) -> None:
        prefixes = (names.FORGOTTEN, names.UNFORGOTTEN)
        infos = [info for prefix in prefixes for info in replica.store.list(prefix) if info.name in doomed]
        locked = are_locked(replica, infos)
        sweeper = Sweeper(replica, may_go_on=self.may_go_on, distinguishes=True, on_batch=lambda _: None)
        sweeper.done = deletions
        with contextlib.suppress(SweepStopped):
            sweeper.delete([one for one, stays in zip(infos, locked, strict=True) if not stays])

    def prove(self, replica: Replica, name: str, *, is_there: bool) -> bool:
        """Put a set unless it is there, and read it back; False where its bytes are at hand nowhere.

        Raises:
            StateUnknown: The replica returns something else.
        """
        if not is_there:
            data = self.repository.cache.get(name)
            if data is None or names.hash_of(data) != names.parse_tombstone_set(name):
                return False
            replica.store.put(name, data)
        back = replica.store.get(name, bytes_max=names.object_bytes_max(name))
        if names.hash_of(back) != names.parse_tombstone_set(name):
            raise StateUnknown(f"{replica.name} does not return a set of tombstones as it was written", "Heal it.")
        return True
