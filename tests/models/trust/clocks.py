"""Moments, store times and sequences of one source: wrong clocks, forks, heals that renew times, a lost replica.

Two replicas. An honest run sees both, or only the one it can reach; a thief with the key of the writer (or a host with
a wrong clock) signs any date. A heal copies commits between the replicas, and each copy gets a new store time. In the
variants with a lie, replica B shows store times of its own choice, and replica A stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from tests.models.explorer import Machine
from tests.models.trust.judge import Commit, CommitRules, Judged, Verdict, judge, next_place
from tests.models.trust.owner_log import START, LogState

SOURCE = "s"
_LOG = LogState({"w": frozenset({SOURCE})}, {}, frozenset({START}), START, frozenset())
_FAR = 50
_DAYS = 2
_RUNS = 2
_THEFTS = 1


class Lie(StrEnum):
    """What replica B says of the store time of each object."""

    NONE = "the truth"
    EARLY = "long ago"
    LATE = "in years"


@dataclass(frozen=True)
class Rules:
    """The rules of commits and of a heal, and who misbehaves."""

    commits: CommitRules = field(default_factory=CommitRules)
    heal_copies_misdated: bool = False
    lie: Lie = Lie.NONE
    thefts: int = _THEFTS


@dataclass(frozen=True)
class Copy:
    """One object of a commit at one replica."""

    commit: Commit
    replica: str
    stamp: int


@dataclass(frozen=True)
class World:
    """All copies, the true day of each commit, and the first broken promise of a step."""

    copies: frozenset[Copy] = frozenset()
    now: int = 0
    honest: tuple[Commit, ...] = ()
    stolen: tuple[tuple[Commit, int], ...] = ()  # with the day on which it was really made
    lost: bool = False
    broken: str | None = None

    def at(self, *replicas: str) -> frozenset[Copy]:
        return frozenset(copy for copy in self.copies if copy.replica in replicas)


def machine(rules: Rules = Rules()) -> Machine[World]:
    """Return the model under these rules."""
    return Machine(World(), lambda world: _steps(world, rules), lambda world: _problem(world, rules))


def _judge(copies: frozenset[Copy], now: int, rules: Rules) -> Judged:
    stamps: dict[str, list[int]] = {}
    lies = {Lie.EARLY: -_FAR, Lie.LATE: 2 * _FAR}
    for copy in copies:
        stamp = lies.get(rules.lie, copy.stamp) if copy.replica == "B" else copy.stamp
        stamps.setdefault(copy.commit.hash, []).append(stamp)
    return judge({copy.commit for copy in copies}, _LOG, stamps, now, skew=0, rules=rules.commits)


def _steps(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    if world.broken:
        return
    if world.now < _DAYS:
        yield "a day passes", replace(world, now=world.now + 1)
    if len(world.honest) < _RUNS:
        for seen in ("AB", "B") if rules.lie is Lie.NONE else ("AB",):
            yield _honest_run(world, seen, rules)
    if len(world.stolen) < rules.thefts:
        for commit in _forgeries(world):
            replicas = "A" if rules.lie is Lie.NONE else "AB"
            copies = world.copies | {Copy(commit, replica, world.now) for replica in replicas}
            label = f"the thief puts {commit.hash} at {replicas} on day {world.now}: {commit}"
            yield label, replace(world, copies=copies, stolen=(*world.stolen, (commit, world.now)))
    yield "a heal copies between A and B", _healed(world, rules)
    if (
        rules.lie is Lie.NONE
        and not world.lost
        and {copy.commit for copy in world.at("A")} & set(world.honest) <= {copy.commit for copy in world.at("B")}
    ):
        after = replace(world, copies=world.at("B"), lost=True)
        yield "replica A is lost and replaced by an empty one", _unchanged(world, after, rules)


def _honest_run(world: World, seen: str, rules: Rules) -> tuple[str, World]:
    shown = world.at(*seen)
    judged = _judge(shown, world.now, rules)
    commits = {copy.commit for copy in shown}
    parent, sequence = next_place(judged, commits, world.now, rules.commits)
    moments = {commit.hash: commit.moment for commit in commits}
    moment = max(world.now, moments.get(parent, 0) if parent else 0)
    commit = Commit(f"honest-{len(world.honest) + 1}", "w", SOURCE, sequence, parent, moment)
    copies = world.copies | {Copy(commit, replica, world.now) for replica in seen}
    after = replace(world, copies=copies, honest=(*world.honest, commit))
    newest = _judge(copies, world.now, rules).newest
    if seen == "AB" and newest != commit:
        after = replace(after, broken=f"P9: {commit.hash} saw both replicas and is not newest, {newest} is")
    label = f"a run that reaches {' and '.join(seen)} commits {commit.hash} on day {world.now}: {commit}"
    return label, after


def _forgeries(world: World) -> Iterator[Commit]:
    last = world.honest[-1] if world.honest else None
    above = last.sequence + 1 if last else 0
    places = {(last.hash, above), (last.hash, 99), (last.parent, last.sequence)} if last else {(None, 0), (None, 99)}
    for parent, sequence in sorted(places, key=str):
        for moment in sorted({0, world.now, world.now + 1, _FAR}):
            yield Commit(f"z-theft-{len(world.stolen) + 1}", "w", SOURCE, sequence, parent, moment)


def _healed(world: World, rules: Rules) -> World:
    copies = set(world.copies)
    for source, target in (("A", "B"), ("B", "A")):
        judged = _judge(world.copies, world.now, rules)
        there = {copy.commit for copy in world.at(target)}
        for copy in world.at(source):
            left = judged.verdicts[copy.commit.hash] is Verdict.MISDATED and not rules.heal_copies_misdated
            if copy.commit not in there and not left:
                copies.add(Copy(copy.commit, target, world.now))
    return _unchanged(world, replace(world, copies=frozenset(copies)), rules)


def _unchanged(before: World, after: World, rules: Rules) -> World:
    """P4: no step that only moves copies changes a verdict, or the order, of what is still there."""
    first, second = (_judge(one.copies, one.now, rules) for one in (before, after))
    there = {copy.commit.hash for copy in after.copies}
    for hash_ in sorted(there):
        if (was := first.verdicts[hash_]) is not (now := second.verdicts[hash_]):
            gone = {copy.commit.hash for copy in before.copies} - there
            if was is Verdict.FORKED and gone:
                continue  # its sibling went with the replica
            return replace(after, broken=f"P4: {hash_} was {was} and is {now}")
    order = [commit.hash for commit in first.sound if second.verdicts.get(commit.hash) is Verdict.SOUND]
    same = [commit.hash for commit in second.sound if commit.hash in order]
    return after if order == same else replace(after, broken=f"P4: the order {order} is now {same}")


def _problem(world: World, rules: Rules) -> str | None:
    if world.broken:
        return world.broken
    newest = _judge(world.copies, world.now, rules).newest
    truth = dict(world.stolen)
    known = {copy.commit.hash: copy.commit for copy in world.copies}
    if newest is None:
        fair = [commit for commit, day in world.stolen if commit.moment <= day]  # a fork that nothing tells from a run
        forked = len({commit.parent for commit in world.honest}) < len(world.honest)
        return None if fair or forked or not world.honest else "P1: honest snapshots are there, and none is newest"
    if newest in truth and newest.moment > truth[newest]:
        return f"P6: {newest.hash} is newest, and was made on day {truth[newest]}, not {newest.moment}"
    parent = known.get(newest.parent) if newest.parent else None
    if parent is not None and newest.moment < parent.moment:
        return f"P6: {newest.hash} is newest, and is dated before its parent"
    siblings = [
        one
        for one in known.values()
        if one.parent == newest.parent
        and one.moment <= truth.get(one, one.moment)
        and (parent is None or one.moment >= parent.moment)
    ]
    return f"P6: {newest.hash} is newest, and forked" if len(siblings) > 1 else None
