"""O4: one decision on each lease, the first valid object of end/0, end/1, ...

The writer decides committing, a maintainer decides broken. A thief with put rights puts ends that nobody with the right
has signed. The maintainer's certificate is an entry of the owner log that the writer may not have read yet, and the
owner may revoke the maintainer later. Nobody may act on committing while another acts on broken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.models.explorer import Machine

_SLOTS = 3  # of 16: the thief fills one less, or nobody could decide, which is reported


class Rules(NamedTuple):
    """The rules, each of which a mutant turns off."""

    invalid_is_void: bool = True  # else the first object decides, valid or not
    fills_in_order: bool = True  # else a decider uses any free number
    reads_log_first: bool = True  # who finds an end of an unknown key reads the log before it calls the end void
    revoked_counts: bool = True  # the end of a maintainer that was revoked later stays valid


PROTOCOL = Rules()


class World(NamedTuple):
    """The ends by number, the certificates that the writer knows, and who acted on which decision."""

    ends: tuple[str, ...] = ("",) * _SLOTS  # "", "junk", "committing", "broken"
    writer_knows: bool = False
    revoked: bool = False
    writer: str = ""  # what it acted on
    maintainer: str = ""
    picks: tuple[int, int] = (-1, -1)  # the numbers that writer and maintainer found free, and are about to use
    junk: int = 0


def decision(ends: tuple[str, ...], rules: Rules, *, broken_is_valid: bool) -> str:
    """Return the state that the ends decide, "" for none."""
    valid = [
        end
        for end in ends
        if end == "committing" or (end == "broken" and broken_is_valid) or (end and not rules.invalid_is_void)
    ]
    return valid[0] if valid else ""


def machine(rules: Rules = PROTOCOL) -> Machine[World]:
    """Return the model under these rules."""
    return Machine(World(), lambda world: _steps(world, rules), _problem)


def _steps(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    if world.junk < _SLOTS - 1:
        for number, end in enumerate(world.ends):
            if not end:
                yield f"a thief puts junk as end/{number}", _put(world, number, "junk")._replace(junk=world.junk + 1)
    if not world.revoked:
        yield "the owner revokes the maintainer", world._replace(revoked=True)
    if not world.writer_knows:
        yield "the writer reads the owner log", world._replace(writer_knows=True)
    counts = rules.revoked_counts or not world.revoked
    if not world.writer:
        known = (world.writer_knows or rules.reads_log_first) and counts
        yield from _decide(world, "writer", "committing", rules, broken_is_valid=known)
    if not world.maintainer and not world.revoked:
        yield from _decide(world, "maintainer", "broken", rules, broken_is_valid=True)


def _decide(world: World, who: str, wanted: str, rules: Rules, *, broken_is_valid: bool) -> Iterator[tuple[str, World]]:
    place = 0 if who == "writer" else 1
    picked = world.picks[place]
    if picked >= 0:
        after = _picks(world, place, -1)
        if world.ends[picked]:
            yield f"the {who} finds end/{picked} in use", after
        else:
            yield f"the {who} puts {wanted} as end/{picked}", _put(after, picked, wanted)
        return
    decided = decision(world.ends, rules, broken_is_valid=broken_is_valid)
    if decided:
        yield f"the {who} acts on {decided}", _acts(world, place, decided)
        return
    free = [number for number, end in enumerate(world.ends) if not end]
    for number in free[:1] if rules.fills_in_order else free:
        yield f"the {who} finds no decision, and end/{number} free", _picks(world, place, number)


def _acts(world: World, place: int, decided: str) -> World:
    return world._replace(writer=decided) if place == 0 else world._replace(maintainer=decided)


def _picks(world: World, place: int, number: int) -> World:
    picks = (number, world.picks[1]) if place == 0 else (world.picks[0], number)
    return world._replace(picks=picks)


def _put(world: World, number: int, end: str) -> World:
    return world._replace(ends=(*world.ends[:number], end, *world.ends[number + 1 :]))


def _problem(world: World) -> str | None:
    if {world.writer, world.maintainer} >= {"committing", "broken"}:
        return f"O4: the writer acts on {world.writer}, the maintainer on {world.maintainer}"
    if "junk" in (world.writer, world.maintainer):
        return "a thief without any right has ended the lease"
    return None
