"""The rules of trust hold in every interleaving of small models, and each rule that is left out is found missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.models.explorer import Machine, explore
from tests.models.trust import chains, clocks, host_memory, naming, owner_keys, sequences, stolen_writer
from tests.models.trust.clocks import Lie
from tests.models.trust.judge import CommitRules
from tests.models.trust.owner_log import LogRules


def _thief(**log: bool) -> Machine[Any]:
    return stolen_writer.machine(stolen_writer.Rules(log=LogRules(**log)))


def _stolen(**commits: bool) -> Machine[Any]:
    return stolen_writer.machine(stolen_writer.Rules(commits=CommitRules(**commits)))


def _owner(**log: bool) -> Machine[Any]:
    return owner_keys.machine(owner_keys.Rules(log=LogRules(**log)))


def _clock(**commits: bool) -> Machine[Any]:
    return clocks.machine(clocks.Rules(CommitRules(**commits)))


def _numbers(**commits: bool) -> Machine[Any]:
    return sequences.machine(sequences.Rules(replace(sequences.Rules().commits, **commits)))


_LATEST = CommitRules(latest_stamp=True)

PROTOCOLS: dict[str, Machine[Any]] = {
    "a writer's key is stolen": stolen_writer.machine(),
    "the owner rotates its key, and forks its log": owner_keys.machine(),
    "clocks, forks, heals and a lost replica": clocks.machine(),
    "the same, capped by the latest store time": _clock(latest_stamp=True),
    "store times of one replica lie in the far past, capped by the latest": clocks.machine(
        clocks.Rules(_LATEST, lie=Lie.EARLY)
    ),
    "store times of one replica lie in the far future": clocks.machine(clocks.Rules(lie=Lie.LATE)),
    "a thief takes the highest sequences": sequences.machine(),
    "the same, where no store reports a time": sequences.machine(sequences.Rules(stamps=False)),
    "chains of seals are cut at all replicas": chains.machine(),
    "a heal without keys": naming.machine(),
    "two processes of a host write its memory": host_memory.processes_machine(),
    "a thief's snapshot is remembered until it is refused": host_memory.snapshots_machine(),
}

MUTANTS: dict[str, tuple[str, Machine[Any]]] = {
    "entries of the first replica that answers": (
        "P1",
        stolen_writer.machine(stolen_writer.Rules(united=False)),
    ),
    "no memory, and a replica that is rolled back": ("P2", _thief(memory=False)),
    "a new certificate lifts a revocation": ("P2", _thief(enrollment_lifts=True)),
    "the first list of a revocation is final": ("P1", _thief(first_list_is_final=True)),
    "revocation by time": ("P2", _stolen(by_time=True)),
    "revocation by sequence": ("P2", _stolen(by_position=True)),
    "a certificate is good for every source": ("P2", _stolen(rights=False)),
    "an unknown head in any commit makes the log rolled back": ("P1", _stolen(heads_of_refused=True)),
    "a refused commit forks its siblings": ("P1", _stolen(refused_fork=True)),
    "every owner key that ever was signs": ("P", _owner(any_owner_signs=True)),
    "of a fork the last writer wins": ("P", _owner(longest_branch_wins=True)),
    "no memory, and a fork by a retired key": ("P5", _owner(memory=False)),
    "the highest head is remembered, on any branch": ("P5", _owner(memory_follows_highest=True)),
    "a revocation counts on any branch, no matter which key signed it": ("P1", _owner(foreign_revocations=True)),
    "a key counts as retired only if it was at the remembered head": ("P1", _owner(retired_at_memory=True)),
    "on another branch only the key in force here revokes": ("P2", _owner(current_key_revokes=True)),
    "on another branch no revocation counts": ("P2", _owner(other_branch_revokes=False)),
    "lists of two branches are united": ("P2", _owner(lists_united=True)),
    "a replica without the remembered head is not read": (
        "P2",
        owner_keys.machine(owner_keys.Rules(rolled_back_is_united=False)),
    ),
    "order by store time": ("P4", _clock(order_by_stamp=True)),
    "a date before the parent's is good": ("P6", _clock(parent_date=False)),
    "a date in the future is good": ("P6", _clock(cap=False)),
    "a misdated commit forks its siblings": ("P1", _clock(misdated_fork=True)),
    "two commits with one parent are good": ("P6", _clock(forks=False)),
    "a run follows the newest sound commit, so that a fork never ends": ("P9", _clock(parent_is_sound=True)),
    "a heal copies what is misdated": ("P4", clocks.machine(clocks.Rules(heal_copies_misdated=True))),
    "store times of one replica lie in the far past, capped by the earliest": (
        "P9",
        clocks.machine(clocks.Rules(lie=Lie.EARLY)),
    ),
    "store times of one replica lie in the far future, capped by the latest, and a thief": (
        "P6",
        clocks.machine(clocks.Rules(_LATEST, lie=Lie.LATE)),
    ),
    "any sequence is good": ("P10", _numbers(numbers=False)),
    "the next sequence is above all, also those that have no room yet": ("P10", _numbers(counts_all=True)),
    "seals carry no heads": ("", chains.machine(chains.Rules(seals_carry_heads=False))),
    "seals carry the heads that are listed just now": ("", chains.machine(chains.Rules(heads_are_remembered=False))),
    "a host forgets its own last seal": ("", chains.machine(chains.Rules(host_remembers=False))),
    "seals of a revoked writer count": ("", chains.machine(chains.Rules(refused_seals_count=True))),
    "of two processes the higher head is remembered": (
        "P5",
        host_memory.processes_machine(host_memory.Rules(checks_base=False)),
    ),
    "only the newest snapshot is remembered, not the own one": (
        "the host's own",
        host_memory.snapshots_machine(host_memory.Rules(keeps_own=False)),
    ),
    "the highest sequence ever seen is remembered": (
        "the host",
        host_memory.snapshots_machine(host_memory.Rules(accepted_only=False)),
    ),
    "names carry no hash, and rows decide": ("", naming.machine(naming.Rules(names_carry_hashes=False))),
    "a heal does not check hashes": ("P7", naming.machine(naming.Rules(hash_is_checked=False))),
    "of two objects for one subject one is removed": ("", naming.machine(naming.Rules(disputed_is_left=False))),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_rules_hold_in_every_interleaving(name: str) -> None:
    outcome = explore(PROTOCOLS[name])
    assert outcome.holds, str(outcome)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found_broken(name: str) -> None:
    prefix, machine = MUTANTS[name]
    outcome = explore(machine)
    print(outcome)
    assert outcome.problem is not None, f"{name}: {outcome}"
    assert outcome.problem.startswith(prefix), f"{name}: {outcome}"
    assert outcome.trace or outcome.states == 1, f"{name}: {outcome}"
