"""Open a key slot with a passphrase or an identity; slots that the owner did not sign are passed over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field, replace
from functools import partial

from farshore import crypto, limits
from farshore.errors import FarshoreError, HeaderDamaged, NotFound, ObjectCorrupt, WrongPassphrase
from farshore.format import names
from farshore.model import dataclass
from farshore.replicas.reader import ReplicaReader, open_reader
from farshore.replicas.repository import Replica, Repository
from farshore.sealed import DomainKeys, KeySet, Role, domain_keys, key_tag, newest_epoch, slots
from farshore.sealed.slots import SlotKeys
from farshore.trust import TrustState


@dataclass(frozen=True, slots=True)
class Secrets:
    """The passphrase, identity or key of shares to open slots with; each may be empty."""

    passphrase: str | bytes = field(repr=False, default=b"")
    identity: bytes = field(repr=False, default=b"")
    shares_secret: bytes = field(repr=False, default=b"")


def open_slots(repository: Repository, secrets: Secrets, role: Role, *, required: bool = True) -> tuple[SlotKeys, ...]:
    """Return the keys of a slot of that role that opens; one damaged at one replica is read from the next.

    Slots that the owner log names are asked for by name, before any are listed: planted ones are not even read. A slot
    counts only where the owner in force signed it, so a planted one costs one signature check. After a rotation older
    slots stay at the replicas: the search ends at one with the newest recipient's private key, or else the one that
    wraps most.

    Args:
        required: Whether it is an error that none opens; else the result is empty.

    Raises:
        WrongPassphrase: Slots were read and none opens.
        HeaderDamaged: No slot could be read.
    """
    opened, tried, damaged = _try_all(repository, secrets, role)
    if opened is not None:
        return (opened,)
    if not required:
        return ()
    if tried:
        raise WrongPassphrase(f"the passphrase or identity opens no slot of {_article(role)} of this repository")
    raise damaged or HeaderDamaged(
        f"the repository has no key slot of {_article(role)}", "Copy keys/slots from another replica."
    )


def slot_keys(repository: Repository, first: SlotKeys, *more: SlotKeys) -> KeySet:
    """Return the keys that slots give in a repository with its owner log: those of every domain and epoch.

    Raises:
        ObjectCorrupt: The log has an epoch of a root that the slot does not hold.
    """
    trust, header = repository.trust, repository.header
    together = (first, *more)
    if first.domains:
        return KeySet(
            repository_id=header.repository_bytes,
            fingerprint=header.fingerprint,
            public_key=trust.recipient,
            domains=first.domains,
            own=newest_epoch(first.domains, ""),
            private_keys=first.private_keys,
        )
    signing = next((one.signing_key for one in together if one.signing_key is not None), None)
    roots = max((one.roots for one in together), key=len)
    domains = _domains(repository, roots)
    certified = trust.certificate(signing.signer_id) if signing is not None else None
    own = newest_epoch(domains, certified.certificate.domain if certified else "")
    return KeySet(
        repository_id=header.repository_bytes,
        fingerprint=header.fingerprint,
        public_key=trust.recipient,
        domains=domains,
        own=own,
        signing_key=signing,
        private_keys=next((one.private_keys for one in together if one.private_keys), ()),
        owner_key=next((one.owner_key for one in together if one.owner_key is not None), None),
        roots=roots,
    )


def is_current(trust: TrustState, keys: SlotKeys) -> bool:
    """Whether a slot wraps the newest keys that the owner log names for its role."""
    if keys.domains:
        own = {one.tag for one in keys.domains}
        return all(key_tag(one.domain, trust.newest_epoch(one.domain).epoch) in own for one in keys.domains)
    if len(keys.roots) <= max((one.root for one in trust.recipients), default=0):
        return False
    if keys.owner_key is not None:
        return keys.owner_key.verify_key == trust.owner
    return bool(keys.private_keys) and crypto.public_key_of(keys.private_keys[-1]) == trust.recipient


def _extent(keys: SlotKeys) -> tuple[int, int]:
    return len(keys.private_keys), len(keys.roots) + len(keys.domains)


def _domains(repository: Repository, roots: tuple[bytes, ...]) -> tuple[DomainKeys, ...]:
    repository_id = repository.header.repository_bytes
    found = [
        domain_keys(roots[one.root], domain, one.epoch, repository_id, one.readers)
        for domain, epochs in repository.trust.domains.items()
        for one in epochs
        if one.root < len(roots)  # a later root is in newer slots only, which this secret may not open
    ]
    if not found:
        raise ObjectCorrupt("the owner log begins no domain whose root this key slot holds")
    return tuple(found)


def _try_all(
    repository: Repository, secrets: Secrets, role: Role
) -> tuple[SlotKeys | None, set[str], FarshoreError | None]:
    """Return the keys of the best slot that opens, the names of slots that were tried, and an error of another."""
    best: SlotKeys | None = None
    tried: set[str] = set()
    damaged: FarshoreError | None = None
    reader = open_reader(repository)
    try:
        for name in _names_to_try(repository, reader):
            if name in tried:
                continue
            try:
                keys = reader.get(name, partial(_open, repository, name, secrets, role))
            except NotFound:  # the log names it, and no replica has it any more
                continue
            except FarshoreError as error:
                damaged = error
                continue
            tried.add(name)
            if keys is not None and is_current(repository.trust, keys):
                return keys, tried, None
            if keys is not None and (best is None or _extent(keys) > _extent(best)):
                best = keys
    except FarshoreError as error:  # no replica that is left lists its slots
        damaged = error
    return best, tried, damaged


def _names_to_try(repository: Repository, reader: ReplicaReader) -> Iterator[str]:
    """Yield the slots that the owner log names, and only then those that one replica after the other lists."""
    yield from map(names.slot, repository.trust.slots)
    asked: set[str] = set()
    while left := repository.replicas.keys() - asked:
        replica, listed = reader.among(left).ask(names.SLOTS, _list_slots)
        asked.add(replica.name)
        yield from listed


def _open(repository: Repository, name: str, secrets: Secrets, role: Role, data: bytes) -> SlotKeys | None:
    if names.hash_of(data) != names.parse_slot(name):
        raise HeaderDamaged(f"{name} is altered: its bytes do not hash to its name", slots.HINT)
    header = repository.header
    if not any(slots.is_signed_by(data, header, owner) for owner in repository.trust.owners):
        return None
    if slots.describe_slot(data).role != role:
        return None
    opened = slots.open_slot(
        data, header, passphrase=secrets.passphrase, identity=secrets.identity, shares_secret=secrets.shares_secret
    )
    reads_alone = opened is not None and bool(opened.domains)
    return replace(opened, private_keys=(secrets.identity,)) if opened is not None and reads_alone else opened


def _list_slots(replica: Replica) -> tuple[Replica, list[str]]:
    found = [info.name for info in replica.store.list(names.SLOTS) if names.parse_slot(info.name)]
    return replica, found[: limits.SLOTS_READ_MAX]


def _article(role: Role) -> str:
    return f"an {role}" if role is Role.OWNER else f"a {role}"
