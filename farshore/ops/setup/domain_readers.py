"""Identities that read some sources only: those of whole domains, from a new epoch on. Decision 0023, 14.

Chunks are shared within a domain, so who reads one source of it needs the data keys of all; across domains nothing is
shared. Such an identity gets the keys of these domains in a slot of its own, and no root.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from farshore import crypto
from farshore.errors import ConfigInvalid
from farshore.format import names
from farshore.format.header import Header
from farshore.model import dataclass
from farshore.ops.setup.keys import new_note
from farshore.ops.setup.owner_actions import append_entry, owner_key
from farshore.ops.setup.slot_files import StoredSlot, put_slots, read_slots
from farshore.replicas.repository import Repository
from farshore.sealed import Role, domain_keys, slots
from farshore.sealed.key_files import decode_recipient
from farshore.sealed.slots import SlotKeys, SlotNote
from farshore.signing import SigningKey
from farshore.trust.actions import Certificate, NameSlots, Right, StartEpoch


@dataclass(frozen=True, slots=True)
class AddedReader:
    """An identity that reads the runs of these domains from now on.

    `enroll`: hosts that write in an older epoch, which it does not read, until they are enrolled anew.
    """

    slot_id: str
    domains: tuple[str, ...]
    sources: tuple[str, ...]
    enroll: tuple[str, ...]
    failed: tuple[str, ...] = ()


def add_domain_reader(repository: Repository, text: str, sources: Sequence[str], *, label: str = "") -> AddedReader:
    """Let the holder of an identity read these sources alone. Needs the owner's key. Every replica must be there.

    Args:
        sources: All sources of one domain or several, by name.

    Raises:
        ConfigInvalid: A source that no certificate names, or whose domain has other sources, too.
        KeyMissing, QuorumNotReached: As `append_entry` says; nothing was changed.
    """
    public_key, owner = decode_recipient(text), owner_key(repository)
    domains = _domains_of(repository, sources)
    roots = repository.writing_keys().roots
    started = [_next_epoch(repository, domain, len(roots) - 1, (public_key,)) for domain in domains]
    note = new_note(repository.clock, label)
    slot = _seal(repository, repository.header, owner, roots, started, public_key, note)
    others = remade_slots(repository, repository.header, owner, roots, started, left_out={public_key})
    put_slots(repository, [slot, *others])
    slot_names = tuple(map(names.hash_of, (slot, *others)))
    appended = append_entry(repository, [*started, NameSlots((*repository.trust.slots, *slot_names))])
    hosts = sorted({one.host for one in _writers(repository) if one.domain in domains})
    return AddedReader(slots.slot_id_of(slot), domains, tuple(sources), tuple(hosts), tuple(appended.failed))


def remade_slots(
    repository: Repository,
    header: Header,
    owner: SigningKey,
    roots: Sequence[bytes],
    started: Collection[StartEpoch],
    *,
    left_out: Collection[bytes] = (),
    stored: Iterable[StoredSlot] | None = None,
) -> list[bytes]:
    """Return the slots of those who read some domains alone, with the keys of these epochs too.

    Args:
        left_out: Public keys that get none.
    """
    found: dict[bytes, StoredSlot] = {}
    for one in read_slots(repository) if stored is None else stored:
        public_key = slots.public_key_of_slot(one.data) if one.info.role == Role.DOMAIN_READER else None
        if public_key is not None and public_key not in left_out:
            found[public_key] = one
    return [
        _seal(repository, header, owner, roots, started, public_key, new_note(repository.clock, one.info.label))
        for public_key, one in found.items()
    ]


def next_epochs(
    repository: Repository, domains: Iterable[str], root: int, left_out: Collection[str] = ()
) -> list[StartEpoch]:
    """Return the next epochs of domains, read by those who read the present ones but for some recipient ids."""
    started = [_next_epoch(repository, name, root) for name in domains]
    return [
        StartEpoch(
            one.domain, one.epoch, one.root,
            tuple(key for key in one.readers if crypto.recipient_id(key).hex() not in left_out),
        )
        for one in started
    ]  # fmt: skip


def _next_epoch(repository: Repository, domain: str, root: int, more: tuple[bytes, ...] = ()) -> StartEpoch:
    newest = repository.trust.newest_epoch(domain)
    return StartEpoch(domain, newest.epoch + 1, root, tuple(dict.fromkeys((*newest.readers, *more))))


def _seal(
    repository: Repository,
    header: Header,
    owner: SigningKey,
    roots: Sequence[bytes],
    started: Collection[StartEpoch],
    public_key: bytes,
    note: SlotNote,
) -> bytes:
    """Return the slot of who reads all epochs that name its public key."""
    epochs = [one for of_domain in repository.trust.domains.values() for one in of_domain]
    keys = tuple(
        domain_keys(roots[one.root], one.domain, one.epoch, header.repository_bytes)
        for one in (*epochs, *started)
        if public_key in one.readers
    )
    wrapped = SlotKeys(header.fingerprint, (), domains=keys)
    return slots.seal_recipient_slot(wrapped, header, owner, public_key, repository.clock, note)


def _writers(repository: Repository) -> list[Certificate]:
    trust = repository.trust
    newest = [one[-1].certificate for signer, one in trust.certificates.items() if signer not in trust.revocations]
    return [one for one in newest if Right.BACKUP in one.rights]


def _domains_of(repository: Repository, sources: Sequence[str]) -> tuple[str, ...]:
    """Return the domains that these sources are all of."""
    writers = _writers(repository)
    domains: dict[str, None] = {}
    for name in sources:
        of_source = [one.domain for one in writers if isinstance(one.sources, Mapping) and name in one.sources.values()]
        if not of_source:
            raise ConfigInvalid(
                f"no certificate names a source {name!r}",
                "Enroll its host with --sources; 'farshore key list' shows them.",
            )
        domains.update(dict.fromkeys(of_source))
    for one in writers:
        if one.domain not in domains:
            continue
        others = set(one.sources.values()) - set(sources) if isinstance(one.sources, Mapping) else {"any of its own"}
        if others:
            raise ConfigInvalid(
                f"{one.host} backs up {', '.join(sorted(others))} in domain {one.domain}, too, whose chunks are shared",
                "Name all sources of the domain, or enroll the host with --sources and a --domain of its own.",
            )
    return tuple(domains)
