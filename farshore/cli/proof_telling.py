"""How `farshore verify` tells what was proven of a replica, and what was not."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from farshore.cli.wording import age_of, count_of, shown_text

if TYPE_CHECKING:
    from farshore.model import ReplicaProof, ReplicaReading, VerifyResult

BY_NAME = "by-name"  # how packs were chosen where no audit table could be read


def told_reading(reading: ReplicaReading, now_utc: datetime) -> str:
    """Return the line that tells how much of a replica was read, and how long ago all of it was."""
    parts = [f"{reading.packs_read:,} of {count_of(reading.packs, 'pack')} read"]
    if reading.packs_archived:
        parts.append(f"{reading.packs_archived:,} archived and not read")
    rest = reading.packs - reading.packs_read
    if reading.rotation == BY_NAME:
        parts.append("no audit table tells what was read before, so each day reads its part")
    elif rest:
        never = reading.packs_never_read
        if never:
            parts.append(f"{never:,} never read yet")
        if never and reading.oldest_put_utc:
            parts[-1] += f", the oldest of them put {age_of(reading.oldest_put_utc, now_utc)} ago"
        if reading.oldest_read_utc and rest > never:
            within = age_of(reading.oldest_read_utc, now_utc)
            parts.append(f"{'the others' if never else 'all data'} read within the last {within}")
    if rest:
        parts.append(f"all in {reading.runs_for_all:,} such runs")
    return f"{reading.replica}: {'; '.join(parts)}"


def told_verdict(result: VerifyResult) -> str:
    """Return what a remote check comes to, in a few words."""
    damaged = sum(proof.damaged for proof in result.proofs)
    if damaged or result.damaged:
        return count_of(max(damaged, len(result.damaged)), "damaged object")
    if result.inconclusive:
        return f"too little was seen at {', '.join(result.inconclusive)}"
    if result.unproven:
        return f"nothing damaged, {count_of(result.unproven, 'object')} unproven"
    return "clean"


def told_proof(proof: ReplicaProof) -> list[str]:
    """Return the lines that tell what was seen at one replica, and what that does not prove."""
    counts = [f"{proof.proven:,} proven"]
    counts += [f"{proof.damaged:,} damaged"] if proof.damaged else []
    counts += [f"{proof.unproven:,} unproven"] if proof.unproven else []
    counts += [f"{count_of(proof.audit_unproven, 'audit file')} by size"] if proof.audit_unproven else []
    lines = [f"{proof.replica}: {', '.join(counts)} of {count_of(proof.objects, 'object')}"]
    if not proof.tells_checksums:
        lines.append(
            f"  a directory tells no checksums, so content is unproven; reading it costs no egress: "
            f"farshore verify --replica {proof.replica} --read-data=5"
        )
    if proof.unrecorded:
        why = (
            "a writer is at work" if proof.at_work else "runs that were stopped left them, and a later backup uses them"
        )
        lines.append(f"  {count_of(proof.unrecorded, 'object')} that no audit row tells of: {why}")
    if proof.foreign:
        shown = ", ".join(shown_text(name) for name in proof.foreign_names[:3])
        more = ", ..." if proof.foreign > 3 else ""
        lines.append(f"  {count_of(proof.foreign, 'object')} that are not of this repository: {shown}{more}")
    if not proof.listing_complete:
        lines.append("  its listing leaves out objects that are there, so what it lacks proves nothing")
    if not proof.records_from:
        lines.append("  no replica has audit tables that can be read, so nothing tells what must be there")
    return lines
