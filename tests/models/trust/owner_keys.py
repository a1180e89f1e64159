"""The owner rotates its key; a thief has the retired one. The owner's two machines may fork the log as well.

`w` and `x` are writers with one honest snapshot each. A second machine of the owner works from an older state of the
log at times, with the key that it holds. Readers see all entries, or those of the bad replica: any subset. Only the
memory of the reader tells the branches of a thief from those of the owner.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations

from tests.models.explorer import Machine
from tests.models.trust.owner_log import START, Action, Entry, Head, LogRules, LogState, read_log

FIRST, SECOND = "owner-1", "owner-2"  # before and after the rotation
STOLEN = "thief-owner"  # a key that the thief rotates to
_SNAPSHOT = frozenset({"snapshot-of-w"})
_THEFT = frozenset({"theft-of-w"})
_THEFTS = 2
_ENTRIES = 2  # of the owner, beside those at the start


@dataclass(frozen=True)
class Rules:
    """The rules of the log, and what is done with a replica that lacks the remembered head."""

    log: LogRules = field(default_factory=LogRules)
    rolled_back_is_united: bool = True  # its entries count with those of the others; else they are not read


@dataclass(frozen=True)
class World:
    """All entries ever signed, by whom, and the memory of one reader."""

    own: tuple[Entry, ...]  # of the owner's first machine, one after the other
    second: tuple[Entry, ...] = ()  # of its second machine, beside those
    forged: frozenset[Entry] = frozenset()
    remembered: Head = START

    @property
    def rotation(self) -> int | None:
        """The number of the entry that retires the first key."""
        return next((entry.number for entry in self.own if entry.action is Action.OWNER), None)

    @property
    def key(self) -> str:
        return FIRST if self.rotation is None else SECOND

    @property
    def entries(self) -> tuple[Entry, ...]:
        return (*self.own, *self.second, *sorted(self.forged, key=lambda entry: entry.hash))


def machine(rules: Rules = Rules()) -> Machine[World]:
    """Return the model under these rules."""
    enrolled = _after(None, FIRST, Action.ENROLL, "w", "")
    return Machine(
        World((enrolled, _after(enrolled, FIRST, Action.ENROLL, "x", ""))),
        lambda world: _steps(world, rules),
        lambda world: _problem(world, rules),
    )


def _after(
    previous: Entry | None,
    signer: str,
    action: Action,
    key: str,
    branch: str,
    accepted: frozenset[str] = frozenset(),
) -> Entry:
    number = previous.number + 1 if previous else 1
    below = previous.hash if previous else "header"
    hash_ = f"{number}{branch}-{action}-{key}{'-accepting' if accepted else ''}"
    return Entry(number, hash_, below, signer, action, key, frozenset({"s"}), accepted)


def _steps(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    last = world.own[-1]
    if len(world.own) < 2 + _ENTRIES:
        if world.rotation is None:
            entry = _after(last, FIRST, Action.OWNER, SECOND, "")
            yield "the owner rotates its key", replace(world, own=(*world.own, entry))
        if not any(entry.action is Action.REVOKE for entry in world.own):
            entry = _after(last, world.key, Action.REVOKE, "w", "", _SNAPSHOT)
            yield "the owner revokes w", replace(world, own=(*world.own, entry))
    if not world.second and not (world.rotation and last.number == world.rotation):
        # The second machine has the key in force, and missed the last entry.
        entry = _after(world.own[-2], world.key, Action.REVOKE, "x", "-second")
        yield "the owner's second machine, which missed the last entry: revoke x", replace(world, second=(entry,))
    if world.rotation and len(world.forged) < _THEFTS:
        for entry in _forgeries(world):
            yield f"the thief signs {entry.hash} after {entry.previous}", replace(world, forged=world.forged | {entry})
    remembered = {_read(entries, world.remembered, rules).remember for entries in _views(world)}
    for head in sorted(remembered - {world.remembered}, key=lambda one: one.hash):
        yield f"the reader is shown entries up to {head.hash}", replace(world, remembered=head)


def _forgeries(world: World) -> Iterator[Entry]:
    """Any entry after one that the first key was in force at, and after entries of the thief."""
    own = [entry for entry in world.own if world.rotation and entry.number < world.rotation]
    tops = [world.own[-1]]  # a retired key that signs as if it were still in force
    for previous in (*own, *world.forged, *tops):
        signer = STOLEN if previous.key == STOLEN else FIRST
        for action, key, accepted in (
            (Action.ENROLL, "thief", frozenset[str]()),
            (Action.REVOKE, "w", frozenset[str]()),
            (Action.REVOKE, "w", _SNAPSHOT | _THEFT),
            (Action.OWNER, STOLEN, frozenset[str]()),
        ):
            entry = _after(previous, signer, action, key, f"-thief-after-{previous.hash}", accepted)
            if all(entry.previous != one.previous or entry.action != one.action for one in world.forged):
                yield entry


def _views(world: World) -> Iterator[tuple[Entry, ...]]:
    """The sets of entries that a reader may see: all, or those of the bad replica alone."""
    yield world.entries
    extras = (*world.second, *sorted(world.forged, key=lambda entry: entry.hash))
    for length in range(len(world.own) + 1):
        for count in range(len(extras) + 1):
            if length < len(world.own) or count < len(extras):
                yield from ((*world.own[:length], *some) for some in combinations(extras, count))


def _problem(world: World, rules: Rules) -> str | None:
    rotated = _rotated(world)
    own = {START, *(entry.head for entry in (*world.own, *world.second))}
    for entries in _views(world):
        state = _read(entries, world.remembered, rules)
        if world.remembered in rotated or state.remember in rotated:
            problem = _thief_has_a_say(state)
            if state.remember not in own:
                problem = problem or f"P5: the reader now remembers {state.remember.hash} of the thief"
            if problem:
                shown = ", ".join(entry.hash for entry in entries)
                return f"{problem} (shown {shown} to a reader that remembers {world.remembered.hash})"
    problem = _revocations_are_heard(world, _read(_of_both(world, rules), world.remembered, rules))
    return f"{problem} (all replicas, by a reader that remembers {world.remembered.hash})" if problem else None


def _thief_has_a_say(state: LogState) -> str | None:
    """P1, P5: at a reader that has seen the rotation."""
    if "thief" in state.certificates:
        return "P5: the thief is a writer"
    refused = not state.rolled_back and bool(_SNAPSHOT - state.revocations.get("w", _SNAPSHOT))
    return "P1: the honest snapshot of w is refused" if refused else None


@cache
def _read(entries: tuple[Entry, ...], remembered: Head, rules: Rules) -> LogState:
    return read_log(entries, FIRST, remembered, rules.log)


def _rotated(world: World) -> set[Head]:
    """The heads from the rotation on: a reader that remembers one has seen it."""
    own = {entry.head for entry in world.own if world.rotation and entry.number >= world.rotation}
    return own | {entry.head for entry in world.second if entry.signer == SECOND}


def _of_both(world: World, rules: Rules) -> tuple[Entry, ...]:
    """Return what two replicas show, one of which was away and has only what was put there lately."""
    if rules.rolled_back_is_united or world.remembered == START:
        return world.entries
    replicas = (world.own, (*world.own[:2], *(entry for entry in world.entries if entry not in world.own)))
    read = [entries for entries in replicas if world.remembered in {entry.head for entry in entries}]
    return tuple(entry for entries in read for entry in entries)


def _revocations_are_heard(world: World, state: LogState) -> str | None:
    """P2, where all replicas are read: a revocation of the owner counts, in either branch of a fork.

    The one exception is named in the decision: a revocation that the second machine signs with a key that is retired
    meanwhile cannot be distinguished from one of a thief.
    """
    if state.rolled_back or world.remembered in {entry.head for entry in world.forged}:
        return None  # a bad replica was the first that this reader saw: a person has to decide
    revoked = any(entry.action is Action.REVOKE for entry in world.own)
    if revoked and not _THEFT - state.revocations.get("w", _THEFT):
        return "P2: the theft of w is accepted"
    if world.second and world.second[0].signer == world.key and "x" not in state.revocations:
        return "P2: the second machine revoked x, and x is still a writer"
    return None
