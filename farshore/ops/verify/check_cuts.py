"""Find heads that seals name, or that this host remembers, and that somebody deleted at all replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from farshore.audit import names as audit_names
from farshore.audit.cached_query import is_anywhere, tables_at
from farshore.audit.chain import missing_heads
from farshore.audit.evidence import read_evidence
from farshore.audit.rows import ProofState
from farshore.audit.seals import Seal
from farshore.ops.verify.findings import ReplicaCheck
from farshore.replicas.repository import Repository
from farshore.trust.memory import Memory


def check_cuts(repository: Repository, checks: Sequence[ReplicaCheck], memory: Memory | None) -> None:
    """Blame each replica for an object that is gone everywhere. Nothing where a replica was not checked.

    Args:
        memory: The memory of this host before the replicas were listed.
    """
    if repository.unreachable or any(check.error for check in checks):
        return
    for name, detail in _cuts(repository, checks, memory).items():
        for check in checks:
            check.blame(name, ProofState.MISSING, f"{detail}, and no replica has it")


def _cuts(repository: Repository, checks: Sequence[ReplicaCheck], memory: Memory | None) -> dict[str, str]:
    seals: dict[str, Seal] = {}
    for check in checks:
        at = tables_at(repository, check.replica)
        evidence = read_evidence(at.store, at.cache_dir, at.repository_id, at.authority, listed=check.sizes)
        seals |= evidence.counted.seals
    present = {place.hash for check in checks for name in check.sizes if (place := audit_names.parse_seal(name))}
    # The commits that heads name are found by their hashes, which names of commits do not have yet.
    plain = [replace(seal, heads=replace(seal.heads, sources={})) for seal in seals.values()]
    found = {one.object: one.detail for one in missing_heads(plain, present, repository.trust)}
    for chain, (sequence, last) in memory.chains.items() if memory else ():
        if last not in present:
            found.setdefault(audit_names.seal_name(chain, sequence, last), "this host remembers it")
    found = {name: detail for name, detail in found.items() if not is_anywhere(repository, name)}
    listed = {snapshot for check in checks for snapshot in check.listed}
    for source_id, newest in memory.newest.items() if memory else ():
        if newest.snapshot not in listed:
            found[f"snapshots/{source_id}/{newest.snapshot}"] = "this host remembers it as the newest of its source"
    return found
