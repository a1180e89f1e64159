"""The part of a status about trust: certificates that end, an old owner log, rows that do not count, cuts, liars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from farshore import limits
from farshore.audit.chain import SealFinding
from farshore.catalog.heads import remember_seen
from farshore.catalog.verdicts import accusations, emptied, list_verdicts
from farshore.errors import FarshoreError
from farshore.format.names import CommitName
from farshore.model import DoubtedSnapshot
from farshore.ops.ask.audit_state import AuditAt, read_audit_state
from farshore.replicas.repository import Repository


@dataclass(frozen=True, slots=True)
class CertificateEnd:
    """A certificate that ends soon, or has ended."""

    host: str
    role: str
    signer: str
    not_after_utc: datetime
    ended: bool


@dataclass(frozen=True, slots=True)
class TrustReport:
    """The findings. `log_behind`: how many entries of the owner log a replica lacks. `error`: nothing was judged.

    `cut`: heads that seals name, or that this host remembers, and that no replica lists. `quarantined`: packs that a
    verify found bad. `doubts`: old snapshots that no daily seal covers.
    """

    certificates: tuple[CertificateEnd, ...] = ()
    log_behind: Mapping[str, int] = field(default_factory=dict)
    at: Mapping[str, AuditAt] = field(default_factory=dict)
    cut: tuple[SealFinding, ...] = ()
    quarantined: tuple[str, ...] = ()
    doubts: tuple[DoubtedSnapshot, ...] = ()
    error: FarshoreError | None = None


def report_trust(
    repository: Repository, commits: Mapping[CommitName, datetime | None], *, complete: bool
) -> TrustReport:
    """Read the chains of all replicas, judge them, and remember the newest of each.

    Args:
        commits: All that replicas list, each with the earliest time that a store reports.
        complete: All replicas of the configuration were asked, so what none has is nowhere.
    """
    state = read_audit_state(repository)
    cut = tuple(state.cut(repository, {item.hash for item in commits})) if complete else ()
    doubts = tuple(state.uncovered(repository, commits)) if complete else ()
    remember_seen(repository, chains=state.heads())
    log = repository.log
    lacking = {name: len(log.missing_at(name)) for name in log.held} if log is not None else {}
    return TrustReport(
        certificates=_certificates(repository),
        log_behind={name: count for name, count in lacking.items() if count},
        at=state.at,
        cut=cut,
        quarantined=_quarantined(repository),
        doubts=doubts,
    )


def _quarantined(repository: Repository) -> tuple[str, ...]:
    """Return the packs in quarantine; not those that a rewrite emptied, with which nothing is wrong."""
    read, failed = list_verdicts(repository)
    repository.note_unasked(failed)
    return tuple(sorted(one.hex() for one in accusations(read).keys() - emptied(read)))


def _certificates(repository: Repository) -> tuple[CertificateEnd, ...]:
    now_utc = repository.clock.now_utc()
    ending = (one.certificate for one in repository.trust.expires(now_utc, limits.CERTIFICATE_WARN_DAYS))
    return tuple(
        CertificateEnd(one.host, one.role, one.signer, one.not_after_utc, one.not_after_utc <= now_utc)
        for one in ending
    )
