"""A thief takes the highest sequences: the honest runs of the source go on all the same, before and after a revocation.

One source whose writer's key is stolen. The thief signs any sequence that the format has, with any date, and with an
entry of the log that nobody shows. Each honest run needs a number above that of its parent, and has to be newest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tests.models.explorer import Machine
from tests.models.trust.judge import Commit, CommitRules, Judged, Verdict, judge, next_place
from tests.models.trust.owner_log import START, Head, LogState

_SOURCE = "s"
_SKEW = 2
_FAR = 30  # a date far ahead
_ROOM = 3  # as few as the honest runs need at the beginning
SEQUENCE_MAX = _ROOM + _FAR
_NOWHERE = Head(99, "nowhere")
_RUNS = 3
_THEFTS = 1  # two hold as well, in 26,942 states and a minute


@dataclass(frozen=True)
class Rules:
    """The rules of commits, and whether stores report times."""

    commits: CommitRules = field(default_factory=lambda: CommitRules(room=_ROOM))
    stamps: bool = True
    thefts: int = _THEFTS


@dataclass(frozen=True)
class World:
    """All commits with their store times; the first broken promise of a step."""

    stored: frozenset[tuple[Commit, int]] = frozenset()
    now: int = 0
    honest: tuple[Commit, ...] = ()
    stolen: tuple[Commit, ...] = ()
    revoked: bool = False
    broken: str | None = None


def machine(rules: Rules = Rules()) -> Machine[World]:
    """Return the model under these rules."""
    return Machine(World(), lambda world: _steps(world, rules), lambda world: _problem(world, rules))


def _judge(world: World, rules: Rules) -> Judged:
    accepted = frozenset(one.hash for one in world.honest)
    revocations = {"w": accepted} if world.revoked else {}
    sources = frozenset({_SOURCE})
    log = LogState({"w": sources, "w2": sources}, revocations, frozenset({START}), START, frozenset())
    stamps = {commit.hash: [stamp] for commit, stamp in world.stored} if rules.stamps else {}
    commits = {commit for commit, _ in world.stored}
    return judge(commits, log, stamps, world.now, skew=_SKEW, rules=rules.commits)


def _steps(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    if world.broken:
        return
    if len(world.honest) < _RUNS:
        yield _honest_run(world, rules)
    if len(world.stolen) < rules.thefts and not world.revoked:
        for commit in _forgeries(world, rules):
            stored = world.stored | {(commit, world.now)}
            yield f"the thief puts {commit}", replace(world, stored=stored, stolen=(*world.stolen, commit))
    if world.stolen and not world.revoked:
        yield "the owner revokes the key, and accepts the honest ones", replace(world, revoked=True)


def _honest_run(world: World, rules: Rules) -> tuple[str, World]:
    """A run takes time, and commits after the moment of its parent, as clocks may differ by the skew."""
    world = replace(world, now=world.now + 1)
    commits = {commit.hash: commit for commit, _ in world.stored}
    parent, sequence = next_place(_judge(world, rules), commits.values(), world.now, rules.commits)
    moment = max(world.now, commits[parent].moment + 1 if parent else 0)
    writer = "w2" if world.revoked else "w"
    commit = Commit(f"honest-{len(world.honest) + 1}", writer, _SOURCE, sequence, parent, moment)
    after = replace(world, stored=world.stored | {(commit, world.now)}, honest=(*world.honest, commit))
    if sequence > SEQUENCE_MAX:
        after = replace(after, broken=f"P10: {commit.hash} finds no number: {sequence}")
    elif (newest := _judge(replace(after, now=after.now + 1), rules).newest) != commit:  # to a reader a moment later
        after = replace(after, broken=f"P10: {commit.hash} saw everything and is not newest, {newest} is")
    return f"{writer} commits {commit}", after


def _forgeries(world: World, rules: Rules) -> Iterator[Commit]:
    last = world.honest[-1] if world.honest else None
    top = max((commit.sequence for commit, _ in world.stored), default=0)
    name = f"z-theft-{len(world.stolen) + 1}"
    for moment in (world.now, world.now + 1, world.now + _SKEW + 1, _FAR):
        room = rules.commits.room + rules.commits.rate * moment
        for sequence in sorted({top + 1, room, SEQUENCE_MAX}):
            for head in (START, _NOWHERE):
                yield Commit(name, "w", _SOURCE, sequence, last.hash if last else None, moment, head)


def _problem(world: World, rules: Rules) -> str | None:
    if world.broken or not world.revoked or not world.honest:
        return world.broken
    judged = _judge(replace(world, now=world.now + 1), rules)  # likewise
    wrong = [one.hash for one in world.honest if judged.verdicts[one.hash] is not Verdict.SOUND]
    if wrong:
        return f"P10: {wrong} is not sound after the revocation"
    return None if judged.newest == world.honest[-1] else f"P10: newest is {judged.newest} after the revocation"
