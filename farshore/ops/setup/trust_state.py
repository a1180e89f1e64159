"""Certificates and entries of the owner log as people look at them. Needs no key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from farshore.access.approved import describe_policy
from farshore.errors import Bug
from farshore.format import names
from farshore.plural import count_of
from farshore.replicas.repository import Repository
from farshore.trust import TrustState
from farshore.trust.actions import (
    Action,
    AddRecipient,
    Certificate,
    ChangeOwner,
    NameSlots,
    RequireFeatures,
    Revocation,
    SetPolicy,
    SourcePrefix,
    StartEpoch,
)
from farshore.trust.log_entry import decode_entry

_ANY = "any of its own"


@dataclass(frozen=True, slots=True)
class CertificateInfo:
    """A signer and its newest certificate. `revoked`: the reason, or empty. `current`: nothing ended it."""

    signer: str
    host: str
    role: str
    domain: str
    sources: tuple[str, ...]
    rights: tuple[str, ...]
    not_before_utc: datetime
    not_after_utc: datetime
    current: bool
    revoked: str
    entry: int


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """An entry of the owner log. `forked`: another valid entry has its number."""

    number: int
    hash: str
    made_utc: datetime
    signer: str
    actions: tuple[str, ...]
    forked: bool
    unknown: tuple[str, ...] = ()


def list_certificates(repository: Repository) -> list[CertificateInfo]:
    """Return the newest certificate of each signer, in the order in which they were made."""
    trust, found = repository.trust, []
    for signer in trust.certificates:
        certified = trust.certificate(signer)
        if certified is None:
            continue
        one, revoked = certified.certificate, trust.revocations.get(signer)
        reasons = "; ".join(reason or "no reason given" for reason in revoked.reasons) if revoked else ""
        found.append(
            CertificateInfo(
                signer, one.host, one.role, one.domain, _sources(one), tuple(sorted(one.rights)), one.not_before_utc,
                one.not_after_utc, revoked is None, reasons, certified.entry.number,
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: (one.entry, one.host, one.signer))


def list_entries(repository: Repository) -> list[EntryInfo]:
    """Return the entries of the log that are valid, by number; of a fork all branches."""
    if repository.log is None:
        raise Bug("the owner log was not read yet")
    forked, found = repository.trust.forked, []
    for name, data in repository.log.objects.items():
        if (names.parse_log_entry(name) or (names.LATER_HEADER, ""))[0] == names.LATER_HEADER:
            continue
        entry = decode_entry(name, data)
        head, signer = entry.head, entry.text.signature.signer
        actions = tuple(_described(repository.trust, action) for action in entry.actions)
        found.append(
            EntryInfo(head.number, head.hash, entry.made_utc, signer, actions, head.number in forked, entry.unknown)
        )
    return sorted(found, key=lambda one: (one.number, one.hash))


def _sources(certificate: Certificate) -> tuple[str, ...]:
    if isinstance(certificate.sources, SourcePrefix):
        return (_ANY,)
    return tuple(sorted(certificate.sources.values()))


def _described(trust: TrustState, action: Action) -> str:
    said = "an action of a later version"
    match action:
        case AddRecipient():
            said = f"a recipient, root {action.root}"
        case StartEpoch():
            readers = f", {count_of(len(action.readers), 'reader')} of its own" if action.readers else ""
            said = f"epoch {action.epoch} of domain {action.domain}, root {action.root}{readers}"
        case Certificate():
            said = f"{action.role} {action.host} ({action.signer[:8]})"
        case Revocation():
            said = f"revoked {action.signer[:8]}: {action.reason}"
        case ChangeOwner():
            said = f"another owner ({action.key.signer_id[:8]})"
        case SetPolicy():
            said = f"a policy: {describe_policy(trust, action)}"
        case NameSlots():
            said = f"{count_of(len(action.slots), 'key slot')} in use"
        case RequireFeatures():
            said = f"features: {', '.join((*action.must_understand, *action.must_understand_to_write))}"
    return said
