"""A certificate made valid longer: the same key, host, sources and rights, in one more entry of the owner log."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from farshore import limits
from farshore.ops.setup.owner_actions import append_entry, owner_key
from farshore.ops.setup.revoke import certificates_of
from farshore.replicas.repository import Repository
from farshore.trust.actions import Certificate


@dataclass(frozen=True, slots=True)
class Renewed:
    """Certificates with their new end. `failed`: replicas without the entry; heal or the next writer adds it."""

    certificates: tuple[Certificate, ...]
    not_after_utc: datetime
    failed: tuple[str, ...] = ()


def renew(repository: Repository, whose: str, *, days: int = limits.CERTIFICATE_DAYS) -> Renewed:
    """Let the certificates of a host, or of one signer, end this number of days from now. No credential changes.

    Readers' keys too, which no enrollment makes anew.

    Raises:
        ConfigInvalid: There is no such certificate that was not revoked.
        KeyMissing, QuorumNotReached: As `append_entry` says.
    """
    owner_key(repository)
    now_utc = repository.clock.now_utc()
    until_utc = now_utc + timedelta(days=days)
    made = tuple(
        replace(one, not_before_utc=now_utc, not_after_utc=until_utc) for one in certificates_of(repository, whose)
    )
    appended = append_entry(repository, made)
    return Renewed(made, until_utc, tuple(appended.failed))
