"""Which stretches of the chains at one replica can be folded now. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from farshore import limits
from farshore.audit import names
from farshore.audit.chain import Counted
from farshore.audit.folds import Fold
from farshore.audit.seals import Seal, SealedFile


@dataclass(frozen=True, slots=True)
class Stretch:
    """Seals of one chain and one month, each after the one before it."""

    seals: tuple[Seal, ...]

    @property
    def month(self) -> date:
        """The first day of the month: the partition of the folded files."""
        return _month(self.seals[0])

    @property
    def files(self) -> tuple[SealedFile, ...]:
        """The files that are folded, in the order of the chain. Those of a fold are of another chain, and stay."""
        return tuple(file for seal in self.seals if seal.fold is None for file in seal.files)

    @property
    def fold(self) -> Fold:
        """The fold that the new seal has."""
        first = self.seals[0]
        kept = tuple(seal.sequence for seal in self.seals if _stays(seal))
        return Fold(first.chain, first.sequence, first.previous, tuple(seal.hash for seal in self.seals), kept)

    @property
    def is_worth_it(self) -> bool:
        """Whether fewer objects are left: the files of a fold and its seal, against the replaced ones."""
        tables = {names.table_of(file.name) for file in self.files}
        gone = len(self.files) + sum(not _stays(seal) for seal in self.seals)
        return gone > len(tables) + 1


def plan_folds(counted: Counted, *, now_utc: datetime, usable: Callable[[Seal], bool]) -> list[Stretch]:
    """Return the stretches of months that are over, which daily seals name, and no fold has yet.

    So the newest daily seal of each chain, and the seals after it, stay with their writer.

    Args:
        usable: Whether the rows of a seal are at hand and count; one of which they do not is in no stretch.
    """
    now = date(now_utc.year, now_utc.month, 1)
    by_chain: dict[str, dict[int, list[Seal]]] = defaultdict(lambda: defaultdict(list))
    for seal in counted.seals.values():
        by_chain[seal.chain][seal.sequence].append(seal)
    found: list[Stretch] = []
    for _, places in sorted(by_chain.items()):
        found += [one for one in _stretches(places, counted, now, usable) if one.is_worth_it]
    return found


def _stretches(
    places: Mapping[int, list[Seal]], counted: Counted, now: date, usable: Callable[[Seal], bool]
) -> Iterator[Stretch]:
    daily = [seal for seals in places.values() for seal in seals if seal.covers is not None]
    newest = max((seal.sequence for seal in daily), default=0)
    named = {one for seal in daily for one in seal.covers or ()}
    part: list[Seal] = []
    part_bytes = 0
    for sequence in sorted(at for at in places if at < newest):
        seal = places[sequence][0]
        fits = (
            len(places[sequence]) == 1
            and seal.hash not in counted.folded.emptied
            and _month(seal) < now
            and (_stays(seal) or seal.hash in named)
            and usable(seal)
        )
        size = sum(file.bytes for file in seal.files)
        follows = bool(part) and seal.previous == part[-1].hash and _month(seal) == _month(part[0])
        if part and not (fits and follows and part_bytes + size <= limits.AUDIT_FOLD_BYTES_MAX):
            yield Stretch(tuple(part))
            part, part_bytes = [], 0
        if fits:
            part.append(seal)
            part_bytes += size
    if part:
        yield Stretch(tuple(part))


def _stays(seal: Seal) -> bool:
    """Whether a seal stays: both algorithms sign it and it names the others, or its files are the rows of others."""
    return seal.covers is not None or seal.fold is not None


def _month(seal: Seal) -> date:
    return date(seal.sealed_utc.year, seal.sealed_utc.month, 1)
