"""A thief has the key of a writer: it signs anything with any date, before and after the owner revokes the key.

One source. `w` is its writer and is stolen; `v` writes another source and is stolen too; `w2` is the new key of the
host after the revocation. One replica is honest, the other shows any old prefix of the log and hides any commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache

from tests.models.explorer import Machine
from tests.models.trust.judge import ACCEPTED, Commit, CommitRules, Judged, judge, next_place
from tests.models.trust.owner_log import START, Action, Entry, Head, LogRules, LogState, read_log

OWNER = "owner"
SOURCE = "s"
OTHER_SOURCE = "t"
_FAR = 50  # a date far ahead
_NOWHERE = Head(99, "nowhere")
_DAYS = 1
_THEFTS = 1  # two hold as well, in 69,624 states and half a minute
_RUNS = 2


@dataclass(frozen=True)
class Rules:
    """The rules of the log and of commits, and which replicas' entries are united."""

    log: LogRules = field(default_factory=LogRules)
    commits: CommitRules = field(default_factory=CommitRules)
    united: bool = True  # the entries of all reachable replicas; else of the first that answers


@dataclass(frozen=True)
class World:
    """Everything that was ever put, and the memory of one reader."""

    log: tuple[Entry, ...]
    now: int = 0
    stored: frozenset[tuple[Commit, int]] = frozenset()  # with its store time
    honest: tuple[str, ...] = ()
    thefts: int = 0
    remembered: Head = START

    @property
    def revocation(self) -> Entry | None:
        """The newest one, which has the list that counts."""
        return next((entry for entry in reversed(self.log) if entry.action is Action.REVOKE), None)

    def has_key(self, key: str) -> bool:
        return any(entry.action is Action.ENROLL and entry.key == key for entry in self.log)


@dataclass(frozen=True)
class View:
    """What one reader is shown."""

    label: str
    entries: tuple[Entry, ...]
    hidden: str | None
    reaches_honest: bool


def machine(rules: Rules = Rules()) -> Machine[World]:
    """Return the model under these rules."""
    first = _entry((), Action.ENROLL, "w", sources=frozenset({SOURCE}))
    second = _entry((first,), Action.ENROLL, "v", sources=frozenset({OTHER_SOURCE}))
    return Machine(
        World((first, second)),
        lambda world: _steps(world, rules),
        lambda world: _problem(world, rules),
    )


def _entry(
    log: tuple[Entry, ...],
    action: Action,
    key: str,
    sources: frozenset[str] = frozenset(),
    accepted: frozenset[str] = frozenset(),
) -> Entry:
    number = len(log) + 1
    previous = log[-1].hash if log else "header"
    return Entry(number, f"{number}-{action}-{key}", previous, OWNER, action, key, sources, accepted)


@cache
def _read_log(entries: tuple[Entry, ...], remembered: Head, rules: LogRules) -> LogState:
    return read_log(entries, OWNER, remembered, rules)


def _read(world: World, view: View, remembered: Head, rules: Rules) -> Judged:
    log = _read_log(view.entries, remembered, rules.log)
    shown = {commit: [stamp] for commit, stamp in world.stored if commit.hash != view.hidden}
    stamps = {commit.hash: times for commit, times in shown.items()}
    return judge(shown, log, stamps, world.now, skew=0, rules=rules.commits)


def _whole(world: World) -> View:
    return View("both replicas", world.log, None, reaches_honest=True)


def _views(world: World, rules: Rules) -> Iterator[View]:
    yield _whole(world)
    for length in range(len(world.log)):
        if not rules.united:
            yield View(f"both, the bad one first with {length} entries", world.log[:length], None, reaches_honest=True)
        yield View(f"the bad replica with {length} entries", world.log[:length], None, reaches_honest=False)
    for hidden in world.honest:
        yield View(f"the bad replica without {hidden}", world.log, hidden, reaches_honest=False)


