"""The choice of tombstones that a prune folds into a set, and of the objects that a set replaces. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from farshore import limits
from farshore.catalog.tombstones import FoundTombstones, SignedSet
from farshore.format.tombstone import CounterTombstone, Tombstone
from farshore.format.tombstone_set import EPOCH, SignedStone

_FACTOR = 2  # a set is merged with smaller ones unless it has more rows than this many times theirs


def foldable(found: FoundTombstones, listed: Collection[str], until_utc: datetime) -> list[SignedStone]:
    """Return the single objects that decide on nothing any more that some replica has.

    Those of commits that no replica lists, so that no set hides a snapshot that is there; and countered ones with their
    counter-objects.

    Args:
        listed: Hashes of the commits that replicas list, forgotten ones too.
        until_utc: Nothing later is folded.
    """
    old = [one for one in found.singles.values() if one.stone.made_utc <= until_utc and is_row(one)]
    counters = [one.stone for one in old if isinstance(one.stone, CounterTombstone)]
    countered = {target for counter in counters for target in counter.tombstones}
    return [
        one for one in old
        if not isinstance(one.stone, Tombstone) or one.hash in countered or one.stone.commit not in listed
    ]  # fmt: skip


def is_row(one: SignedStone) -> bool:
    """Whether rows of a set can express a single object; any other stays as it is."""
    targets = one.stone.tombstones if isinstance(one.stone, CounterTombstone) else (one.stone.commit,)
    return list(targets) == sorted(set(targets)) != [] and one.stone.made_utc >= EPOCH


def choose_rows(singles: Iterable[SignedStone], sets: Mapping[str, SignedSet]) -> tuple[list[SignedStone], list[str]]:
    """Return the single objects and the names of the sets for one new set; none where it is not worth it.

    The number of sets stays logarithmic: each that stays has more than twice the rows of all smaller ones.

    Args:
        singles: Those that none of the sets has yet.
        sets: Of this signer.
    """
    chosen, rows, chars = list[SignedStone](), 0, 0
    for single in sorted(singles, key=lambda one: (one.stone.made_utc, one.hash)):
        more, texts = single.rows, _chars(single)
        if not _fits(rows + more, chars + texts):
            break  # the next prune has the others
        chosen.append(single)
        rows, chars = rows + more, chars + texts
    if len(chosen) < limits.FOLD_TOMBSTONES_MIN:
        chosen, rows, chars = [], 0, 0
    merged: list[str] = []
    for name, one in sorted(sets.items(), key=_rank):
        more, texts = one.rows.rows, sum(len(text) for text in one.rows.texts)
        is_large = more > limits.FOLD_TOMBSTONES_MAX // 2 or (rows > 0 and more > _FACTOR * rows)
        if is_large or not _fits(rows + more, chars + texts):
            break
        rows, chars = rows + more, chars + texts
        merged.append(name)
    return (chosen, merged) if chosen or len(merged) > 1 else ([], [])


def superseded(own: Mapping[str, SignedSet], there: Collection[str]) -> dict[str, str]:
    """Return the sets that another one there makes needless, each with that one.

    Only a set with more rows does, or with as many and a later name: so two prunes at the same time never delete
    each other's.
    """
    found: dict[str, str] = {}
    ordered = sorted(((name, own[name]) for name in there), key=_rank)
    hashes = {name: one.rows.hashes() for name, one in ordered}
    for at, (name, _) in enumerate(ordered):
        larger = next((other for other, _ in reversed(ordered[at + 1 :]) if hashes[name] <= hashes[other]), None)
        if larger is not None:
            found[name] = larger
    return found


def _fits(rows: int, chars: int) -> bool:
    return rows <= limits.FOLD_TOMBSTONES_MAX and chars <= limits.FOLD_TEXT_CHARS_MAX


def _rank(named: tuple[str, SignedSet]) -> tuple[int, str]:
    return named[1].rows.rows, named[0]


def _chars(one: SignedStone) -> int:
    return len(one.stone.reason) + (len(one.stone.rule) if isinstance(one.stone, Tombstone) else 0)
