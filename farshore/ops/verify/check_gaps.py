"""Name what a replica lacks by what other replicas hold, where the replica alone does not show it: so it can be mended.

A chain of seals shows only where its gap is, and a replica without any key slot not even how many there were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from farshore.audit import names as audit_names
from farshore.audit.cached_query import tables_at
from farshore.audit.evidence import read_evidence
from farshore.audit.rows import ProofState
from farshore.audit.seals import Seal
from farshore.errors import READ_ERRORS
from farshore.format import names
from farshore.ops.verify.findings import ReplicaCheck
from farshore.replicas.repository import Repository

_Held = Mapping[str, Mapping[int, Sequence[Seal]]]  # by chain and place


def name_gaps(repository: Repository, checks: Sequence[ReplicaCheck]) -> None:
    """Put the names of missing objects in place of gaps in chains, and of no slot; what no replica has stays a gap."""
    _name_slots(repository, [check for check in checks if names.SLOTS in check.damaged])
    gaps = [(check, place) for check in checks for name in check.damaged if (place := audit_names.parse_subject(name))]
    if not gaps:
        return
    held = _held(repository, checks)
    for check, (chain, first) in gaps:
        _name(check, chain, first, held.get(chain, {}))


def _name_slots(repository: Repository, checks: Sequence[ReplicaCheck]) -> None:
    if not checks:
        return
    listed, _ = repository.ask_all(lambda replica: [info.name for info in replica.store.list(names.SLOTS)])
    slots = sorted({name for found in listed.values() for name in found if names.parse_slot(name)})
    for check in checks if slots else ():
        detail = check.damaged.pop(names.SLOTS).detail
        for name in slots:
            check.blame(name, ProofState.MISSING, detail)


def _held(repository: Repository, checks: Sequence[ReplicaCheck]) -> _Held:
    """Return the seals that count, of all replicas that can be read."""
    listed = {check.replica.name: check.sizes for check in checks}
    found: dict[str, dict[int, list[Seal]]] = {}
    for replica in repository.replicas.values():
        at = tables_at(repository, replica)
        try:
            evidence = read_evidence(
                at.store, at.cache_dir, at.repository_id, at.authority, listed=listed.get(replica.name)
            )
        except READ_ERRORS:
            continue
        for seal in evidence.counted.seals.values():
            of_place = found.setdefault(seal.chain, {}).setdefault(seal.sequence, [])
            if seal not in of_place:
                of_place.append(seal)
    return found


def _name(check: ReplicaCheck, chain: str, first: int, held: Mapping[int, Sequence[Seal]]) -> None:
    places = (place for name in check.sizes if (place := audit_names.parse_seal(name)) and place.chain == chain)
    after = min((place.sequence for place in places if place.sequence >= first), default=first)
    gap = check.damaged.pop(audit_names.seal_subject(chain, first))
    for seal in (one for at, of_place in sorted(held.items()) if first <= at < after for one in of_place):
        check.blame(seal.name, ProofState.MISSING, "audit evidence: later seals of its chain are there, and it is not")
        for file in seal.files:
            if file.name not in check.sizes:
                check.blame(file.name, ProofState.MISSING, f"audit evidence: seal {seal.sequence} names it")
    lost = next((at for at in range(first, after) if at not in held), None)
    if lost is not None or after == first:
        check.blame(audit_names.seal_subject(chain, lost or first), ProofState.MISSING, gap.detail)
