"""Lines of `farshore verify`: proven and unproven facts about a replica."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from farshore.cli.wording import age_of, elapsed, shown_text
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.check_results import CheckedReplica, ReplicaProof, ReplicaReading, VerifyResult


def format_reading(reading: ReplicaReading, now_utc: datetime) -> str:
    """Return the line on how much of a replica was read, and how long ago all of it was."""
    from farshore.check_results import Rotation

    parts = [f"{reading.packs_read:,} of {count_of(reading.packs, 'pack')} read"]
    if reading.packs_archived:
        parts.append(f"{reading.packs_archived:,} archived and not read")
    rest = reading.packs - reading.packs_read
    if reading.rotation is Rotation.BY_NAME:
        parts.append("no audit table has earlier reads, so each day reads its part")
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


def format_summary(result: VerifyResult, looked: str, read: str = "") -> str:
    """Return the summary line of a check: objects, replicas and verdict."""
    where = ", ".join(one.replica for one in result.checks if one.objects) or "no replica"
    duration = elapsed(result.finished_utc - result.started_utc)
    return (
        f"{looked} of {count_of(result.snapshots, 'snapshot')} at {where}{read} in {duration}: {format_verdict(result)}"
    )


def format_verdict(result: VerifyResult) -> str:
    """Return the verdict of a check, in a few words; clean only where everything was seen."""
    damaged = max(sum(proof.damaged for proof in result.proofs), len(result.damaged))
    parts = [count_of(damaged, "damaged object") if damaged else "nothing damaged"]
    parts += [f"{', '.join(result.empty)} {_has(result.empty)} no snapshot"] if result.empty else []
    parts += [f"{', '.join(result.behind)} {_has(result.behind)} fewer snapshots"] if result.behind else []
    parts += [f"{', '.join(result.not_asked)} not asked"] if result.not_asked else []
    parts += [f"too little was seen at {', '.join(result.inconclusive)}"] if result.inconclusive else []
    parts += [f"{count_of(result.unproven, 'object')} unproven"] if result.unproven else []
    return ", ".join(parts) if len(parts) > 1 or damaged else "clean"


def _has(replicas: Sequence[str]) -> str:
    return "lists" if len(replicas) == 1 else "list"


def format_check(one: CheckedReplica, looked: str = "checked", sound: str = "clean") -> str:
    """Return the line that says how the check of one replica ended."""
    objects = count_of(one.objects, "object")
    if one.state == "not-asked":
        partly = f" to its end, after {objects}" if one.objects else ""
        return f"{one.replica}: could not be asked{partly} ({one.error_code})"
    if one.state == "empty":
        others = f", and others list {one.behind:,}" if one.behind else ""
        return f"{one.replica}: lists no snapshot{others}; nothing of it is proven"
    said = {"damaged": count_of(one.damaged, "damaged object"), "inconclusive": "too little was seen"}
    parts = [said.get(one.state, sound)]
    if one.behind:
        parts.append(
            f"{count_of(one.behind, 'snapshot')} that others list {'is' if one.behind == 1 else 'are'} not there"
        )
    if one.error_code:
        parts.append(f"the rest could not be asked ({one.error_code})")
    scope = f"{looked} {objects} of {count_of(one.snapshots, 'snapshot')}: " if one.objects else ""
    return f"{one.replica}: {scope}{'; '.join(parts)}"


def format_proof(proof: ReplicaProof) -> list[str]:
    """Return the lines on the facts seen at one replica, and on those that stay unproven."""
    counts = [f"{proof.proven:,} proven"]
    counts += [f"{proof.damaged:,} damaged"] if proof.damaged else []
    counts += [f"{proof.unproven:,} unproven"] if proof.unproven else []
    counts += [f"{count_of(proof.audit_unproven, 'audit file')} by size"] if proof.audit_unproven else []
    lines = [f"{proof.replica}: {', '.join(counts)} of {count_of(proof.objects, 'object')}"]
    if not proof.tells_checksums:
        lines.append(
            f"  a directory has no checksums, so content is unproven; reading it costs no egress: "
            f"farshore verify --replica {proof.replica} --read-data=5"
        )
    if proof.unrecorded:
        why = (
            "a writer is at work" if proof.at_work else "runs that were stopped left them, and a later backup uses them"
        )
        lines.append(f"  {count_of(proof.unrecorded, 'object')} without an audit row: {why}")
    if proof.foreign:
        shown = ", ".join(shown_text(name) for name in proof.foreign_names[:3])
        more = ", ..." if proof.foreign > 3 else ""
        lines.append(f"  {count_of(proof.foreign, 'object')} that are not of this repository: {shown}{more}")
    if not proof.listing_complete:
        lines.append("  its listing leaves out objects that are there, so what it lacks proves nothing")
    if not proof.records_from:
        lines.append("  no replica has audit tables that can be read, so it is unknown what must be there")
    return lines
