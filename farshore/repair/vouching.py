"""Which objects are of this repository, among those that heal would copy and that no accepted commit needs.

Anybody who may put objects at one replica can put one of any kind, whose bytes have the hash in its name. Copied to the
other replicas it would cost there, be locked there, and look like theirs. So an object is spread that the owner log
holds or names, that a certified signer signed, or that a seal which counts names. Needs no key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from farshore import limits
from farshore.audit.chain import Authority
from farshore.audit.evidence import read_evidence
from farshore.catalog.pack_trust import is_made_here, may_make
from farshore.catalog.refused import RefusedObjects
from farshore.errors import (
    READ_ERRORS,
    ConfigInvalid,
    Corrupt,
    Denied,
    NotFound,
    StoreFull,
    Unavailable,
    Unsupported,
)
from farshore.format import names
from farshore.format import pack as layout
from farshore.format.fragments import SUBJECT, decode_fragment
from farshore.format.names import object_bytes_max
from farshore.format.object_kinds import Kind
from farshore.format.pack_id import hash_object
from farshore.repair.object_checks import digest_in_name
from farshore.repair.object_kinds import kind_of
from farshore.replicas.repository import Replica, Repository
from farshore.sealed import slots
from farshore.sealed.packs import SUBJECT as PACK_SUBJECT
from farshore.sealed.packs import entry_of
from farshore.signing import SignedKind
from farshore.stores.base import Store

_THREADS = 4
_BATCH = 64  # objects read before it is asked whether more may be
_AUDIT = (Kind.SEAL, Kind.AUDIT_FILE)
VOUCHED_KINDS = frozenset({Kind.PACK, Kind.FRAGMENT, Kind.LOG, Kind.ACCEPTED, Kind.SLOT, *_AUDIT})


class Vouching:
    """The judgment of one heal.

    Args:
        replicas: All that were listed.
    """

    def __init__(self, repository: Repository, replicas: Mapping[str, Replica]) -> None:
        self._repository = repository
        self._replicas = replicas
        self._log = repository.log.objects if repository.log else {}
        self._ways: Mapping[Kind, Callable[[str, bytes], bool]] = {
            Kind.PACK: self._is_pack, Kind.FRAGMENT: self._is_fragment, Kind.SLOT: self._is_slot,
        }  # fmt: skip

    def strangers(self, listed: Mapping[str, Mapping[str, int]]) -> frozenset[str]:
        """Return those of these objects that nothing and nobody vouches for.

        Args:
            listed: By name, the replicas that list an object, and its size at each.
        """
        found = {name for name in listed if kind_of(name) in (Kind.LOG, Kind.ACCEPTED) and name not in self._log}
        read = [name for name in listed if kind_of(name) in self._ways and not self._is_named_slot(name)]
        found.update(self._unsigned(read, listed))
        audit = [name for name in listed if kind_of(name) in _AUDIT]
        if audit:
            found.update(set(audit) - self._sealed({replica for name in audit for replica in listed[name]}))
        return frozenset(found)

    def _unsigned(self, read: Collection[str], listed: Mapping[str, Mapping[str, int]]) -> set[str]:
        """Return those of these objects that nobody who may make them signed, and those that are too many to be read.

        An object that was refused is remembered, so that each heal reads others. Those that most replicas list are read
        first, and of each kind within bounds of its own: a crowd of packs leaves room for a slot.
        """
        by_kind: dict[Kind | None, list[str]] = {}
        for name in read:
            by_kind.setdefault(kind_of(name), []).append(name)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="vouching") as threads:
            return set().union(*(self._unsigned_of_kind(threads, some, listed) for some in by_kind.values()))

    def _unsigned_of_kind(
        self, threads: ThreadPoolExecutor, read: Collection[str], listed: Mapping[str, Mapping[str, int]]
    ) -> set[str]:
        head = self._repository.trust.head
        refused = RefusedObjects(self._repository.cache, head.hash if head is not None else "", "unsigned")
        vouched = vouched_bytes = 0
        waiting = sorted((one for one in read if not refused.remembers(one)), key=lambda one: (-len(listed[one]), one))
        found = set(read) - set(waiting)
        waiting.reverse()
        while waiting and not refused.exhausted(vouched, vouched_bytes):
            batch = _batch(waiting, listed)
            for name, (good, size) in zip(
                batch, threads.map(lambda one: self._reads_well(one, listed[one]), batch), strict=True
            ):
                if good:
                    vouched, vouched_bytes = vouched + 1, vouched_bytes + size
                    continue
                found.add(name)
                refused.note(name, size)
        return found | set(waiting)

    def _is_named_slot(self, name: str) -> bool:
        return names.parse_slot(name) in self._repository.trust.slots

    def _reads_well(self, name: str, holders: Mapping[str, int]) -> tuple[bool, int]:
        """Whether some replica has an object that is signed by somebody who may make it, and the bytes read for it."""
        kind = kind_of(name)
        read = 0
        for holder, size in holders.items():
            store = self._replicas[holder].store
            try:
                if kind is Kind.PACK:
                    read += layout.TAIL_BYTES
                    if not self._names_a_maker(store, name, size):
                        continue
                read += size
                data = store.get(name, bytes_max=min(object_bytes_max(name), size))
                if kind and hash_object(name, data) == digest_in_name(name):
                    return self._ways[kind](name, data), read
            except (Corrupt, Unsupported, NotFound):
                continue
            except (Unavailable, Denied):
                return True, read  # nothing is known of it; it is read once more before it is copied
        return False, read

    def _names_a_maker(self, store: Store, name: str, size: int) -> bool:
        """Whether the tail of a pack names somebody who may make one: most planted ones are read no further."""
        if size < layout.HEADER_BYTES + layout.TAIL_BYTES:
            return False
        tail = layout.decode_tail(store.get(name, size - layout.TAIL_BYTES, layout.TAIL_BYTES), size)
        return may_make(self._repository, tail.signature.signer)

    def _is_pack(self, _: str, data: bytes) -> bool:
        entry = entry_of(data)
        return is_made_here(self._repository, SignedKind.PACK, entry.signature, PACK_SUBJECT, entry.signed_digest)

    def _is_fragment(self, _: str, data: bytes) -> bool:
        one = decode_fragment(data)
        return is_made_here(self._repository, SignedKind.FRAGMENT, one.signature, SUBJECT, one.digest)

    def _is_slot(self, _: str, data: bytes) -> bool:
        header = self._repository.header
        return any(slots.is_signed_by(data, header, owner) for owner in self._repository.trust.owners)

    def _sealed(self, holders: Iterable[str]) -> frozenset[str]:
        """Return the seals that count at these replicas, and the audit files that they name."""
        repository = self._repository
        authority = Authority(repository.trust, repository.header.fingerprint)
        found: set[str] = set()
        for holder in holders:
            try:
                evidence = read_evidence(
                    self._replicas[holder].store, repository.cache_dir, repository.repository_id, authority
                )
            except READ_ERRORS:
                continue  # what it has cannot be read now
            with suppress(StoreFull, ConfigInvalid):  # the cache; without one the seals are read again
                evidence.cache.save()
            found.update(seal.name for seal in evidence.counted.seals.values())
            found.update(evidence.counted.files, evidence.known, evidence.counted.spare)
        return frozenset(found)

    def folded_at(self, replica: str) -> frozenset[str]:
        """Return the seals, and the files that they name, that a fold at a replica replaces: it is given none."""
        repository = self._repository
        authority = Authority(repository.trust, repository.header.fingerprint)
        try:
            evidence = read_evidence(
                self._replicas[replica].store, repository.cache_dir, repository.repository_id, authority
            )
        except READ_ERRORS:
            return frozenset()
        folded = evidence.counted.folded
        evidence.cache.read_folded()
        seals = [evidence.cache.seals[one] for one in folded.emptied if one in evidence.cache.seals]
        files = {file.name for seal in seals if seal.fold is None for file in seal.files}
        gone = {seal.name for seal in seals if seal.hash in folded.superseded_hashes}
        return frozenset((files | evidence.counted.spare | gone) - evidence.counted.files.keys())


def _batch(waiting: list[str], listed: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Pop the objects that are read before the next look at the bound from the end of a list."""
    batch: list[str] = []
    size = 0
    while waiting and len(batch) < _BATCH and size < limits.READ_AT_ONCE_BYTES:
        batch.append(waiting.pop())
        size += max(listed[batch[-1]].values())
    return batch
