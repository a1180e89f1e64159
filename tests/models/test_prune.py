"""The prune protocol loses no snapshot in any interleaving, and each rule that is left out is found missing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.explorer import Machine, explore
from tests.models.prune import completing, finishing, folding, lease_ends, moves, protocol, unforget
from tests.models.prune.replica import Cast, Rules

_TWO_WRITERS = Cast(writers=2)
_HEAL_AND_TWO_PRUNERS = Cast(heals=1, pruners=2)

PROTOCOLS: dict[str, Machine[Any]] = {
    "two writers and a pruner": protocol.machine(_TWO_WRITERS),
    "a writer, a heal and a pruner": protocol.machine(Cast(writers=1, heals=1)),
    "a writer and two pruners, of which one abandons the other's plan": protocol.machine(Cast(writers=1, pruners=2)),
    "a heal, two pruners, and deletions that arrive late": protocol.machine(
        _HEAL_AND_TWO_PRUNERS, Rules(late_deletes=True)
    ),
    "unforget": unforget.machine(),
    "a late commit": finishing.machine(),
    "a snapshot below its quorum is completed": completing.machine(),
    "the end of a lease": lease_ends.machine(),
    "a pack is repacked": moves.machine(),
    "tombstones are folded": folding.machine(),
}


def _writers(*, cast: Cast = _TWO_WRITERS, **rules: bool) -> Machine[Any]:
    return protocol.machine(cast, Rules(**rules))


MUTANTS: dict[str, Machine[Any]] = {
    "deletions by name only": _writers(cast=_HEAL_AND_TWO_PRUNERS, late_deletes=True, deletes_by_version=False),
    "an abandoned plan no longer condemns": _writers(
        cast=_HEAL_AND_TWO_PRUNERS, late_deletes=True, abandoned_condemns=False
    ),
    "look at the lease, then commit": _writers(commits_by_end=False),
    "a writer lists plans before it puts its lease": _writers(lease_before_plans=False),
    "a pruner lists leases before it publishes": _writers(plan_before_leases=False),
    "no second mark": _writers(marks_again=False),
    "a pruner waits for nobody": _writers(waits=False),
    "the same, and a look at the lease before the commit": _writers(waits=False, commits_by_end=False),
    "a grace time instead of leases": _writers(grace_time_only=True),
    "writers ignore plans": _writers(writers_obey_plans=False),
    "a heal puts condemned names again": _writers(cast=Cast(heals=1), heals_obey_plans=False),
    "the end of a broken lease is removed": _writers(cast=Cast(writers=1), keeps_broken_ends=False),
    "unforget looks, and then undoes": unforget.machine(unforget.Rules(under_lease=False)),
    "a tombstone is removed once no replica has the commit": finishing.machine(finishing.Rules(keeps_tombstones=False)),
    "a commit of a revoked writer is finished": finishing.machine(finishing.Rules(finishes_revoked=True)),
    "refused is garbage": finishing.machine(finishing.Rules(refused_is_garbage=True)),
    "a run below its quorum is made again": completing.machine(completing.Rules(completes=False)),
    "it is completed without a lease": completing.machine(completing.Rules(under_lease=False)),
    "it is completed although a plan condemns what it needs": completing.machine(completing.Rules(obeys_plans=False)),
    "it is completed although it was forgotten": completing.machine(completing.Rules(reads_tombstones=False)),
    "single tombstones go before the set is there": folding.machine(folding.Rules(puts_first=False)),
    "a set leaves a tombstone out": folding.machine(folding.Rules(deletes_what_rows_have=False)),
    "a set is believed without its signature": folding.machine(folding.Rules(checks_signatures=False)),
    "two sets go for each other": folding.machine(folding.Rules(ranks_sets=False)),
    "who lists what is folded then does not look again": folding.machine(folding.Rules(reads_again=False)),
    "the first end decides, valid or not": lease_ends.machine(lease_ends.Rules(invalid_is_void=False)),
    "ends leave free numbers below": lease_ends.machine(lease_ends.Rules(fills_in_order=False)),
    "an end is void as long as the log is not read": lease_ends.machine(lease_ends.Rules(reads_log_first=False)),
    "an end is void once its maintainer is revoked": lease_ends.machine(lease_ends.Rules(revoked_counts=False)),
    "a moved pack is condemned before it is compared": moves.machine(moves.Rules(compares=False)),
    "a move counts at a replica that does not list it": moves.machine(moves.Rules(obeys_own_moves=False)),
    "a move is put before its pack": moves.machine(moves.Rules(pack_before_move=False)),
    "a heal copies a moved pack back": moves.machine(moves.Rules(heals_by_moves=False)),
    "a move counts for all of the old pack": moves.machine(moves.Rules(by_segments=False)),
    "a moved pack goes without a second mark": moves.machine(moves.Rules(marks_again=False, keeps_condemned_off=False)),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_protocol_holds_in_every_interleaving(name: str) -> None:
    outcome = explore(PROTOCOLS[name])
    assert outcome.holds, str(outcome)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found_broken(name: str) -> None:
    outcome = explore(MUTANTS[name])
    print(outcome)
    assert not outcome.holds, f"{name}: {outcome}"
    assert outcome.trace, f"{name}: {outcome}"