def _steps(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    if world.now < _DAYS:
        yield "a day passes", replace(world, now=world.now + 1)
    writer = "w2" if world.revocation else "w"
    if len(world.honest) < _RUNS and world.has_key(writer):
        yield _honest_run(world, writer, rules)
    if world.thefts < _THEFTS:
        for commit in _forgeries(world):
            label = f"the thief signs {commit.hash} on day {world.now}: {commit}"
            yield label, replace(world, stored=world.stored | {(commit, world.now)}, thefts=world.thefts + 1)
    if world.revocation is None:
        for own in {frozenset(world.honest), frozenset(world.honest[:-1])}:  # while a replica is away, not all are seen
            entry = _entry(world.log, Action.REVOKE, "w", accepted=own)
            yield f"the owner revokes w and accepts {sorted(own)}", replace(world, log=(*world.log, entry))
    elif world.log[-1] is world.revocation and not _of_first_key(world) <= world.revocation.accepted:
        entry = _entry(world.log, Action.REVOKE, "w", accepted=_of_first_key(world))
        yield "the owner revokes w again, and accepts all honest ones", replace(world, log=(*world.log, entry))
    elif not world.has_key("w2"):
        entry = _entry(world.log, Action.ENROLL, "w2", sources=frozenset({SOURCE}))
        yield "the owner enrolls w2", replace(world, log=(*world.log, entry))
        if world.log[-1].key != "w" or world.log[-1].action is Action.REVOKE:
            entry = _entry(world.log, Action.ENROLL, "w", sources=frozenset({SOURCE}))
            yield "the owner signs an old request of w", replace(world, log=(*world.log, entry))
    if world.remembered != world.log[-1].head:
        log = _read_log(world.log, world.remembered, rules.log)
        yield "the reader reads all replicas", replace(world, remembered=log.remember)


def _honest_run(world: World, writer: str, rules: Rules) -> tuple[str, World]:
    judged = _read(world, _whole(world), world.log[-1].head, rules)
    commits = [commit for commit, _ in world.stored]
    parent, sequence = next_place(judged, commits, world.now, rules.commits)
    hash_ = f"honest-{len(world.honest) + 1}"
    commit = Commit(hash_, writer, SOURCE, sequence, parent, world.now, world.log[-1].head)
    stored = world.stored | {(commit, world.now)}
    label = f"{writer} commits {hash_}: sequence {sequence}, parent {parent}, day {world.now}"
    return label, replace(world, stored=stored, honest=(*world.honest, hash_))


def _of_first_key(world: World) -> frozenset[str]:
    return frozenset(commit.hash for commit, _ in world.stored if commit.signer == "w" and commit.hash in world.honest)


def _forgeries(world: World) -> Iterator[Commit]:
    """What the thief may sign: on top, beside or below the last honest snapshot; early, now or far ahead."""
    known = {commit.hash: commit for commit, _ in world.stored}
    last = known[world.honest[-1]] if world.honest else None
    above = last.sequence + 1 if last else 0
    head = world.log[1].head
    top, beside = (last.hash, last.parent) if last else (None, None)
    name = f"z-theft-{world.thefts + 1}"
    on_top = Commit(name, "w", SOURCE, above, top, world.now, head)
    yield on_top
    yield replace(on_top, moment=0)
    yield replace(on_top, moment=_FAR, sequence=99)
    yield replace(on_top, sequence=99)
    yield replace(on_top, head=_NOWHERE)
    yield replace(on_top, signer="v")
    if last:
        yield replace(on_top, parent=beside, sequence=last.sequence)
        yield replace(on_top, parent=beside, moment=last.moment, sequence=last.sequence)


def _problem(world: World, rules: Rules) -> str | None:
    revoked = world.revocation.number if world.revocation else 0
    for view in _views(world, rules):
        for remembered in {START, world.remembered}:
            if not view.reaches_honest and not (revoked and remembered.number >= revoked):
                continue  # nothing is promised: this reader cannot know
            judged = _read(world, view, remembered, rules)
            where = f"{view.label}, {'with' if remembered != START else 'without'} memory"
            problem = _thief_is_accepted(world, judged)
            problem = problem or (_honest_is_lost(world, judged) if view.reaches_honest else None)
            if problem:
                return f"{problem} ({where})"
    return None


def _thief_is_accepted(world: World, judged: Judged) -> str | None:
    """P2, P3: after the revocation, for a reader that reaches the honest replica or remembers it."""
    accepted = {hash_ for hash_, verdict in judged.verdicts.items() if verdict in ACCEPTED}
    strangers = {commit.hash for commit, _ in world.stored if commit.signer == "v"}
    if strangers & accepted:
        return f"P2: {sorted(strangers & accepted)} of a writer of another source is accepted"
    if world.revocation is None:
        return None
    thefts = {commit.hash for commit, _ in world.stored if commit.hash not in world.honest}
    return f"P2: {sorted(thefts & accepted)} is accepted after the revocation" if thefts & accepted else None


def _honest_is_lost(world: World, judged: Judged) -> str | None:
    """P1: after the revocation the honest snapshots are sound and the last one is newest; before, none is refused."""
    unlisted = _of_first_key(world) - (world.revocation.accepted if world.revocation else frozenset())
    if world.revocation and unlisted:
        return None  # the owner has not seen all of them yet, and corrects the list later
    for hash_ in world.honest:
        if judged.verdicts[hash_] not in ACCEPTED:
            return f"P1: {hash_} is {judged.verdicts[hash_]}"
    if world.revocation is None or not world.honest:
        return None
    newest = judged.newest.hash if judged.newest else None
    return f"P1: newest is {newest}, not {world.honest[-1]}" if newest != world.honest[-1] else None
