"""Commits that no daily seal covers: the signature of each alone proves them, and its algorithm may fall. Pure.

A daily seal is signed by both algorithms and covers by hash the commits of its host. Where none covers a commit for so
long, its host was never back, or nobody but a forger of the one signature made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from farshore import limits
from farshore.audit.seals import Seal
from farshore.errors import FarshoreError, RecipientRetired
from farshore.format.commit import CommitHead
from farshore.model import DoubtedSnapshot
from farshore.plural import count_of
from farshore.trust import TrustState
from farshore.trust.actions import Right

COMMIT_UNCOVERED = "commit-uncovered"  # a warning, because a host that is gone for good leaves its last day so
_ALLOWED = timedelta(days=limits.COVERED_WITHIN_DAYS)


def uncovered_commits(
    heads: Iterable[CommitHead],
    seals: Iterable[Seal],
    trust: TrustState,
    *,
    stored_utc: Mapping[str, datetime],
    now_utc: datetime,
) -> list[CommitHead]:
    """Return the commits that no daily seal covers although they are old, the oldest first.

    A seal covers a commit whose source its signer may write. One that a revocation accepts is covered by that, which
    the owner signs with both algorithms.

    Args:
        heads: Commits that count.
        seals: Seals that count.
        stored_utc: The earliest time that any store reports, by hash; a commit is at least that old.
    """
    signers: dict[str, set[str]] = {}
    for seal in seals:
        for one in seal.covers or ():
            signers.setdefault(one, set()).add(seal.signer)
    late = {
        head.hash: head
        for head in heads
        if now_utc - min(head.made_utc, stored_utc.get(head.hash, now_utc)) > _ALLOWED
        and not any(may_cover(trust, signer, head.source_id) for signer in signers.get(head.hash, ()))
        and not is_named_by_owner(trust, head.hash)
    }
    return sorted(late.values(), key=lambda head: (head.committed_utc, head.hash))


def doubts_of_coverage(
    heads: Iterable[CommitHead],
    seals: Iterable[Seal],
    trust: TrustState,
    *,
    stored_utc: Mapping[str, datetime],
    now_utc: datetime,
) -> list[DoubtedSnapshot]:
    """Return the same as findings."""
    late = uncovered_commits(heads, seals, trust, stored_utc=stored_utc, now_utc=now_utc)
    detail = f"no daily seal of a writer of its source covers it, {limits.COVERED_WITHIN_DAYS} days after it was made"
    return [DoubtedSnapshot(COMMIT_UNCOVERED, one.source_id, one.snapshot, one.hash, detail) for one in late]


def doubt_errors(doubts: Sequence[DoubtedSnapshot]) -> list[FarshoreError]:
    """Return an error for snapshots that were sealed to a wrong recipient."""
    said = _said(doubts, RecipientRetired.code)
    return [RecipientRetired(said)] if said else []


def uncovered_warning(doubts: Sequence[DoubtedSnapshot]) -> str:
    """Return a warning of snapshots that no daily seal covers, and how that ends; empty where there are none."""
    said = _said(doubts, COMMIT_UNCOVERED)
    return (
        f"{said}. The next run of its host covers it; if that is gone, 'farshore key revoke' vouches for it"
        if said
        else ""
    )


def _said(doubts: Sequence[DoubtedSnapshot], code: str) -> str:
    """Return the first doubt of a kind, and how many others there are."""
    found = [one for one in doubts if one.code == code]
    if not found:
        return ""
    more = f" ({count_of(len(found) - 1, 'more snapshot')} likewise)" if len(found) > 1 else ""
    return f"snapshot {found[0].snapshot_id}: {found[0].detail}{more}"


def may_cover(trust: TrustState, signer: str, source_id: str) -> bool:
    """Whether a signer may commit a source, and so vouch for commits of it."""
    certificates = [one.certificate for one in trust.certificates.get(signer, ())]
    return any(Right.BACKUP in one.rights and one.allows_source(source_id) for one in certificates)


def is_named_by_owner(trust: TrustState, commit: str) -> bool:
    """Whether a revocation lists a commit as accepted."""
    return any(commit in (revoked.commits or ()) for revoked in trust.revocations.values())
