"""What a host remembers, with two processes at work on it, and after a thief had a say in it.

Two machines. In the first, two processes of one host read the log and write what they saw, in any order, while a bad
replica shows the branch of a retired owner key. In the second, a thief's snapshot with a very high sequence is accepted
until its key is revoked; then a snapshot of the host disappears everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.models.explorer import Machine
from tests.models.trust.owner_log import START, Action, Entry, Head, read_log

_OWNER, _NEXT = "owner-1", "owner-2"


class Rules(NamedTuple):
    """The rules, each of which a mutant turns off."""

    checks_base: bool = (
        True  # a process writes a head only if the memory is as it was when it read; else it reads again
    )
    keeps_own: bool = True  # a host remembers the last snapshot that it made, beside the newest that it saw
    accepted_only: bool = True  # of a source a remembered snapshot that is refused now gives way to any other


PROTOCOL = Rules()


def _entry(number: int, previous: str, action: Action, key: str, branch: str = "") -> Entry:
    return Entry(number, f"{number}{branch}-{action}-{key}", previous, _OWNER, action, key)


_ENROLL = _entry(1, START.hash, Action.ENROLL, "w")
_ROTATE = _entry(2, _ENROLL.hash, Action.OWNER, _NEXT)
_OWN = (_ENROLL, _ROTATE)
_FORGED = (
    _ENROLL,
    _entry(2, _ENROLL.hash, Action.ENROLL, "thief", "-thief"),
    _entry(3, "2-thief-enroll-thief", Action.ENROLL, "thief", "-thief"),
)
_VIEWS = {"the first entry": _OWN[:1], "the owner's branch": _OWN, "the thief's branch": _FORGED}


class Reading(NamedTuple):
    """What a process saw, and the memory that it had then."""

    base: Head
    seen: Head


class Host(NamedTuple):
    """The memory of a host, and what its two processes are about to write."""

    remembered: Head = START
    knows_rotation: bool = False
    processes: tuple[Reading | None, Reading | None] = (None, None)


def processes_machine(rules: Rules = PROTOCOL) -> Machine[Host]:
    """Return the model of two processes of one host."""
    return Machine(Host(), lambda host: _process_steps(host, rules), _forgets_rotation)


def _process_steps(host: Host, rules: Rules) -> Iterator[tuple[str, Host]]:
    for index, reading in enumerate(host.processes):
        if reading is None:
            for label, entries in _VIEWS.items():
                state = read_log(entries, _OWNER, host.remembered)
                if not state.rolled_back:
                    after = _with(host, index, Reading(host.remembered, state.remember))
                    yield f"process {index} is shown {label}", after
        elif rules.checks_base and host.remembered != reading.base:
            yield f"process {index} finds another memory, and reads again", _with(host, index, None)
        else:
            head = max(host.remembered, reading.seen, key=lambda one: one.number)
            after = host._replace(remembered=head, knows_rotation=host.knows_rotation or head == _ROTATE.head)
            yield f"process {index} writes {reading.seen.hash}", _with(after, index, None)


def _with(host: Host, index: int, reading: Reading | None) -> Host:
    first, second = host.processes
    return host._replace(processes=(reading, second) if index == 0 else (first, reading))


def _forgets_rotation(host: Host) -> str | None:
    if host.knows_rotation and host.remembered != _ROTATE.head:
        return f"P5: the host had seen the rotation, and remembers {host.remembered.hash} now"
    return None


class Snapshots(NamedTuple):
    """Snapshots of one source at all replicas, and the newest that the host remembers, each with its sequence."""

    present: frozenset[tuple[str, int]] = frozenset()
    remembered: tuple[str, int] | None = None
    made: str = ""  # by the host
    revoked: bool = False
    stolen: bool = False


def snapshots_machine(rules: Rules = PROTOCOL) -> Machine[Snapshots]:
    """Return the model of what a host remembers of its source."""
    return Machine(Snapshots(), lambda world: _snapshot_steps(world, rules), lambda world: _no_alarm(world, rules))


def _snapshot_steps(world: Snapshots, rules: Rules) -> Iterator[tuple[str, Snapshots]]:
    if not world.stolen and not world.revoked:
        theft = ("theft", 99)
        after = world._replace(present=world.present | {theft}, stolen=True)
        yield (
            "a thief commits with sequence 99, and the host sees it",
            after._replace(remembered=_newer(world.remembered, theft, world, rules)),
        )
    if not world.revoked:
        yield "the owner revokes the key, and does not accept the theft", world._replace(revoked=True)
    if not world.made:
        accepted = [number for name, number in world.present if name != "theft" or not world.revoked]
        own = ("own", max(accepted, default=0) + 1)
        after = world._replace(present=world.present | {own}, made="own")
        yield (
            f"the host commits with sequence {own[1]}",
            after._replace(remembered=_newer(world.remembered, own, world, rules)),
        )
    for gone in sorted(world.present):
        label = "deleted at all replicas" if gone[0] == "own" else "forgotten by the maintainer"
        yield f"{gone[0]} is {label}", world._replace(present=world.present - {gone})


def _newer(before: tuple[str, int] | None, seen: tuple[str, int], world: Snapshots, rules: Rules) -> tuple[str, int]:
    if before is None or (rules.accepted_only and before[0] == "theft" and world.revoked):
        return seen
    return max(before, seen, key=lambda one: one[1])


def _no_alarm(world: Snapshots, rules: Rules) -> str | None:
    remembered = world.remembered
    is_gone = bool(world.made) and all(name != world.made for name, _ in world.present)
    if is_gone and rules.keeps_own:
        return None  # it alarms
    is_refused = remembered is not None and remembered[0] == "theft" and world.revoked
    alarms = remembered is not None and remembered not in world.present and not (rules.accepted_only and is_refused)
    if is_gone and not alarms:
        return "the host's own last snapshot is gone everywhere, and it does not notice"
    if alarms and is_refused:
        return "the host alarms for ever, because a refused snapshot was forgotten"
    return None
