"""Folds: a maintainer's seal over the rows of a stretch of one chain, in place of the seals and files of that stretch.

Pure. docs/reference/format.md, section 7, and decision 0052. A fold names every seal of its stretch by hash. Daily
seals, and seals that have a fold themselves, stay; the others may go, because a daily seal of the same chain names each
of them. So a fold hides no gap: who maintains can neither leave a seal out nor invent one. Rows of a fold
count as those of the chain's own signer would, and no further.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from farshore.trust import TrustState
from farshore.trust.actions import Right

if TYPE_CHECKING:
    from farshore.audit.seals import Seal


@dataclass(frozen=True, slots=True)
class Fold:
    """A stretch of a chain whose rows are in the files of the seal that has this.

    `seals`: the hashes from `first` on, without a gap; `kept`: the sequences of those that stay. `previous`: the hash
    of the seal before the first. `expired`: rows until this UTC day were left out, but for those that still matter.
    """

    chain: str
    first: int
    previous: str
    seals: tuple[str, ...]
    kept: tuple[int, ...] = ()
    expired: str = ""

    @property
    def last(self) -> int:
        """The sequence of the last seal."""
        return self.first + len(self.seals) - 1

    def places(self) -> Iterable[tuple[int, str]]:
        """Return sequence and hash of each seal."""
        return enumerate(self.seals, start=self.first)

    def superseded(self) -> dict[int, str]:
        """Return the hashes of the seals that may go, by sequence."""
        kept = frozenset(self.kept)
        return {sequence: seal for sequence, seal in self.places() if sequence not in kept}


@dataclass(frozen=True, slots=True)
class Folded:
    """The folds that are used, by the hash of their seals, and the seals that they replace.

    `emptied`: hashes of the seals whose files a fold replaces. `superseded`: by chain and sequence, the seals that
    may be missing. `shadowed`: seals whose fold is not used, because another one has its place, or its own seals do;
    `unproven`: because no daily seal of the chain names a seal that it lists. `origins`: by the same hash, the signer
    of the chain.
    """

    folds: Mapping[str, Fold] = field(default_factory=dict)
    emptied: frozenset[str] = frozenset()
    superseded: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    shadowed: frozenset[str] = frozenset()
    unproven: frozenset[str] = frozenset()
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def superseded_hashes(self) -> frozenset[str]:
        """The hashes of all seals that may be missing."""
        return frozenset(one for places in self.superseded.values() for one in places.values())


def may_fold(trust: TrustState, signer: str) -> bool:
    """Whether the folds of a signer count: some certificate of it ever had the right to maintain."""
    return any(Right.MAINTAIN.value in one.rights for one in trust.certificates_ever(signer))


def count_folds(
    counted: Mapping[str, Seal],
    witnesses: Iterable[Seal],
    trust: TrustState,
    accepts: Callable[[str, str, int, str], bool],
) -> Folded:
    """Return the folds that are used among the seals that count.

    Of two that overlap, one is used whose signer was not revoked, then that which left out more by age, then the longer
    one, then that of the higher hash. One whose signer was revoked is not used where all its seals still are.

    Args:
        witnesses: Seals that count at any replica: their chains name the seals that folds list.
        accepts: Whether a seal of this signer, chain, sequence and hash counts.
    """
    candidates = [seal for seal in counted.values() if seal.fold is not None and may_fold(trust, seal.signer)]
    if not candidates:
        return Folded()
    chains = {seal.fold.chain for seal in candidates if seal.fold is not None}
    known = _Known()
    for seal in witnesses:
        if seal.chain in chains:
            known.add(seal)
    folds: dict[str, Fold] = {}
    origins: dict[str, str] = {}
    unproven: set[str] = set()
    shadowed: set[str] = set()
    used: set[tuple[str, int]] = set()
    used_hashes: set[str] = set()
    for seal in sorted(candidates, key=lambda one: (one.signer not in trust.revocations, *_rank(one)), reverse=True):
        fold = seal.fold
        if fold is None:
            continue
        signer = known.signers.get(fold.chain, "")
        if not signer or not known.names(fold) or not accepts(signer, fold.chain, fold.last, fold.seals[-1]):
            (shadowed if seal.signer in trust.revocations else unproven).add(seal.hash)
        elif (
            (seal.signer in trust.revocations and counted.keys() >= set(fold.seals))
            or used_hashes.intersection(fold.seals)
            or any((fold.chain, at) in used for at, _ in fold.places())
        ):
            shadowed.add(seal.hash)
        else:
            folds[seal.hash], origins[seal.hash] = fold, signer
            used.update((fold.chain, at) for at, _ in fold.places())
            used_hashes.update(fold.seals)
    superseded: dict[str, dict[int, str]] = {}
    for fold in folds.values():
        superseded.setdefault(fold.chain, {}).update(fold.superseded())
    return Folded(folds, frozenset(used_hashes), superseded, frozenset(shadowed), frozenset(unproven), origins)


def _rank(seal: Seal) -> tuple[Any, ...]:
    fold = seal.fold
    return (fold.expired, len(fold.seals), seal.hash) if fold is not None else ("", 0, seal.hash)


class _Known:
    """The seals of some chains, and the seals that they name."""

    def __init__(self) -> None:
        self.signers: dict[str, str] = {}
        self._named: dict[str, set[str]] = {}
        self._places: dict[str, tuple[str, int]] = {}

    def add(self, seal: Seal) -> None:
        """Add the seals that a seal names. One that is no daily seal may go itself, so its word is not needed."""
        self.signers[seal.chain] = seal.signer
        self._places[seal.hash] = (seal.chain, seal.sequence)
        if seal.covers is not None:
            self._named.setdefault(seal.chain, set()).update(seal.covers)

    def names(self, fold: Fold) -> bool:
        """Whether daily seals name every seal that a fold supersedes, and none of its seals has another place."""
        named = self._named.get(fold.chain, set())
        placed = all(self._places.get(one, (fold.chain, at)) == (fold.chain, at) for at, one in fold.places())
        return placed and named.issuperset(fold.superseded().values())
