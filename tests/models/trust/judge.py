"""Pure rules of commits: which are accepted, which of those are sound, their order, and what the next run names.

The judgment of a source goes in this order, and each step looks only at the commits that passed the one before:

1. accepted: a certificate of the log names the signer for this source, and a revoked signer's list names the commit;
2. ahead: its maker knew an entry that nobody shows, so what that entry says is unknown;
3. misdated: later than its cap, earlier than its parent, or of a sequence that its own date has no room for;
4. forked: another sound commit has the same parent.

So a refused commit forks nothing, and neither does a misdated one: otherwise one put would take "newest" from any
honest snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from tests.models.trust.owner_log import START, Head, LogState

SKEW_S = 300


class Verdict(StrEnum):
    SOUND = "sound"
    FOREIGN = "foreign"  # no certificate names the signer for this source
    REFUSED = "refused"  # the signer is revoked and its list lacks the commit
    UNKNOWN = "unknown"  # the log is rolled back, so nothing can be said
    AHEAD = "ahead"
    MISDATED = "misdated"
    FORKED = "forked"


ACCEPTED = frozenset({Verdict.SOUND, Verdict.AHEAD, Verdict.MISDATED, Verdict.FORKED})


@dataclass(frozen=True)
class Commit:
    """One signed commit; the hash stands for all of it."""

    hash: str
    signer: str
    source: str
    sequence: int
    parent: str | None
    moment: int
    head: Head = START

    @property
    def position(self) -> tuple[int, int, str]:
        """Where it stands among the commits of its source."""
        return (self.sequence, self.moment, self.hash)

    def __hash__(self) -> int:  # the search hashes commits all the time
        return hash(self.hash)


@dataclass(frozen=True)
class CommitRules:
    """The rules, each of which a mutant turns off."""

    by_time: bool = False  # a revocation accepts what is dated before it, not by hash
    by_position: bool = False  # ... it accepts what has a sequence up to that of the last accepted commit
    rights: bool = True  # the certificate must name the source
    heads_of_refused: bool = False  # an unknown head in any commit makes the whole log rolled back
    latest_stamp: bool = False  # the cap goes by the latest store time instead of the earliest
    parent_date: bool = True  # a commit dated before its parent is misdated
    cap: bool = True
    refused_fork: bool = False  # a refused commit forks its siblings
    misdated_fork: bool = False  # a misdated commit forks its siblings
    forks: bool = True
    order_by_stamp: bool = False
    order_by_moment: bool = False
    room: int = 1000  # sequences up to this one have room at moment 0, and `rate` more at each moment after it
    rate: int = 1
    numbers: bool = True  # a commit is misdated whose sequence has no room at its own moment
    counts_all: bool = False  # the next sequence is above those, too, that have no room yet
    parent_is_sound: bool = False  # the next run follows the newest sound commit, not the last accepted one in order


@dataclass(frozen=True)
class Judged:
    """The verdict of each commit, and those that may be newest, in order."""

    verdicts: Mapping[str, Verdict]
    sound: tuple[Commit, ...]
    log_incomplete: bool  # an accepted commit knows an entry that nobody shows: reported

    @property
    def newest(self) -> Commit | None:
        return self.sound[-1] if self.sound else None


def judge(
    commits: Iterable[Commit],
    log: LogState,
    stamps: Mapping[str, Iterable[int]],
    now: int,
    *,
    skew: int = SKEW_S,
    rules: CommitRules = CommitRules(),
) -> Judged:
    """Judge all commits of one source.

    Args:
        stamps: The store times of each commit's object, one for each replica that shows it.
        now: The reader's clock.
    """
    every = sorted(set(commits), key=lambda one: one.position)
    verdicts = {one.hash: _admission(one, log, every, rules) for one in every}
    admitted = [one for one in every if verdicts[one.hash] is Verdict.SOUND]
    lacking = [one for one in admitted if one.head not in log.heads]
    if rules.heads_of_refused and any(one.head not in log.heads for one in every):
        return Judged({one.hash: Verdict.UNKNOWN for one in every}, (), log_incomplete=True)
    verdicts |= {one.hash: Verdict.AHEAD for one in lacking}
    known = {one.hash: one for one in admitted}
    for one in admitted:
        if one not in lacking and _is_misdated(one, known, stamps, now + skew, skew, rules):
            verdicts[one.hash] = Verdict.MISDATED
    forking = {Verdict.SOUND}
    forking |= {Verdict.MISDATED} if rules.misdated_fork else set()
    forking |= {Verdict.REFUSED} if rules.refused_fork else set()
    parents = [one.parent for one in every if verdicts[one.hash] in forking]
    if rules.forks:
        forked = [one for one in every if verdicts[one.hash] is Verdict.SOUND and parents.count(one.parent) > 1]
        verdicts |= {one.hash: Verdict.FORKED for one in forked}
    sound = [one for one in every if verdicts[one.hash] is Verdict.SOUND]
    if rules.order_by_stamp:
        sound.sort(key=lambda one: min(stamps.get(one.hash, [now])))
    if rules.order_by_moment:
        sound.sort(key=lambda one: one.moment)
    return Judged(verdicts, tuple(sound), bool(lacking))


def has_room(sequence: int, moment: int, rules: CommitRules) -> bool:
    """Whether a commit of this moment may have this sequence."""
    return sequence <= rules.room + rules.rate * moment


def next_place(
    judged: Judged, commits: Iterable[Commit], now: int, rules: CommitRules = CommitRules()
) -> tuple[str | None, int]:
    """Return parent and sequence of the next honest run that sees these commits.

    It follows the last commit in order that is accepted, neither misdated nor ahead; a forked one too, or a fork would
    never end. Its sequence is above all accepted ones, so that a misdated commit stays before it, but for those whose
    sequence leaves no room for it now.
    """
    every = sorted(set(commits), key=lambda one: one.position)
    good = {Verdict.SOUND} if rules.parent_is_sound else {Verdict.SOUND, Verdict.FORKED}
    tips = [one for one in every if judged.verdicts[one.hash] in good]
    accepted = [
        one.sequence
        for one in every
        if judged.verdicts[one.hash] in ACCEPTED
        and (one in tips or rules.counts_all or has_room(one.sequence + 1, now, rules))
    ]
    return (tips[-1].hash if tips else None), max(accepted, default=-1) + 1


def _admission(one: Commit, log: LogState, every: list[Commit], rules: CommitRules) -> Verdict:
    if log.rolled_back:
        return Verdict.UNKNOWN
    rights = log.certificates.get(one.signer)
    if rights is None or (rules.rights and one.source not in rights):
        return Verdict.FOREIGN
    accepted = log.revocations.get(one.signer)
    if accepted is None:
        return Verdict.SOUND
    last = [other for other in every if other.hash in accepted]
    if rules.by_time:
        good = one.moment <= max((other.moment for other in last), default=-1)
    elif rules.by_position:
        good = one.sequence <= max((other.sequence for other in last), default=-1)
    else:
        good = one.hash in accepted
    return Verdict.SOUND if good else Verdict.REFUSED


def _is_misdated(
    one: Commit,
    known: Mapping[str, Commit],
    stamps: Mapping[str, Iterable[int]],
    latest: int,
    skew: int,
    rules: CommitRules,
) -> bool:
    choose = max if rules.latest_stamp else min
    cap = min(latest, choose(stamps.get(one.hash, [latest - skew])) + skew)
    if rules.cap and one.moment > cap:
        return True
    if rules.numbers and not has_room(one.sequence, one.moment, rules):
        return True
    parent = known.get(one.parent) if one.parent is not None else None
    return rules.parent_date and parent is not None and one.moment < parent.moment
