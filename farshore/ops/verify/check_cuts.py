"""Find heads that seals name, or that this host remembers, and that somebody deleted at all replicas."""

from __future__ import annotations

from collections.abc import Sequence

from farshore.audit import names as audit_names
from farshore.audit.cached_query import tables_at
from farshore.audit.cuts import find_cuts
from farshore.audit.evidence import read_evidence
from farshore.audit.rows import ProofState
from farshore.audit.seals import Seal
from farshore.catalog.heads import lists_everything
from farshore.format.names import parse_commit
from farshore.ops.verify.findings import ReplicaCheck
from farshore.replicas.repository import Repository
from farshore.trust.memory import Memory


def read_all_seals(repository: Repository, checks: Sequence[ReplicaCheck]) -> list[Seal] | None:
    """Return the seals that count at any replica; None where a replica was not checked to its end."""
    if not lists_everything(repository) or any(check.error for check in checks):
        return None
    seals: dict[str, Seal] = {}
    for check in checks:
        at = tables_at(repository, check.replica)
        evidence = read_evidence(at.store, at.cache_dir, at.repository_id, at.authority, listed=check.sizes)
        seals |= evidence.counted.seals
    return list(seals.values())


def check_cuts(
    repository: Repository, checks: Sequence[ReplicaCheck], seals: Sequence[Seal], memory: Memory | None
) -> None:
    """Blame each replica for an object that is gone everywhere.

    Args:
        seals: Those that count, of all replicas.
        memory: The memory of this host before the replicas were listed.
    """
    listed = {name for check in checks for name in check.sizes}
    found = find_cuts(
        repository, seals,
        seals_listed={place.hash for name in listed if (place := audit_names.parse_seal(name))},
        commits_listed={item.hash for name in listed if (item := parse_commit(name))},
        memory=memory,
    )  # fmt: skip
    for one in found:
        place = audit_names.parse_seal(one.object)
        for check in checks:
            if place is not None:  # the gap that it leaves before others of its chain
                check.damaged.pop(audit_names.seal_subject(place.chain, place.sequence), None)
            check.blame(one.object, ProofState.MISSING, f"{one.detail}, and no replica has it")
            check.cut.add(one.object)
