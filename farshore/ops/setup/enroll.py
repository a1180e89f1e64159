"""Enroll a host: a signing key, a certificate in the owner log, and the credential that the host keeps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from farshore import limits
from farshore.errors import ConfigInvalid
from farshore.model import dataclass
from farshore.ops.setup.owner_actions import append_entry, owner_key
from farshore.replicas.repository import Repository
from farshore.sealed import DomainKeys, Role, domain_keys, index_root
from farshore.sealed.key_files import Credential
from farshore.signing import generate_signing_key
from farshore.trust.actions import Action, Certificate, Right, SourcePrefix, StartEpoch

_ROLES = {
    Role.WRITER: frozenset({Right.BACKUP}),
    Role.MAINTAINER: frozenset({Right.VERIFY, Right.HEAL, Right.MAINTAIN}),
    Role.REPLICATOR: frozenset({Right.HEAL}),
    Role.APPROVER: frozenset({Right.APPROVE}),
    Role.AUDITOR: frozenset[Right](),
}
_NAME_BYTES_MAX = 64


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A host that was enrolled. `credential` is secret, but for an auditor's. `failed`: replicas without its entry."""

    credential: Credential
    signer: str
    domain: str
    sources: tuple[str, ...]
    rights: tuple[str, ...]
    failed: tuple[str, ...] = ()


def enroll(
    repository: Repository,
    host: str,
    *,
    role: Role = Role.WRITER,
    sources: Sequence[str] = (),
    domain: str = "",
    rights: Collection[Right] = (),
    days: int = limits.CERTIFICATE_DAYS,
) -> Enrolled:
    """Let a host write, verify, heal, maintain or approve. Needs the owner's key.

    Args:
        host: Its name, for people.
        role: Its purpose: a writer has the keys of its domain, a maintainer those that open footers, a replicator
            and an approver none, an auditor nothing secret at all.
        sources: The names of what it may back up; one that another certificate names keeps its id. Empty: any of its
            own, which a host of this name that was enrolled before goes on with.
        domain: The hosts that it shares chunks with, and trusts; empty: that of the host of this name, or else a domain
            of its own.
        rights: More of them than the role has.
        days: How long the certificate is valid; its end warns and stops nothing.

    Raises:
        ConfigInvalid: A name that cannot be one.
        KeyMissing, QuorumNotReached: As `append_entry` says.
    """
    for name in (host, domain or host, *sources):
        _require_name(name)
    owner_key(repository)
    header, trust = repository.header, repository.trust
    if role is Role.AUDITOR:
        head = trust.head
        log = (head.number, head.hash) if head else (0, "")
        return Enrolled(Credential(header.repository_id, header.fingerprint, role, None, log=log), "", "", (), ())
    before = _certificate_of(repository, host)
    key, domain = generate_signing_key(), domain or (before.domain if before else host)
    now_utc = repository.clock.now_utc()
    actions: list[Action] = []
    if domain not in trust.domains and role is Role.WRITER:
        actions.append(StartEpoch(domain, 1, len(repository.writing_keys().roots) - 1))
    allowed = _sources(repository, sources) if sources else _prefix(repository, before)
    every = frozenset(_ROLES[role] | set(rights))
    actions.append(
        Certificate(
            key.verify_key, host, role, domain, allowed if Right.BACKUP in every else {}, every, now_utc,
            now_utc + timedelta(days=days),
        )
    )  # fmt: skip
    appended = append_entry(repository, actions)
    roots = repository.writing_keys().roots
    credential = Credential(
        header.repository_id,
        header.fingerprint,
        role,
        key,
        domains=_domain_keys(repository, domain) if role is Role.WRITER else (),
        index_roots=tuple(index_root(root, header.repository_bytes) for root in roots)
        if role is Role.MAINTAINER
        else (),
        log=(appended.head.number, appended.head.hash),
    )
    return Enrolled(credential, key.signer_id, domain, tuple(sources), tuple(sorted(every)), tuple(appended.failed))


def known_sources(repository: Repository) -> dict[str, str]:
    """Return the id of each source that a certificate names, by its name; of a prefix, none are known."""
    found: dict[str, str] = {}
    for certified in repository.trust.certificates.values():
        for one in certified:
            if not isinstance(one.certificate.sources, SourcePrefix):
                found |= {name: source_id for source_id, name in one.certificate.sources.items()}
    return found


def _certificate_of(repository: Repository, host: str) -> Certificate | None:
    """Return the newest certificate of a host that backs up, or None."""
    found = [
        one
        for certified in repository.trust.certificates.values()
        for one in certified
        if one.certificate.host == host and Right.BACKUP in one.certificate.rights
    ]
    return max(found, key=lambda one: one.entry.number).certificate if found else None


def _prefix(repository: Repository, before: Certificate | None) -> SourcePrefix:
    if before is not None and isinstance(before.sources, SourcePrefix):
        return before.sources
    return SourcePrefix(repository.clock.random_bytes(8).hex())


def _sources(repository: Repository, sources: Sequence[str]) -> dict[str, str]:
    known = known_sources(repository)
    return {known.get(name) or repository.clock.random_bytes(16).hex(): name for name in sources}


def _domain_keys(repository: Repository, domain: str) -> tuple[DomainKeys, ...]:
    roots, header = repository.writing_keys().roots, repository.header
    newest = repository.trust.newest_epoch(domain)
    return (domain_keys(roots[newest.root], domain, newest.epoch, header.repository_bytes),)


def _require_name(name: str) -> None:
    if not name or len(name.encode()) > _NAME_BYTES_MAX or not name.isprintable():
        raise ConfigInvalid(f"{name!r} is no name of 1 to {_NAME_BYTES_MAX} bytes on one line", "Choose another one.")
